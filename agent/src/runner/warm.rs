//! Keeps sandboxes for the jobs that come most: as many as `--warm` says, of the images that jobs without `container:` used lately.
//!
//! One is made when no job is being prepared, so that it is in nobody's way. A job that finds none makes its container as ever.
//! Nothing is made for an image that no job has had, nothing is pulled for it, and none is kept while the disk is low.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use slipway_kit::shutdown::{Shutdown, Stage};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Machine;
use super::sandbox::{Recipe, Sandbox};
use crate::limits::{SANDBOX_PAUSE, SANDBOX_USES};

/// See the module.
#[derive(Debug)]
pub(crate) struct Warm {
    size: usize,
    state: Mutex<State>,
    changed: Notify,
    closed: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// What jobs wanted last, newest first.
    used: VecDeque<Recipe>,
    waiting: Vec<Sandbox>,
    /// Jobs that are being prepared.
    preparing: usize,
    /// When the last of them was ready, and a little later.
    quiet_from: Instant,
}

/// A job is being prepared until this is dropped.
#[derive(Debug)]
pub(super) struct Preparing<'a> {
    warm: &'a Warm,
}

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.warm.lock();
            state.preparing = state.preparing.saturating_sub(1);
            state.quiet_from = Instant::now() + SANDBOX_PAUSE;
        }
        self.warm.changed.notify_one();
    }
}

/// What there is to do.
struct Todo {
    let_go: Vec<Sandbox>,
    make: Option<Recipe>,
    /// When to look again if nothing happens.
    until: Option<Instant>,
}

impl Warm {
    /// Keeps this many.
    pub(super) fn new(size: usize) -> Self {
        let state =
            State { used: VecDeque::new(), waiting: Vec::new(), preparing: 0, quiet_from: Instant::now() };
        Self { size, state: Mutex::new(state), changed: Notify::new(), closed: CancellationToken::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job is about to be prepared.
    pub(super) fn preparing(&self) -> Preparing<'_> {
        self.lock().preparing += 1;
        Preparing { warm: self }
    }

    /// One that waits for such a job, if any does. Notes that such a job came.
    pub(super) fn take(&self, recipe: &Recipe) -> Option<Sandbox> {
        if self.size == 0 {
            return None;
        }
        let mut state = self.lock();
        state.used.push_front(recipe.clone());
        state.used.truncate(SANDBOX_USES);
        let found =
            state.waiting.iter().position(|sandbox| sandbox.recipe == *recipe && sandbox.is_good())?;
        Some(state.waiting.swap_remove(found))
    }

    /// No more are made; those that wait can still be taken.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Removes those that wait.
    pub(crate) async fn clear(&self, machine: &Machine) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        for sandbox in waiting {
            sandbox.let_go(machine).await;
        }
    }

    fn todo(&self, has_room: bool) -> Todo {
        let mut state = self.lock();
        let State { used, waiting, .. } = &mut *state;
        let mut let_go = Vec::new();
        // One that ended by itself might do so again: the next job of its kind brings it back.
        for lost in waiting.extract_if(.., |sandbox| !sandbox.is_up()) {
            used.retain(|recipe| *recipe != lost.recipe);
            let_go.push(lost);
        }
        let there: Vec<&Recipe> = waiting.iter().map(|sandbox| &sandbox.recipe).collect();
        let mut missing = if has_room { most_wanted(used, &there, self.size) } else { Vec::new() };
        let surplus = waiting.extract_if(.., |sandbox| {
            let wanted = missing.iter().position(|recipe| *recipe == sandbox.recipe);
            match wanted.filter(|_| sandbox.is_good()) {
                Some(place) => {
                    missing.remove(place);
                    false
                }
                None => true,
            }
        });
        let_go.extend(surplus);
        let until = waiting.iter().map(Sandbox::good_until).min();
        let make = missing.into_iter().next();
        match make {
            Some(_) if state.preparing > 0 => Todo { let_go, make: None, until },
            Some(_) if state.quiet_from > Instant::now() => {
                let until = until.map_or(state.quiet_from, |until| until.min(state.quiet_from));
                Todo { let_go, make: None, until: Some(until) }
            }
            make => Todo { let_go, make, until },
        }
    }

    /// Ends when one of those that wait is lost.
    async fn lost(&self) {
        let mut all: FuturesUnordered<_> = self.lock().waiting.iter().map(Sandbox::lost).collect();
        if all.next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Keeps them until the agent drains or is closed; then those that wait stay until they are cleared.
    pub(crate) async fn keep(machine: Arc<Machine>, mut stop: Shutdown) {
        let warm = &machine.warm;
        let mut disk = machine.disk.clone();
        while warm.size > 0 && !warm.closed.is_cancelled() {
            let has_room = disk.borrow_and_update().paused.is_none();
            let Todo { let_go, make, until } = warm.todo(has_room);
            for sandbox in let_go {
                sandbox.let_go(&machine).await;
            }
            if let Some(recipe) = make {
                match Sandbox::make(&machine, recipe.clone()).await {
                    Ok(sandbox) => warm.lock().waiting.push(sandbox),
                    Err(failure) => {
                        tracing::warn!(image = recipe.name, %failure, "no sandbox is made until the next job of its kind");
                        warm.lock().used.retain(|used| *used != recipe);
                    }
                }
                continue;
            }
            let later = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.reached(Stage::Drain) => return,
                () = warm.closed.cancelled() => return,
                () = warm.changed.notified() => {}
                () = warm.lost() => {}
                () = later => {}
                changed = disk.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// What should wait, the most wanted first: of each kind that was used one, those used most first, and then further ones of them. `used`:
/// newest first. Between kinds that were used as often, one that waits already stays.
fn most_wanted<T: PartialEq + Clone>(used: &VecDeque<T>, there: &[&T], size: usize) -> Vec<T> {
    let mut kinds: Vec<(&T, usize)> = Vec::new();
    for kind in used {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    // Stable: of what is equal, the newest is first.
    kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), !there.contains(kind)));
    kinds.truncate(size);
    kinds
        .iter()
        .map(|(kind, _)| (*kind).clone())
        .cycle()
        .take(if kinds.is_empty() { 0 } else { size })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(used: &str, there: &str, size: usize) -> String {
        let there: Vec<char> = there.chars().collect();
        most_wanted(&used.chars().collect(), &there.iter().collect::<Vec<_>>(), size).into_iter().collect()
    }

    #[test]
    fn what_was_used_most_waits() {
        for (used, there, size, expected) in [
            ("", "", 2, ""),
            ("a", "", 1, "a"),
            ("a", "", 3, "aaa"),
            ("abb", "", 1, "b"),
            ("abb", "", 2, "ba"),
            ("abb", "", 3, "bab"),
            // As often: the newest, unless one waits already.
            ("ab", "", 1, "a"),
            ("ab", "b", 1, "b"),
            ("abc", "c", 2, "ca"),
            ("a", "", 0, ""),
        ] {
            assert_eq!(wanted(used, there, size), expected, "{used} {there} {size}");
        }
    }
}
