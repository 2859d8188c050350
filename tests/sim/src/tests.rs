#![allow(clippy::unwrap_used, clippy::panic)]

use crate::minimise::minimise;
use crate::report::Totals;
use crate::{Broken, Failure, Fault, Keep, Sabotage, Script, WorldKind, run};

fn totals(world: WorldKind, seeds: std::ops::Range<u64>) -> Totals {
    let mut totals = Totals::new(world);
    for seed in seeds {
        match run(&Script::new(world, seed), Keep::Nothing) {
            Ok(summary) => totals.add(&summary),
            Err(failure) => panic!("seed {seed}: {}", failure.broken),
        }
    }
    totals
}

/// A fixed set of worlds holds every invariant and finishes, and all that can happen does.
fn covers(world: WorldKind, seeds: std::ops::Range<u64>) {
    let totals = totals(world, seeds);
    assert!(totals.events_min.unwrap() >= 300);
    assert_eq!(totals.missing(), Vec::<String>::new(), "none of these happened");
}

#[test]
fn a_fixed_set_of_schedulers_worlds_holds_every_invariant_and_covers_everything() {
    covers(WorldKind::Scheduler, 0..250);
}

#[test]
fn a_fixed_set_of_whole_worlds_holds_every_invariant_and_covers_everything() {
    covers(WorldKind::Whole, 0..40);
}

#[test]
fn a_script_gives_the_same_trace_each_time() {
    for world in [WorldKind::Scheduler, WorldKind::Whole] {
        for seed in [3, 77, u64::MAX] {
            let script = Script::new(world, seed);
            let first = run(&script, Keep::Nothing).unwrap();
            assert_eq!(first, run(&script, Keep::Nothing).unwrap());
            // Watching it changes nothing.
            assert_eq!(first, run(&script, Keep::All).unwrap());
        }
        assert_ne!(totals(world, 0..2).trace, totals(world, 2..4).trace);
    }
}

/// The first failure that a planted fault leads to.
fn found(sabotage: Sabotage) -> Failure {
    // A leader that is stale harms nobody in most worlds: the search begins near one where it does.
    let first = match sabotage {
        Sabotage::StaleRenewal => 1_165,
        _ => 0,
    };
    let seeds = (first..first + 1_000).map(|seed| Script::with_sabotage(sabotage, seed));
    let found = seeds.filter_map(|script| run(&script, Keep::Tail).err()).next();
    *found.unwrap_or_else(|| panic!("{} was not found", sabotage.name()))
}

/// Whether a planted fault was found for what it is.
fn expected(sabotage: Sabotage, broken: &Broken) -> bool {
    match sabotage {
        Sabotage::IgnoreFencing => matches!(broken, Broken::WrongReport(_) | Broken::Invariant(_)),
        Sabotage::ExpireEarly
        | Sabotage::ForgetRenewal
        | Sabotage::LeaseAtTakeover
        | Sabotage::IgnoreStopTime => matches!(broken, Broken::StrictOverlap(_)),
        Sabotage::SkipJournal | Sabotage::IgnoreUnknown | Sabotage::SnapshotAhead => {
            matches!(broken, Broken::Replay)
        }
        // Its agents stay with it, and it can journal nothing.
        Sabotage::StaleRenewal => matches!(broken, Broken::StrictOverlap(_) | Broken::NeverFinished(..)),
        Sabotage::ForgetReady => matches!(broken, Broken::NeverFinished(..)),
        Sabotage::UnfencedAppend => matches!(broken, Broken::StaleAppend(_)),
        Sabotage::AnswerBeforeAppend => matches!(broken, Broken::SeenBeforeDurable(_)),
        Sabotage::KeepTornTail => matches!(broken, Broken::BatchTorn(_)),
        Sabotage::PaperOverLoss => matches!(broken, Broken::WentOn(_)),
        // What lacks a record shows by itself, or by what the record would have said.
        Sabotage::SkipDamaged => matches!(broken, Broken::WentOn(_) | Broken::Replay),
        Sabotage::BeginUnasked => matches!(broken, Broken::StrictAgain(_)),
        Sabotage::LogsEarly => matches!(broken, Broken::LineLost(_)),
        Sabotage::LogGap => matches!(broken, Broken::LogBroken(_)),
        _ => matches!(broken, Broken::Invariant(_)),
    }
}

fn finds_all(world: WorldKind) {
    for sabotage in Sabotage::ALL.into_iter().filter(|it| it.world() == world) {
        let failure = found(sabotage);
        assert!(expected(sabotage, &failure.broken), "{}: {}", sabotage.name(), failure.broken);
        // Again from its script alone.
        let again = run(&failure.script, Keep::All).unwrap_err();
        assert_eq!((again.events, &again.broken), (failure.events, &failure.broken));
        assert!(again.lines.len() >= failure.lines.len());
    }
}

#[test]
fn every_fault_planted_in_the_scheduler_is_found() {
    finds_all(WorldKind::Scheduler);
}

#[test]
fn every_fault_planted_around_the_scheduler_is_found() {
    finds_all(WorldKind::Whole);
}

#[test]
fn a_failing_world_is_made_smaller_and_replays_from_its_file() {
    for sabotage in [Sabotage::IgnoreFencing, Sabotage::ExpireEarly, Sabotage::PaperOverLoss] {
        let failure = found(sabotage);
        let count = |failure: &Failure| failure.came.values().map(Vec::len).sum::<usize>();
        let (name, runs, troubles) = (failure.broken.name(), failure.script.runs, count(&failure));
        let smaller = minimise(failure);
        assert_eq!(smaller.broken.name(), name);
        assert!(smaller.script.runs < runs && count(&smaller) < troubles, "{troubles} troubles");
        let folder = std::env::temp_dir();
        let path = smaller.script.save(&folder).unwrap();
        let script = Script::load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(script, smaller.script);
        let again = run(&script, Keep::All).unwrap_err();
        assert_eq!((again.events, again.broken), (smaller.events, smaller.broken));
    }
}

#[test]
fn a_file_that_is_no_script_is_refused_with_a_reason() {
    let path = std::env::temp_dir().join(format!("slipway-sim-test-{}.json", std::process::id()));
    let good = serde_json::to_string(&Script::new(WorldKind::Scheduler, 1)).unwrap();
    for (text, reason) in [
        ("{".to_owned(), "EOF"),
        (good.replace("\"version\":1", "\"version\":99"), "version 99"),
        (good.replace("\"agents\":4", "\"agents\":0"), "`agents` must be"),
        (good.replace("\"seed\"", "\"sead\""), "sead"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Script::load(&path).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn every_kind_of_trouble_befalls_some_world() {
    for fault in Fault::ALL {
        assert!(fault.befalls(WorldKind::Scheduler) || fault.befalls(WorldKind::Whole));
    }
}
