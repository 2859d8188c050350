//! Threads whose work nobody waits for.

/// How much they give way (`nice`).
const NICE: i32 = 10;

/// From now on the calling thread, and no other, gives way to all others.
pub(crate) fn give_way() {
    // Refused at worst, and then it is one among equals.
    let _ = rustix::process::nice(NICE);
}
