//! Reports of coverage, findings and components from records to the API, the run's page and GitHub's checks; gates as their
//! repository's base has them.

use serde_json::json;
use slipway_proto::v1;
use slipway_proto::v1::finding::Severity;

use crate::events::{Forge, workflow};
use crate::fake_agent::{FIRST, FakeAgent, step};
use crate::github_double::Double;

const SETTINGS: &str = "gates:\n  coverage: { min: 50, max_drop: 5 }\n  findings: { fail_on: high, new_only: true }\n  \
                        licences: { forbid: ['GPL-3.0*'] }\n";

fn summary(summary: v1::Summary) -> v1::Record {
    v1::Record { time_ms: 1, step: 0, record: Some(v1::record::Record::Summary(summary)) }
}

fn finding(rule: &str, line: u32, severity: Severity) -> v1::Finding {
    v1::Finding {
        tool: "looker".to_owned(),
        rule: rule.to_owned(),
        severity: severity.into(),
        message: format!("{rule} is wrong"),
        path: "src/a.c".to_owned(),
        line,
        fingerprint: format!("print-{rule}"),
        ..v1::Finding::default()
    }
}

/// What a job tells: lines that were reached of ten, findings, and the licence of its one component.
fn told(covered: u64, findings: Vec<v1::Finding>, licence: &str) -> Vec<v1::Record> {
    let mut records = step("Build", &["one"]);
    let file = v1::FileCoverage { path: "src/a.c".to_owned(), lines: 10, covered };
    let coverage = v1::CoverageReport { path: "lcov.info".into(), files: vec![file], ..Default::default() };
    records.push(summary(v1::Summary { coverage: Some(coverage), ..Default::default() }));
    let found = v1::FindingsReport { path: "a.sarif".to_owned(), findings, left_out: 0 };
    records.push(summary(v1::Summary { findings: Some(found), ..Default::default() }));
    let part = v1::Component { name: "lib".into(), licences: vec![licence.to_owned()], ..Default::default() };
    let bill = v1::ComponentsReport { path: "bom.json".to_owned(), components: vec![part], left_out: 0 };
    records.push(summary(v1::Summary { components: Some(bill), ..Default::default() }));
    records
}

async fn work(agent: &mut FakeAgent, records: Vec<v1::Record>) {
    let lease = agent.next_assigned().await.lease.unwrap();
    agent.keep(&lease);
    let count = records.len() as u64;
    agent.upload(&lease, 1, records).await;
    agent.report(&lease, v1::Result::Success, count).await;
}

async fn forge(double: &Double) -> Forge {
    let files = [("ci", workflow("ci", "[push, pull_request]")), (".slipway.yml", SETTINGS.to_owned())];
    Forge::with(&files, double.host(), |options| {
        options.github = Some(double.options());
        options.public_url = Some("https://ci.example.com".to_owned());
    })
    .await
}

fn gates(known: &crate::github_double::Known, event: &str) -> Vec<(String, String)> {
    let ending = format!(" gate ({event})");
    known.ends().into_iter().filter(|(name, _)| name.ends_with(&ending)).collect()
}

fn ends(event: &str, end: &str) -> Vec<(String, String)> {
    let one = |gate| (format!("ci / {gate} gate ({event})"), end.to_owned());
    ["coverage", "findings", "licences"].map(one).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_is_judged_by_its_bases_gates_against_its_bases_run() {
    let double = Double::start().await;
    let forge = forge(&double).await;
    let base = forge.git(&["rev-parse", "HEAD"]);
    forge.push("main", &"0".repeat(40), &base).await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    work(&mut agent, told(8, vec![finding("old", 3, Severity::High)], "MIT")).await;
    double.until("the base's gates", |known| gates(known, "push") == ends("push", "success")).await;

    // A proposal that takes the gates away is judged by them all the same.
    forge.git(&["checkout", "--quiet", "-b", "topic"]);
    let head = forge.commit(".slipway.yml", "gates: {}\n", "No gates");
    let pull = json!({"number": 5, "merged": false, "merge_commit_sha": null, "mergeable": true,
                      "head": {"sha": head, "ref": "topic", "repo": {"full_name": "o/n"}},
                      "base": {"ref": "main", "sha": base, "repo": {"full_name": "o/n"}}, "user": {"login": "ada"}});
    forge.git(&["checkout", "--quiet", "main"]);
    forge.git(&["merge", "--quiet", "--no-ff", "--message=Merge", "topic"]);
    forge.git(&["update-ref", "refs/pull/5/merge", "HEAD"]);
    forge.deliver("pull_request", json!({"action": "opened", "number": 5, "pull_request": pull})).await;
    let findings = vec![
        finding("old", 33, Severity::High),
        finding("new", 7, Severity::Critical),
        finding("small", 8, Severity::Low),
    ];
    work(&mut agent, told(7, findings, "MIT AND GPL-3.0-only")).await;
    let event = "pull_request";
    double.until("the proposal's gates", |known| gates(known, event) == ends(event, "failure")).await;
    let sum = |known: &crate::github_double::Known| {
        let sum = known.checks.values().find(|check| check["name"] == "slipway" && check["head_sha"] == head);
        sum.is_some_and(|sum| sum["conclusion"] == "success")
    };
    double.until("the sum, which gates do not touch", sum).await;
    // Checks are told side by side: this one may be the last.
    let is_told = |known: &crate::github_double::Known| {
        known.check("ci / job (pull_request)").is_some_and(|job| !job["conclusion"].is_null())
    };
    double.until("the job's check", is_told).await;
    {
        let known = double.known();
        let job = known.check("ci / job (pull_request)").unwrap();
        assert_eq!(job["conclusion"], "success", "a gate fails no job");
        let text = job["output"]["summary"].as_str().unwrap();
        for part in [
            "Coverage: 70.00 % (7 of 10 lines), −10.00 beside the base branch",
            "Findings: 1 critical, 1 high, 1 low; new: 2",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let annotations = &known.annotations[&job["id"].as_u64().unwrap()];
        let told: Vec<_> = annotations
            .iter()
            .map(|one| (one["title"].as_str().unwrap(), one["annotation_level"].as_str().unwrap()))
            .collect();
        assert_eq!(told, [("looker: new", "failure"), ("looker: small", "notice")]);
        let gate = known.check("ci / coverage gate (pull_request)").unwrap();
        assert_eq!(gate["head_sha"], head);
        assert_eq!(gate["output"]["title"], "Coverage: 70.00 % is 10.00 % less than the base's 80.00 %");
        let gate = known.check("ci / findings gate (pull_request)").unwrap();
        assert_eq!(gate["output"]["title"], "1 new finding that is high or worse");
        let gate = known.check("ci / licences gate (pull_request)").unwrap();
        assert!(gate["output"]["summary"].as_str().unwrap().contains("lib"), "{gate}");
    }
    double.hold_against_description();

    let runs = forge.runs().await;
    let [base_run, run] = [&runs[0]["run"], &runs[1]["run"]].map(|run| run.as_str().unwrap().to_owned());
    let answer = forge.fixture.get(&format!("/api/v1/runs/{run}/reports?limit=2")).await;
    assert_eq!(answer["base"], base_run.as_str());
    let coverage = &answer["coverage"];
    assert_eq!(
        (&coverage["percent"], &coverage["base_percent"], &coverage["change"]),
        (&json!(70.0), &json!(80.0), &json!(-10.0))
    );
    let found = &answer["findings"];
    assert_eq!((&found["new"], &found["counts"]["high"]), (&json!(2), &json!(1)));
    let rules: Vec<_> = found["findings"].as_array().unwrap().iter().map(|one| &one["rule"]).collect();
    assert_eq!(rules, [&json!("new"), &json!("small")], "new ones first, and no more than were asked for");
    assert_eq!(answer["components"]["components"][0]["licences"], json!(["MIT AND GPL-3.0-only"]));
    let said: Vec<_> = answer["gates"].as_array().unwrap().iter().map(|gate| &gate["passed"]).collect();
    assert_eq!(said, [&json!(false); 3]);
    let bad =
        forge.fixture.call(reqwest::Method::GET, &format!("/api/v1/runs/{run}/reports?x=1"), None).await;
    assert_eq!(bad.status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_are_told_once_over_a_crash_and_a_broken_file_is_told_by_line_and_field() {
    let double = Double::start().await;
    let mut forge = forge(&double).await;
    let good = forge.git(&["rev-parse", "HEAD"]);
    forge.push("main", &"0".repeat(40), &good).await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    work(&mut agent, told(4, Vec::new(), "MIT")).await;
    double.until("the gates", |known| gates(known, "push").len() == 3).await;
    forge.fixture.kill_and_restart().await;
    double
        .until("their ends", |known| gates(known, "push").iter().all(|(_, end)| end != "in_progress"))
        .await;
    let gate = double.known().check("ci / coverage gate (push)").unwrap().clone();
    assert_eq!((&gate["conclusion"], gates(&double.known(), "push").len()), (&json!("failure"), 3));

    let broken = forge.commit(".slipway.yml", "gates:\n  coverage: { min: lots }\n", "Break them");
    forge.push("main", &good, &broken).await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    work(&mut agent, step("Build", &["one"])).await;
    double.until("what is wrong", |known| known.check("ci / settings gate (push)").is_some()).await;
    let gate = double.known().check("ci / settings gate (push)").unwrap().clone();
    let said = ".slipway.yml:2:20: `gates.coverage.min`".replace('_', "\\_").replace('`', "\\`");
    let summary = gate["output"]["summary"].as_str().unwrap();
    assert!(summary.contains(&said), "{said} is missing in {summary}");
    double.hold_against_description();
}
