//! Logs of numbered lines: what is missing or there twice shows in the numbers.

use std::collections::BTreeMap;

use slipway_tests::Coordinator;

/// The lines of each instance of a run so far, by the instance's id.
pub(crate) fn logs(coordinator: &Coordinator, run: &str) -> BTreeMap<String, Vec<String>> {
    let outcome = coordinator.plain(&["logs", run, "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let mut logs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in outcome.objects().iter().filter(|object| object["type"] == "log") {
        let (instance, line) = (&object["instance"], &object["line"]);
        let lines = logs.entry(instance.as_str().unwrap().to_owned()).or_default();
        lines.push(line.as_str().unwrap().to_owned());
    }
    logs
}

/// How many numbers there are: from 1 on each once and in order, or the test fails.
pub(crate) fn count(instance: &str, lines: &[String]) -> usize {
    let numbers: Vec<usize> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    let first_wrong = numbers.iter().zip(1..).find(|(found, wanted)| *found != wanted);
    assert_eq!(first_wrong, None, "(found, wanted) of the first line of {instance} that is wrong");
    numbers.len()
}

/// The rest of the one line that begins so.
pub(crate) fn said(instance: &str, lines: &[String], start: &str) -> String {
    let found: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(start)).collect();
    let [rest] = found.as_slice() else {
        panic!("{instance} says `{start}` {} times: {lines:?}", found.len())
    };
    (*rest).to_owned()
}
