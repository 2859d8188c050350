#![allow(clippy::unwrap_used, clippy::panic)]

use crate::report::{EventCounts, Totals};
use crate::{Broken, Config, Fault, Sabotage, run_seed};

fn totals(seeds: std::ops::Range<u64>) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        match run_seed(seed, Config::default(), false) {
            Ok(summary) => totals.add(&summary),
            Err(failure) => panic!("seed {seed}: {}", failure.broken),
        }
    }
    totals
}

#[test]
fn a_fixed_set_of_worlds_holds_every_invariant_and_finishes() {
    let totals = totals(0..150);
    assert!(totals.events_min.unwrap() >= 300);
    for (name, count) in Fault::NAMES.iter().zip(totals.faults) {
        assert!(count > 0, "no world had {name}");
    }
    for (name, count) in EventCounts::NAMES.iter().zip(totals.events.0) {
        assert!(count > 0, "no world had the event {name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 77, u64::MAX] {
        let first = run_seed(seed, Config::default(), false).unwrap();
        assert_eq!(first, run_seed(seed, Config::default(), false).unwrap());
        // Watching it changes nothing.
        assert_eq!(first, run_seed(seed, Config::default(), true).unwrap());
    }
    assert_ne!(totals(0..2).trace, totals(2..4).trace);
}

#[test]
fn every_planted_fault_is_found() {
    for sabotage in Sabotage::ALL {
        let config = Config { sabotage: Some(sabotage), ..Config::default() };
        let found = (0..1_000).find_map(|seed| run_seed(seed, config, false).err());
        let failure = found.unwrap_or_else(|| panic!("{} was not found", sabotage.name()));
        // Found for the right reason, and again from its seed alone.
        let expected = match sabotage {
            Sabotage::IgnoreFencing => {
                matches!(failure.broken, Broken::WrongReport(_) | Broken::Invariant(_))
            }
            Sabotage::ExpireEarly | Sabotage::ForgetRenewal => {
                matches!(failure.broken, Broken::StrictOverlap(_))
            }
            Sabotage::SkipJournal => matches!(failure.broken, Broken::Replay),
            Sabotage::ForgetReady => matches!(failure.broken, Broken::NeverFinished(..)),
            _ => matches!(failure.broken, Broken::Invariant(_)),
        };
        assert!(expected, "{}: {}", sabotage.name(), failure.broken);
        let again = run_seed(failure.seed, config, true).unwrap_err();
        assert_eq!((again.events, &again.broken), (failure.events, &failure.broken));
        assert!(!again.tail.is_empty());
    }
}
