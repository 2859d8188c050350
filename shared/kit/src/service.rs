//! What a service manager is told (systemd's `sd_notify(3)`): that the program is ready, that it ends, and, again and again, that it
//! still answers. Where no service manager listens, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// How often within the service manager's time it hears of us: one that is late once is not killed for it.
const BEATS: u32 = 3;

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The program does its work from now on; `status` is one line for people.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It is asked to end, and does.
pub fn stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Says in one line, for people, how things are.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Tells the service manager again and again that the program answers, for as long as `answers` does: one that hangs is killed and
/// started anew. Ends at once where nobody asks for it (`WatchdogSec`).
pub async fn keep_telling<F: Future<Output = bool>>(answers: impl Fn() -> F) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let every = within / BEATS;
    loop {
        // What takes longer than the time itself is no answer; the service manager decides what follows.
        if tokio::time::timeout(within, answers()).await == Ok(true) {
            notify(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(every.max(Duration::from_millis(1))).await;
    }
}
