//! An interrupted campaign ends as any other: with nothing left behind.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// What the stack is unwound with.
pub(crate) struct Interrupted;

/// From here on a signal that asks to end is noticed by [`check`] instead of ending the process at once.
pub(crate) fn listen() {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, flag.clone()).expect("a signal that may be caught");
    }
}

/// Unwinds when there was one: what was started, mounted and cut off goes with the values that stand for it.
pub(crate) fn check() {
    if INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
        std::panic::resume_unwind(Box::new(Interrupted));
    }
}
