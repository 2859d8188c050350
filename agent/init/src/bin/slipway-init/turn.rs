//! Waits until something can be done: the one place where init sleeps.

use crate::engine::Engine;
use crate::relay::RelayReady;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// What can be done now. Steps and their pipes are named by position, which no handler changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    Signals,
    StopTimer,
    Link,
    Asked,
    Relay(RelayReady),
    Status(usize),
    Output(usize, usize),
    Lingering(usize, usize),
}

/// Sleeps until a descriptor is ready or the timeout has passed. `None` waits for ever.
pub(crate) fn wait(engine: &Engine, timeout_ms: Option<u64>) -> Vec<Ready> {
    let mut watched = Vec::with_capacity(8);
    let mut names = Vec::with_capacity(8);
    let mut watch = |name, descriptor, flags| {
        names.push(name);
        watched.push(PollFd::from_borrowed_fd(descriptor, flags));
    };
    watch(Ready::Signals, engine.signals.as_fd(), PollFlags::IN);
    watch(Ready::StopTimer, engine.stop_timer.as_fd(), PollFlags::IN);
    if let Some((socket, read, write)) = engine.link.interest() {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, read);
        flags.set(PollFlags::OUT, write);
        watch(Ready::Link, socket.as_fd(), flags);
    }
    if let Some(asked) = engine.asked.as_ref().filter(|_| engine.ending.is_none()) {
        watch(Ready::Asked, asked.socket.as_fd(), PollFlags::IN);
    }
    engine.relays.watch(|ready, descriptor, flags| watch(Ready::Relay(ready), descriptor, flags));
    let takes_output = engine.spool.takes_output();
    for (position, step) in engine.steps.iter().enumerate() {
        if let Some(status) = &step.status {
            watch(Ready::Status(position), status.as_fd(), PollFlags::IN);
        } else if takes_output && step.is_announced() {
            for (index, pipe) in step.pipes.iter().enumerate() {
                if let Some(read) = &pipe.read {
                    watch(Ready::Output(position, index), read.as_fd(), PollFlags::IN);
                }
            }
        }
    }
    for (position, lingering) in engine.lingering.iter().enumerate() {
        for (index, pipe) in lingering.pipes.iter().enumerate() {
            if let Some(read) = &pipe.read {
                watch(Ready::Lingering(position, index), read.as_fd(), PollFlags::IN);
            }
        }
    }
    let timeout = timeout_ms.map(|ms| Timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
    });
    match poll(&mut watched, timeout.as_ref()) {
        Ok(_) => {}
        Err(Errno::INTR) => return Vec::new(),
        Err(errno) => {
            // Out of kernel memory; nothing is lost by trying again a little later.
            eprintln!("slipway-init: poll: {}", std::io::Error::from(errno));
            std::thread::sleep(std::time::Duration::from_millis(50));
            return Vec::new();
        }
    }
    watched
        .iter()
        .zip(names)
        .filter(|(descriptor, _)| !descriptor.revents().is_empty())
        .map(|(_, name)| name)
        .collect()
}
