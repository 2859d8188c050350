//! Makes a failing world smaller: fewer agents, runs and jobs, fewer kinds of trouble, and of those that are left only the
//! ones that are needed.
//!
//! A smaller world counts when it breaks in the same way ([`Broken::name`](crate::Broken::name)). The last part is Zeller's
//! *ddmin* over the single troubles.

use crate::fault::Fault;
use crate::script::{AGENTS_MAX, JOBS_MAX, Script};
use crate::troubles::Chosen;
use crate::{Failure, Keep, run};

/// How many worlds are tried at most.
const TRIES_MAX: usize = 200;

/// How many runs a smaller world has at most: tried in this order.
const RUNS: [u64; 7] = [1, 2, 3, 5, 8, 13, 21];

struct Minimiser {
    name: String,
    tries: usize,
    best: Box<Failure>,
}

/// The smallest world found that breaks in the same way.
#[must_use]
pub fn minimise(failure: Failure) -> Failure {
    let mut minimiser = Minimiser { name: failure.broken.name(), tries: 0, best: Box::new(failure) };
    minimiser.sizes();
    minimiser.kinds();
    minimiser.troubles();
    // What is smaller now may let something else be smaller.
    minimiser.sizes();
    *minimiser.best
}

impl Minimiser {
    /// Whether this world breaks in the same way; it is the best then.
    fn accept(&mut self, script: Script) -> bool {
        if self.tries >= TRIES_MAX {
            return false;
        }
        self.tries += 1;
        match run(&script, Keep::Tail) {
            Err(failure) if failure.broken.name() == self.name => {
                self.best = failure;
                true
            }
            _ => false,
        }
    }

    fn sizes(&mut self) {
        let script = self.best.script.clone();
        for runs in RUNS.into_iter().filter(|runs| *runs < script.runs) {
            if self.accept(Script { runs, ..script.clone() }) {
                break;
            }
        }
        let script = self.best.script.clone();
        for agents in (1..AGENTS_MAX).filter(|agents| *agents < script.agents) {
            if self.accept(Script { agents, ..script.clone() }) {
                break;
            }
        }
        let script = self.best.script.clone();
        for jobs in (1..JOBS_MAX).filter(|jobs| *jobs < script.jobs) {
            if self.accept(Script { jobs, ..script.clone() }) {
                break;
            }
        }
    }

    fn kinds(&mut self) {
        for fault in Fault::ALL {
            let script = self.best.script.clone();
            if self.best.came.contains_key(&fault) && !script.without.contains(&fault) {
                let mut without = script.without.clone();
                without.push(fault);
                self.accept(Script { without, ..script });
            }
        }
    }

    fn troubles(&mut self) {
        let mut left = listed(&self.best.came);
        if !self.accept_only(&left) {
            return;
        }
        let mut parts = 2;
        while !left.is_empty() && self.tries < TRIES_MAX {
            let size = left.len().div_ceil(parts);
            let smaller = (0..parts).find_map(|part| {
                let cut = part * size..((part + 1) * size).min(left.len());
                let rest: Vec<_> = left
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| !cut.contains(at))
                    .map(|(_, trouble)| *trouble)
                    .collect();
                (rest.len() < left.len() && self.accept_only(&rest)).then_some(rest)
            });
            match smaller {
                Some(rest) => {
                    left = rest;
                    parts = (parts - 1).max(2);
                }
                None if parts >= left.len() => return,
                None => parts = (parts * 2).min(left.len()),
            }
        }
    }

    fn accept_only(&mut self, troubles: &[(Fault, u32)]) -> bool {
        let mut only = Chosen::new();
        for (fault, number) in troubles {
            only.entry(*fault).or_default().push(*number);
        }
        let script = self.best.script.clone();
        self.accept(Script { only: Some(only), without: Vec::new(), ..script })
    }
}

fn listed(chosen: &Chosen) -> Vec<(Fault, u32)> {
    chosen.iter().flat_map(|(fault, numbers)| numbers.iter().map(|number| (*fault, *number))).collect()
}
