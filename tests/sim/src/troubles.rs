//! When trouble comes, and which.
//!
//! Each kind has its own numbers: whether the n-th opportunity of a kind becomes trouble depends on the seed, the kind and n
//! alone, and so does what exactly happens then. So one trouble can be left out and the others mostly stay, which is what
//! makes a failing world smaller ([`crate::minimise`]).

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::random::Random;
use crate::script::Script;

/// Troubles by kind, each by the number of its opportunity, from 0.
pub type Chosen = BTreeMap<Fault, Vec<u32>>;

/// The troubles of one world.
#[derive(Debug)]
pub(crate) struct Troubles {
    seed: u64,
    /// In per mille; 0 for kinds that are left out.
    odds: [u64; Fault::COUNT],
    asked: [u32; Fault::COUNT],
    counts: [u64; Fault::COUNT],
    only: Option<Chosen>,
    /// What came, where it is kept.
    came: Option<Chosen>,
    calm: bool,
}

impl Troubles {
    /// A world's odds, drawn from its seed: some worlds have none of one kind and much of another.
    pub(crate) fn new(script: &Script, keep: bool) -> Self {
        let mut random = Random::about(script.seed, &[u64::MAX]);
        let odds = Fault::ALL.map(|fault| {
            let (none, odds) = (random.chance(400), random.between(1, fault.most()));
            let comes = fault.befalls(script.world) && !script.without.contains(&fault);
            if comes && !none { odds } else { 0 }
        });
        Self {
            seed: script.seed,
            odds,
            asked: [0; Fault::COUNT],
            counts: [0; Fault::COUNT],
            only: script.only.clone(),
            came: keep.then(Chosen::new),
            calm: false,
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.calm = true;
    }

    /// From now on things go wrong again.
    pub(crate) fn unheal(&mut self) {
        self.calm = false;
    }

    /// An opportunity for this kind of trouble: if it comes, with random numbers for its details.
    pub(crate) fn strike(&mut self, fault: Fault) -> Option<Random> {
        let kind = fault as usize;
        if self.calm || self.odds[kind] == 0 {
            return None;
        }
        let number = self.asked[kind];
        self.asked[kind] += 1;
        let about = [kind as u64, u64::from(number)];
        // One word decides; a generator costs more and is made for those that come.
        if Random::word(self.seed, &about) % 1_000 >= self.odds[kind] {
            return None;
        }
        let chosen = self.only.as_ref().is_none_or(|only| {
            only.get(&fault).is_some_and(|numbers| numbers.binary_search(&number).is_ok())
        });
        if !chosen {
            return None;
        }
        self.counts[kind] += 1;
        if let Some(came) = &mut self.came {
            came.entry(fault).or_default().push(number);
        }
        Some(Random::about(self.seed, &about))
    }

    /// How often each kind came.
    pub(crate) fn counts(&self) -> [u64; Fault::COUNT] {
        self.counts
    }

    /// All that came, if it was kept.
    pub(crate) fn came(self) -> Chosen {
        self.came.unwrap_or_default()
    }
}
