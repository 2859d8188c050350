//! One way to stop: whoever holds the [`Trigger`] raises the stage, every task watches a [`Shutdown`].
//!
//! In stages, because a build machine is stopped politely first: `Drain` (finish what runs, take nothing new), `HandOver`
//! (leave what runs to the next process), then `Now`. A stage never goes back.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How urgently to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    /// Go on.
    #[default]
    Running,
    /// Finish what runs, take nothing new.
    Drain,
    /// Leave what runs to the next process, which is about to start: an agent's upgrade.
    HandOver,
    /// Stop now.
    Now,
}

/// Raises the stage.
#[derive(Debug, Clone)]
pub struct Trigger {
    sender: watch::Sender<Stage>,
}

/// Watches the stage; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    receiver: watch::Receiver<Stage>,
}

/// A trigger and its first watcher.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Trigger { sender }, Shutdown { receiver })
}

impl Trigger {
    /// Raises the stage to `stage`; a lower one than the present changes nothing.
    pub fn raise(&self, stage: Stage) {
        self.sender.send_if_modified(|present| {
            let higher = stage > *present;
            if higher {
                *present = stage;
            }
            higher
        });
    }

    /// Another watcher.
    pub fn watcher(&self) -> Shutdown {
        Shutdown { receiver: self.sender.subscribe() }
    }

    /// Follows the process's signals: the first SIGTERM or SIGINT drains, the second stops at once. Runs until the
    /// task is dropped.
    ///
    /// # Errors
    /// When the handlers can't be installed.
    pub async fn follow_signals(&self) -> std::io::Result<()> {
        StopSignals::heard()?.follow(self).await;
        Ok(())
    }
}

/// SIGTERM and SIGINT, from when they are heard on: one that comes before somebody follows them is not lost.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// When the handlers can't be installed.
    pub fn heard() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The first drains, the second stops at once.
    pub async fn follow(mut self, trigger: &Trigger) {
        for stage in [Stage::Drain, Stage::Now] {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            trigger.raise(stage);
        }
    }
}

/// SIGHUP, which asks for [`Stage::HandOver`], likewise.
#[derive(Debug)]
pub struct HandOverSignal(Signal);

impl HandOverSignal {
    /// Hears it from now on.
    ///
    /// # Errors
    /// When the handler can't be installed.
    pub fn heard() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Each asks for it. Runs until the task is dropped.
    pub async fn follow(mut self, trigger: &Trigger) {
        while self.0.recv().await.is_some() {
            trigger.raise(Stage::HandOver);
        }
    }
}

impl Shutdown {
    /// The present stage.
    pub fn stage(&self) -> Stage {
        *self.receiver.borrow()
    }

    /// Waits until the stage is at least `stage`. When every trigger is gone, that counts as [`Stage::Now`].
    pub async fn reached(&mut self, stage: Stage) {
        // An error means that no trigger is left: nobody could ever stop us, so we stop.
        let _ = self.receiver.wait_for(|present| *present >= stage).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stage_is_reached_once_and_never_lowered() {
        let (trigger, mut shutdown) = channel();
        assert_eq!(shutdown.stage(), Stage::Running);
        trigger.raise(Stage::Now);
        trigger.raise(Stage::Drain);
        shutdown.reached(Stage::Drain).await;
        assert_eq!(shutdown.stage(), Stage::Now);
    }

    #[tokio::test]
    async fn losing_the_trigger_ends_the_wait() {
        let (trigger, mut shutdown) = channel();
        drop(trigger);
        shutdown.reached(Stage::Now).await;
    }
}
