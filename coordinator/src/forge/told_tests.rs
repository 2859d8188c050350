use super::*;
use crate::forge::rules::Rules;

fn place(sha: &str) -> Place {
    Place { repository: "o/n".into(), sha: sha.into() }
}

fn commit(sha: &str, delivery: &str) -> ReportEvent {
    ReportEvent::Commit {
        place: place(sha),
        forge: "github.com".into(),
        delivery: delivery.into(),
        at: Timestamp(1),
    }
}

#[test]
fn a_commit_is_open_until_its_deliveries_are_dealt_with_and_begins_anew_with_a_new_run() {
    let (mut told, run) = (Told::default(), RunId::from_u128(7));
    told.apply(&commit("a", "d-1"));
    assert_eq!(told.of_commit(&place("a")).unwrap().open.len(), 1);
    told.dealt_with("d-1");
    assert!(told.of_commit(&place("a")).unwrap().open.is_empty());
    told.apply(&ReportEvent::SumMade { place: place("a"), id: 3, generation: 0, settled: true });
    assert_eq!(told.unsettled().count(), 0);
    told.apply(&ReportEvent::Run { run, place: place("a"), counts: true });
    let begun = told.of_commit(&place("a")).unwrap();
    assert_eq!((begun.generation, begun.report), (1, None));
    // What was on its way before says nothing about the new one.
    told.apply(&ReportEvent::SumSettled { place: place("a"), generation: 0 });
    assert_eq!(told.unsettled().count(), 1);
    let again: Told = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
    assert_eq!(again, told);
}

#[test]
fn what_was_told_of_a_run_goes_with_it_and_leaves_an_open_sum_incomplete() {
    let (mut told, run) = (Told::default(), RunId::from_u128(7));
    told.apply(&ReportEvent::Run { run, place: place("a"), counts: true });
    told.apply(&ReportEvent::Made { run, part: "p".into(), id: 5, settled: false });
    told.apply(&ReportEvent::Settled { run, part: "p".into() });
    assert_eq!(told.run(run).unwrap().parts["p"], ToldReport { id: 5, settled: true });
    told.retired(run);
    assert!(told.run(run).is_none() && told.of_commit(&place("a")).unwrap().incomplete);
}

#[test]
fn the_oldest_commit_is_forgotten_first() {
    let mut told = Told::default();
    for n in 0..=COMMITS_MAX {
        told.apply(&commit(&n.to_string(), &format!("d-{n}")));
    }
    assert!(told.of_commit(&place("0")).is_none());
    assert!(told.of_commit(&place("1")).is_some());
    assert_eq!((told.commits.len(), told.open.len()), (COMMITS_MAX, COMMITS_MAX));
}

#[test]
fn rules_are_judged_once_and_another_answer_begins_the_report_anew() {
    let mut told = Told::default();
    let rules = Rules { message: Some("a".into()), signed: false, block: false };
    let question = Question { rules, base: "b".into(), head: "a".into() };
    let (here, push) = (place("a"), "push".to_owned());
    let asked = |question: &Question| ReportEvent::RulesAsked {
        place: place("a"),
        event: "push".into(),
        question: question.clone(),
    };
    let judged = |passed| ReportEvent::RulesJudged {
        place: place("a"),
        event: "push".into(),
        judged: Judged::new("commits", passed, String::new(), Vec::new()),
    };
    let made = |told: &Told| told.of_commit(&place("a")).unwrap().rules["push"].clone();
    told.apply(&asked(&question));
    assert_eq!((made(&told).judged, told.unsettled().count()), (None, 1));
    told.apply(&judged(false));
    let (generation, settled) = (0, true);
    told.apply(&ReportEvent::RulesMade {
        place: here.clone(),
        event: push.clone(),
        id: 3,
        generation,
        settled,
    });
    told.apply(&judged(false));
    assert_eq!(made(&told).report, Some(ToldReport { id: 3, settled: true }), "nothing new");
    told.apply(&judged(true));
    assert_eq!((made(&told).generation, made(&told).report), (1, None));
    told.apply(&ReportEvent::RulesSettled { place: here.clone(), event: push.clone(), generation: 0 });
    assert_eq!(made(&told).report, None, "that was the one before");
    told.apply(&ReportEvent::RulesSettled { place: here, event: push, generation: 1 });
    told.apply(&asked(&question));
    assert_eq!((made(&told).generation, made(&told).judged), (2, None));
}

#[test]
fn only_so_many_problems_are_kept() {
    let mut told = Told::default();
    for n in 0..=PROBLEMS_MAX {
        let (file, message) = (n.to_string(), String::new());
        told.apply(&ReportEvent::Problem { place: place("a"), file, message });
    }
    assert_eq!(told.of_commit(&place("a")).unwrap().problems.len(), PROBLEMS_MAX);
}
