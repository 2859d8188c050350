//! `slipway show`: a run's jobs, their attempts, and what waiting ones wait for.

use clap::Args;
use slipway_kit::clock::{Clock, SystemClock};

use super::runs::{short_ref, title};
use crate::client::types::{self, Run};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
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
        out.text(&jobs(&run).render(out.colours))?;
        for line in waiting(&run) {
            out.line(&line)?;
        }
        Ok(Exit::Success)
    }
}

fn heading(run: &Run, colours: bool) -> String {
    let now_ms = SystemClock.unix_ms();
    let word = style::result(&escape::name(run.result.as_deref().unwrap_or(&run.state)), colours);
    let name = style::bold(&escape::name(title(run)), colours);
    let commit = run.sha.get(..7).unwrap_or(&run.sha);
    let when = run.created_ms.map_or(String::new(), |then| style::ago(then, now_ms));
    let took = match (run.created_ms, run.finished_ms.filter(|end| *end > 0)) {
        (Some(start), Some(end)) => format!(", took {}", style::duration_ms(end.saturating_sub(start))),
        _ => String::new(),
    };
    let about = format!(
        "{} of {} at {} ({commit}) by {}, {when}{took}",
        run.event_name,
        run.repository,
        short_ref(&run.git_ref),
        run.actor
    );
    format!("run {} {word}\n{name}  {}\n\n", escape::name(&run.run_id), escape::name(&about))
}

fn jobs(run: &Run) -> Table {
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
                text(span(attempt.started_ms, attempt.finished_ms)),
                text(attempt.agent.as_deref().unwrap_or_default()),
                text(attempt.cause.as_deref().unwrap_or_default()),
            ]);
        }
        let last = instance.attempts.last();
        table.row(vec![
            text(&instance.name),
            result(word),
            text(if instance.attempt == 0 { "-".to_owned() } else { instance.attempt.to_string() }),
            text(last.map_or("-".to_owned(), |last| span(last.started_ms, last.finished_ms))),
            text(instance.agent.as_deref().unwrap_or_default()),
            text(instance.cause.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn span(start: Option<u64>, end: Option<u64>) -> String {
    match (start, end) {
        (Some(start), Some(end)) if end >= start => style::duration_ms(end - start),
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
            ],
        });
        let run: Run = types::read(run).unwrap();
        let table = jobs(&run).render(false);
        let rows: Vec<&str> = table.lines().skip(1).collect();
        assert_eq!(rows.len(), 3, "{table}");
        assert!(rows[0].contains("agent_lost") && rows[0].contains("1.5s"), "{table}");
        assert_eq!(waiting(&run), ["gpu waits: no agent has the label `gpu`"]);
    }
}
