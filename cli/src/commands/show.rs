//! `slipway show`: a run's jobs, their attempts, and what waiting ones wait for.

use clap::Args;
use slipway_kit::clock::{Clock, SystemClock};

use super::runs::{short_ref, title, took};
use crate::client::types::{self, Attempt, Instance, Run};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::follow::Board;
use crate::output::table::{Table, result, text};
use crate::output::{Out, escape, style};
use crate::settings::Settings;

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
        let answer = client.run(&id).await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let run: Run = types::read(answer)?;
        out.text(&heading(&run, out.colours))?;
        out.text(&jobs(&run, SystemClock.unix_ms()).render(out.colours))?;
        for line in waiting(&run).into_iter().chain(given_up(&run)) {
            out.line(&line)?;
        }
        if run.instances.iter().any(|instance| instance.result.as_deref() == Some("failure")) {
            out.text(&findings(&client, &run).await?.findings(out.colours))?;
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
        Some(format!("{} waits: {}", escape::name(&instance.name), escape::name(reason)))
    })
    .collect()
}

/// What the fleet failed for good, and why.
fn given_up(run: &Run) -> Vec<String> {
    let told = |instance: &Instance| {
        let reason = instance.gave_up.as_deref().filter(|reason| !reason.is_empty())?;
        Some(format!("{}: {}", escape::name(&instance.name), escape::name(reason)))
    };
    run.instances.iter().filter_map(told).collect()
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
        assert_eq!(given_up(&run), ["pull: given up after 5 attempts: image_pull 5 times"]);
    }
}
