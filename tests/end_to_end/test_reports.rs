//! Test reports that jobs write: read at their end, told in the log, by `show` and in the history.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, wait_until};

const WORKFLOW: &str = r#"
on: push
jobs:
  unit:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo '<testsuite name="before"><testcase name="kept"/></testsuite>' > before-junit.xml
          mv before-junit.xml /tmp/
      - uses: actions/checkout@v5
      - run: |
          mkdir -p out/test-results
          mv /tmp/before-junit.xml .
          echo "::add-mask::hush-hush"
          cat > out/test-results/good.xml <<'XML'
          <testsuites><testsuite name="sums">
            <testcase classname="Sums" name="adds" file="sums.rs" line="3" time="0.0015"/>
            <testcase classname="Sums" name="fails" file="sums.rs" line="7"><failure message="got hush-hush, want 3">at sums.rs:7</failure></testcase>
            <testcase classname="Sums" name="errs"><error message="broken"/></testcase>
            <testcase classname="Sums" name="later"><skipped message="not today"/></testcase>
            <testcase classname="Sums" name="at last"><flakyFailure message="first time"/></testcase>
          </testsuite></testsuites>
          XML
          printf '<testsuites>\n<testsuite name="half">\n<testcase name="never counted"/><testcase' > broken-junit.xml
          ln -s /etc/passwd junit.xml
          ln -s / root-test-results
          ln -s ../../../../journal test-results
          mkfifo fifo-junit.xml
          exit 1
  off:
    runs-on: ubuntu-latest
    env: { SLIPWAY_TEST_REPORTS: "" }
    steps:
      - run: echo '<testsuite><testcase name="unseen"/></testsuite>' > junit.xml
  named:
    runs-on: ubuntu-latest
    env:
      SLIPWAY_TEST_REPORTS: |
        reports/*.txt
        !reports/no*.txt
    steps:
      - run: |
          mkdir reports
          echo '<testsuite><testcase name="seen"/></testsuite>' | tee junit.xml reports/no.txt > reports/yes.txt
          echo 'hello' > reports/text.txt
"#;

/// The rows of a query of the history, once there are so many.
fn rows(coordinator: &Coordinator, sql: &str, wanted: usize) -> Vec<Vec<String>> {
    let path = coordinator.data_dir().join("history.db");
    let read = |path: &Path| {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let history = rusqlite::Connection::open_with_flags(path, flags).ok()?;
        let mut statement = history.prepare(sql).ok()?;
        let columns = statement.column_count();
        let text = |value: rusqlite::types::Value| match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            _ => "-".to_owned(),
        };
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| Ok(text(row.get(at)?))).collect();
        statement.query_map([], row).ok()?.collect::<Result<Vec<Vec<String>>, _>>().ok()
    };
    wait_until("the history has the rows", || read(&path).filter(|found| found.len() == wanted))
}

#[test]
fn reports_that_a_job_wrote_are_in_its_log_the_history_and_show() {
    let checkout = Checkout::with_workflow(WORKFLOW);
    checkout.write("junit.xml.d/junit.xml", "<testsuite><testcase name=\"checked in\"/></testsuite>");
    checkout.commit("a fixture");
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 1, "the job's own failure: {outcome:#?}");

    let log = outcome.log("unit");
    let at = log.iter().position(|line| line.starts_with("Tests: ")).unwrap_or_else(|| panic!("{log:#?}"));
    let said = [
        "Tests: 2 passed, 1 failed, 1 error, 1 skipped, 1 flaky (before-junit.xml, out/test-results/good.xml)",
        "  failed Sums › fails: got ***, want 3",
        "  error Sums › errs: broken",
    ];
    assert_eq!(log[at..], said);
    let broken = "##[warning]The test report `broken-junit.xml` does not count: line 3, column ";
    assert!(log.iter().any(|line| line.starts_with(broken)), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("test report")).count(), 1, "{log:#?}");
    assert!(!outcome.log("off").iter().any(|line| line.starts_with("Tests: ")), "{outcome:#?}");
    let named = outcome.log("named");
    assert!(named.contains(&"Tests: 1 passed (reports/yes.txt)".to_owned()), "{named:#?}");
    assert!(named.iter().any(|line| line.contains("`reports/text.txt` does not count")), "{named:#?}");

    let sql = "SELECT t.report, t.suite, t.class, t.name, t.file, t.line, t.outcome, t.duration_us, t.message
        FROM tests t JOIN jobs j ON j.instance = t.instance ORDER BY j.job, t.ordinal";
    let found = rows(&coordinator, sql, 7);
    let row = |at: usize| found[at].join("|");
    assert_eq!(row(0), "reports/yes.txt|||seen|-|-|passed|-|-");
    assert_eq!(row(1), "before-junit.xml|before||kept|-|-|passed|-|-", "written before the checkout");
    let good = "out/test-results/good.xml|sums|Sums";
    assert_eq!(row(2), format!("{good}|adds|sums.rs|3|passed|1500|-"));
    assert_eq!(row(3), format!("{good}|fails|sums.rs|7|failed|-|got ***, want 3\nat sums.rs:7"));
    assert_eq!(row(4), format!("{good}|errs|-|-|error|-|broken"));
    assert_eq!(row(5), format!("{good}|later|-|-|skipped|-|not today"));
    assert_eq!(row(6), format!("{good}|at last|-|-|flaky|-|first time"));

    let run = coordinator.newest_run();
    let shown = coordinator.plain(&["show", &run]).stdout;
    let lines = [
        "tests of unit: 2 passed, 1 failed, 1 error, 1 skipped, 1 flaky",
        "  failed Sums › fails (sums.rs:7): got ***, want 3",
        "  error Sums › errs: broken",
        "tests of named: 1 passed",
    ];
    for line in lines {
        assert!(shown.lines().any(|shown| shown == line), "`{line}` is missing:\n{shown}");
    }
    let tests = &coordinator.show(&run)["tests"];
    assert_eq!((&tests["counts"]["passed"], &tests["counts"]["failed"]), (&Value::from(3), &Value::from(1)));
}

/// Reports of 14 MiB each, so that reading them takes a moment.
const MANY: &str = r#"
on: push
jobs:
  unit:
    runs-on: ubuntu-latest
    steps:
      - run: |
          pad=$(printf '%02000d' 0)
          for n in 1 2 3 4 5 6 7; do
            {
              echo "<testsuite name='s$n'>"
              yes "<testcase name='t' time='0.001'><system-out>$pad</system-out></testcase>" | head -n 7000
              echo "</testsuite>"
            } > junit-$n.xml
          done
          echo "all written"
"#;

#[test]
fn an_agent_that_is_killed_over_them_tells_every_case_once() {
    let checkout = Checkout::with_workflow(MANY);
    let coordinator = Coordinator::start();
    let mut agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("the reports are written", || {
        coordinator.logs(&run, "unit").iter().any(|line| line == "all written").then_some(())
    });
    // Wherever this finds it, before, in the middle or after: the counts are the same.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        agent.kill9();
        agent.start_again();
    }
    let shown = coordinator.finished(&run);
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(shown["instances"][0]["attempt"], 1, "no new attempt was needed: {shown}");
    let tests = coordinator.api(&format!("/api/v1/runs/{run}/tests?limit=0"));
    assert_eq!(tests["counts"]["passed"], 49_000, "{tests}");
    let said: Vec<String> =
        coordinator.logs(&run, "unit").into_iter().filter(|line| line.starts_with("Tests: ")).collect();
    let files = "junit-1.xml, junit-2.xml, junit-3.xml and 4 more";
    assert_eq!(said, [format!("Tests: 49000 passed ({files})")]);
    let sql = "SELECT suite, count(*), count(DISTINCT ordinal), min(ordinal) FROM tests GROUP BY suite ORDER BY suite";
    let counted = rows(&coordinator, sql, 7);
    for (number, row) in counted.iter().enumerate() {
        let first = (number * 7_000).to_string();
        assert_eq!(row[..], [format!("s{}", number + 1), "7000".to_owned(), "7000".to_owned(), first]);
    }
    let _ = client.kill();
    let _ = client.wait();
}

const EVERY_KIND: &str = r#"
on: push
jobs:
  unit:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "::add-mask::hush-hush"
          mkdir -p out
          printf 'SF:%s/a.c\nDA:1,1\nDA:2,0\nDA:3,4\nDA:4,1\nend_of_record\n' "$PWD" > out/lcov.info
          cat > out/looker.sarif <<'JSON'
          {"runs":[{"tool":{"driver":{"name":"looker"}},"results":[
            {"ruleId":"R1","level":"error","message":{"text":"hush-hush is in it"},
             "locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.c"},"region":{"startLine":3}}}]},
            {"ruleId":"R2","level":"note","message":{"text":"so so"}}]}]}
          JSON
          echo '{"bomFormat":"CycloneDX","components":[{"name":"lib","version":"1"}]}' > bom.json
          echo '{"runs":[' > broken.sarif
          ln -s /etc/passwd coverage.xml
"#;

#[test]
fn every_kind_of_report_is_in_the_log_the_history_and_show() {
    let checkout = Checkout::with_workflow(EVERY_KIND);
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 0, "a broken report fails nothing: {outcome:#?}");
    let log = outcome.log("unit");
    let at = log.iter().position(|line| line.starts_with("Coverage: ")).unwrap_or_else(|| panic!("{log:#?}"));
    let said = [
        "Coverage: 75.00% of 3 of 4 lines (out/lcov.info)",
        "Findings: 1 high, 1 low (out/looker.sarif)",
        "Components: 1 (bom.json)",
    ];
    assert_eq!(log[at..], said);
    let broken = "##[warning]The report `broken.sarif` does not count: line 2, column ";
    assert!(log.iter().any(|line| line.starts_with(broken)), "{log:#?}");

    let sql = "SELECT files, lines, covered, critical, high, medium, low, components FROM reports";
    assert_eq!(rows(&coordinator, sql, 1)[0].join("|"), "1|4|3|0|1|0|1|1");

    // A second run of the same workflow is compared with the first only on the base branch, and these are of no forge: the
    // branch itself is the base.
    let run = coordinator.newest_run();
    let shown = coordinator.plain(&["show", &run]).stdout;
    let lines = [
        "coverage: 75.00 % (3 of 4 lines)",
        "findings: 1 high, 1 low",
        "  high a.c:3: *** is in it (R1)",
        "  low so so (R2)",
        "components: 1",
    ];
    for line in lines {
        assert!(shown.lines().any(|shown| shown == line), "`{line}` is missing:\n{shown}");
    }
    let reports = &coordinator.show(&run)["reports"];
    assert_eq!(reports["coverage"]["files"][0]["path"], "a.c");
    assert_eq!(reports["findings"]["new"], Value::Null, "there is no base");
    assert_eq!(coordinator.run(&checkout).code, 0);
    let again = coordinator.newest_run();
    let reports = &coordinator.show(&again)["reports"];
    assert_eq!((&reports["base"], &reports["findings"]["new"]), (&Value::from(run), &Value::from(0)));
    assert_eq!(reports["coverage"]["change"], 0.0);
}
