//! `slipway show`: a run's jobs, their attempts, and what waiting ones wait for.

use clap::Args;
use slipway_kit::clock::{Clock, SystemClock};

use super::runs::{held, short_ref, title, took};
use super::show_reports;
use crate::client::types::{self, Attempt, Instance, Run, Tests};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::follow::Board;
use crate::output::table::{Table, result, text};
use crate::output::{Out, escape, style};
use crate::settings::Settings;

/// Failed test cases that are named.
const NAMED_TESTS: usize = 20;

/// Failed test cases with `--json`.
const JSON_TESTS: usize = 1_000;

/// Findings that are named.
const NAMED_FINDINGS: usize = 20;

/// Entries of each list of reports with `--json`.
const JSON_REPORTS: usize = 1_000;

/// How much of a test case's message is shown.
const MESSAGE_CHARS: usize = 200;

/// Flags of `slipway show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// One JSON object, with everything the coordinator says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Show {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let id = client.find_run(&self.run).await?;
        let mut answer = client.run(&id).await?;
        if self.json {
            if let (Some(tests), Some(answer)) =
                (client.failed_tests(&id, JSON_TESTS).await?, answer.as_object_mut())
            {
                answer.insert("tests".to_owned(), tests);
            }
            if let (Some(reports), Some(answer)) =
                (client.reports(&id, JSON_REPORTS).await?, answer.as_object_mut())
            {
                answer.insert("reports".to_owned(), reports);
            }
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let run: Run = types::read(answer)?;
        out.text(&heading(&run, out.colours))?;
        out.text(&jobs(&run, SystemClock.unix_ms()).render(out.colours))?;
        for line in held(&run).into_iter().chain(waiting(&run)).chain(reviews(&run)).chain(given_up(&run)) {
            out.line(&line)?;
        }
        if run.instances.iter().any(|instance| instance.result.as_deref() == Some("failure")) {
            out.text(&findings(&client, &run).await?.findings(out.colours))?;
        }
        if run.result.is_some()
            && let Some(found) = client.failed_tests(&id, NAMED_TESTS).await?
        {
            for line in tests(&types::read(found)?) {
                out.line(&line)?;
            }
        }
        if run.result.is_some()
            && let Some(found) = client.reports(&id, NAMED_FINDINGS).await?
        {
            for line in show_reports::lines(&types::read(found)?) {
                out.line(&line)?;
            }
        }
        Ok(Exit::Success)
    }
}

/// Reads the run's events so far: which steps failed, and with which last lines, is only there.
async fn findings(client: &Client, run: &Run) -> Result<Board, Failure> {
    let mut board = Board::default();
    board.take_status(run, 0);
    let mut watch = client.watch(&run.run_id, false);
    while let Some(line) = watch.next().await? {
        board.take_event(&line.event, 0);
    }
    Ok(board)
}

fn heading(run: &Run, colours: bool) -> String {
    let now_ms = SystemClock.unix_ms();
    let word = style::result(&escape::name(run.result.as_deref().unwrap_or(&run.state)), colours);
    let name = style::bold(&escape::name(title(run)), colours);
    let commit = run.sha.get(..7).unwrap_or(&run.sha);
    let when = run.created_ms.map_or(String::new(), |then| style::ago(then, now_ms));
    let took = took(run).map_or(String::new(), |took| format!(", took {}", style::duration_ms(took)));
    let about = format!(
        "{} of {} at {} ({commit}) by {}, {when}{took}",
        run.event_name,
        run.repository,
        short_ref(&run.git_ref),
        run.actor
    );
    format!("run {} {word}\n{name}  {}\n\n", escape::name(&run.run_id), escape::name(&about))
}

fn jobs(run: &Run, now_ms: u64) -> Table {
    let mut table = Table::new(&["JOB", "RESULT", "ATTEMPT", "TIME", "AGENT", "CAUSE"]);
    for instance in &run.instances {
        let word = instance.result.as_deref().unwrap_or(&instance.state);
        let past = instance.attempts.len().saturating_sub(1);
        for attempt in instance.attempts.iter().take(past) {
            let told = attempt.result.as_deref().unwrap_or("lost");
            table.row(vec![
                text(&instance.name),
                result(told),
                text(attempt.attempt.to_string()),
                text(span(attempt, now_ms)),
                text(attempt.agent.as_deref().unwrap_or_default()),
                text(attempt.cause.as_deref().unwrap_or_default()),
            ]);
        }
        let last = instance.attempts.last();
        table.row(vec![
            text(&instance.name),
            result(word),
            text(if instance.attempt == 0 { "-".to_owned() } else { instance.attempt.to_string() }),
            text(last.map_or("-".to_owned(), |last| span(last, now_ms))),
            text(instance.agent.as_deref().unwrap_or_default()),
            text(instance.cause.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// How long it took, or takes so far.
fn span(attempt: &Attempt, now_ms: u64) -> String {
    match (attempt.started_ms, attempt.finished_ms) {
        (Some(start), end) => style::duration_ms(end.unwrap_or(now_ms).saturating_sub(start)),
        _ => "-".to_owned(),
    }
}

fn waiting(run: &Run) -> Vec<String> {
    let open = run.instances.iter().filter(|instance| instance.state == "waiting");
    open.filter_map(|instance| {
        let reason = instance.waits_for.as_deref().filter(|reason| !reason.is_empty())?;
        let name = escape::name(&instance.name);
        // Some reasons say it themselves.
        let between = if reason.starts_with("waits ") { " " } else { " waits: " };
        Some(format!("{name}{between}{}", escape::name(reason)))
    })
    .collect()
}

/// What was decided about environments, once for all jobs that it was about.
fn reviews(run: &Run) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for gate in run.instances.iter().filter_map(|instance| instance.gate.as_ref()) {
        let environment = escape::name(&gate.environment);
        let line = match (gate.decision.as_deref(), &gate.by) {
            (Some("expired"), _) => format!("nobody approved {environment} in time"),
            (Some(decision), Some(by)) => {
                let why = gate.comment.as_deref().filter(|why| !why.is_empty());
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                let told = format!("{by} {decision} {}{why}", gate.environment);
                escape::name(&told)
            }
            _ => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// What the fleet failed for good, and why.
fn given_up(run: &Run) -> Vec<String> {
    let told = |instance: &Instance| {
        let reason = instance.gave_up.as_deref().filter(|reason| !reason.is_empty())?;
        Some(format!("{}: {}", escape::name(&instance.name), escape::name(reason)))
    };
    run.instances.iter().filter_map(told).collect()
}

/// What its reports say of each job: the counts, and which cases failed.
fn tests(found: &Tests) -> Vec<String> {
    let mut lines = Vec::new();
    for job in &found.jobs {
        let count = |word: &str| job.counts.get(word).copied().unwrap_or_default();
        let words = ["passed", "failed", "error", "skipped", "flaky"];
        let counts = words.into_iter().filter(|word| count(word) > 0);
        let counts: Vec<String> = counts
            .map(|word| match (word, count(word)) {
                ("error", 2..) => format!("{} errors", count(word)),
                (word, count) => format!("{count} {word}"),
            })
            .collect();
        if counts.is_empty() {
            continue;
        }
        lines.push(format!("tests of {}: {}", escape::name(&job.name), counts.join(", ")));
        for case in &job.cases {
            let outer = if case.class.is_empty() { &case.suite } else { &case.class };
            let title =
                if outer.is_empty() { case.name.clone() } else { format!("{outer} › {}", case.name) };
            let place = match (case.file.as_str(), case.line) {
                ("", _) => String::new(),
                (file, 0) => format!(" ({file})"),
                (file, line) => format!(" ({file}:{line})"),
            };
            let first: String =
                case.message.lines().next().unwrap_or_default().chars().take(MESSAGE_CHARS).collect();
            let why = if first.is_empty() { String::new() } else { format!(": {first}") };
            lines.push(format!(
                "  {} {}",
                escape::name(&case.outcome),
                escape::name(&format!("{title}{place}{why}"))
            ));
        }
        let left_out = (count("failed") + count("error")).saturating_sub(job.cases.len() as u64);
        if left_out > 0 {
            lines.push(format!("  and {left_out} more"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_attempt_has_its_row_and_waiting_its_reason() {
        let run = serde_json::json!({
            "run_id": "r", "state": "running",
            "instances": [
                {"instance_id": "i", "name": "build", "state": "running", "attempt": 2, "agent": "b",
                 "attempts": [{"attempt": 1, "agent": "a", "cause": "agent_lost", "started_ms": 0, "finished_ms": 1500},
                              {"attempt": 2, "agent": "b"}]},
                {"instance_id": "j", "name": "gpu", "state": "waiting", "waits_for": "no agent has the label `gpu`"},
                {"instance_id": "k", "name": "pull", "state": "finished", "result": "failure",
                 "gave_up": "given up after 5 attempts: image_pull 5 times"},
            ],
        });
        let run: Run = types::read(run).unwrap();
        let table = jobs(&run, 61_500).render(false);
        let rows: Vec<&str> = table.lines().skip(1).collect();
        assert_eq!(rows.len(), 4, "{table}");
        assert!(rows[0].contains("agent_lost") && rows[0].contains("1.5s"), "{table}");
        assert_eq!(waiting(&run), ["gpu waits: no agent has the label `gpu`"]);
        let gate = serde_json::json!({"run_id": "r", "state": "waiting", "instances": [
            {"instance_id": "g", "name": "deploy", "state": "waiting",
             "waits_for": "waits for approval of `production`"},
        ]});
        let gate: Run = types::read(gate).unwrap();
        assert_eq!(waiting(&gate), ["deploy waits for approval of `production`"]);
        assert_eq!(held(&gate), None);
        let stranger =
            serde_json::json!({"run_id": "r", "state": "waiting", "hold": {"awaits_approval": true}});
        let told = held(&types::read::<Run>(stranger).unwrap()).unwrap();
        assert_eq!(told, "r waits for approval to begin; look at its changes, then `slipway approve r`");
        assert_eq!(given_up(&run), ["pull: given up after 5 attempts: image_pull 5 times"]);
        assert!(reviews(&run).is_empty());
    }

    #[test]
    fn what_was_decided_about_an_environment_is_told_once() {
        let gate = |decision: &str, by: &str, comment: &str| serde_json::json!({"environment": "prod\u{1b}", "decision": decision, "by": by, "comment": comment});
        let run = serde_json::json!({"run_id": "r", "instances": [
            {"instance_id": "a", "gate": gate("approved", "alice", "go")},
            {"instance_id": "b", "gate": gate("approved", "alice", "go")},
            {"instance_id": "c", "gate": gate("rejected", "bob", "")},
            {"instance_id": "d", "gate": {"environment": "slow", "decision": "expired", "by": null}},
            {"instance_id": "e", "gate": {"environment": "open", "awaits_review": true, "decision": null}},
        ]});
        let lines = reviews(&types::read(run).unwrap());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("alice approved prod") && lines[0].ends_with(": go"), "{lines:?}");
        assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
        assert!(lines[1].starts_with("bob rejected prod"), "{lines:?}");
        assert_eq!(lines[2], "nobody approved slow in time");
    }

    #[test]
    fn failed_tests_are_named_below_the_counts() {
        let found = serde_json::json!({"jobs": [
            {"name": "unit", "counts": {"passed": 3, "failed": 2, "error": 2, "skipped": 0},
             "cases": [{"class": "Sums", "name": "adds", "file": "sums.rs", "line": 7, "outcome": "failed", "message": "1\u{1b}[2J\n2"},
                       {"suite": "s", "name": "n", "outcome": "error"}]},
            {"name": "none", "counts": {"passed": 0}, "removed": true},
        ]});
        let lines = super::tests(&types::read(found).unwrap());
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0], "tests of unit: 3 passed, 2 failed, 2 errors");
        assert!(
            lines[1].starts_with("  failed Sums › adds (sums.rs:7): 1") && !lines[1].contains('\u{1b}'),
            "{lines:?}"
        );
        assert_eq!(lines[2..], ["  error s › n", "  and 2 more"]);
    }
}
