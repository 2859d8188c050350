//! The allocator of every program that links this crate.
//!
//! Reading a workflow, planning a job and numbering a record are many small allocations from several threads. With the C library's
//! allocator they take a third of the time of planning (`slipway-bench plan` shows it).

//! It asks for no transparent huge pages, and [`prefer_small_pages`] keeps the kernel from giving them on its own: whether it can depends on
//! how the machine's memory happens to be cut, and a coordinator with 100,000 waiting jobs takes 300 MiB with them and 210
//! without.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps transparent huge pages from this process, where the system would give them unasked (`always`). For the beginning of
/// `main`. What it starts inherits this.
pub fn prefer_small_pages() {
    // A kernel without them refuses, which is as well.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
