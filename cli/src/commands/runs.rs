//! `slipway runs`: the newest runs.

use clap::Args;
use slipway_kit::clock::{Clock, SystemClock};

use crate::client::types::{self, Run};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::table::{Table, result, text};
use crate::output::{Out, escape, style};
use crate::settings::Settings;

/// Characters of a run's id in the table: enough to be one of a kind.
pub(super) const SHORT_ID: usize = 13;

/// Flags of `slipway runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// One JSON array, with everything the coordinator says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Runs {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let answer = client.runs(self.limit).await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let runs: Vec<Run> = types::read(answer)?;
        if runs.is_empty() {
            out.line("no run yet")?;
            return Ok(Exit::Success);
        }
        let now_ms = SystemClock.unix_ms();
        let mut table =
            Table::new(&["RUN", "RESULT", "WORKFLOW", "EVENT", "REF", "REPOSITORY", "STARTED", "TOOK"]);
        let mut reviews = Vec::new();
        for run in runs {
            reviews.extend(run.awaits_review.iter().map(|environment| {
                let id = run.run_id.get(..SHORT_ID).unwrap_or(&run.run_id);
                let told = format!("{id} waits for approval of {environment}; `slipway show {id}` tells how");
                escape::name(&told)
            }));
            reviews.extend(held(&run));
            table.row(vec![
                text(run.run_id.get(..SHORT_ID).unwrap_or(&run.run_id)),
                result(run.result.as_deref().unwrap_or(&run.state)),
                text(title(&run)),
                text(&run.event_name),
                text(short_ref(&run.git_ref)),
                text(&run.repository),
                text(run.created_ms.map_or(String::new(), |then| style::ago(then, now_ms))),
                text(took(&run).map_or("-".to_owned(), style::duration_ms)),
            ]);
        }
        out.text(&table.render(out.colours))?;
        for line in reviews {
            out.line(&line)?;
        }
        Ok(Exit::Success)
    }
}

/// From its creation to its end, in milliseconds.
pub(super) fn took(run: &Run) -> Option<u64> {
    let end = run.finished_ms.filter(|end| *end > 0)?;
    Some(end.saturating_sub(run.created_ms?))
}

/// The workflow's name, or its file.
pub(super) fn title(run: &Run) -> &str {
    if run.workflow_name.is_empty() { &run.workflow_file } else { &run.workflow_name }
}

/// `refs/heads/main` as `main`.
pub(super) fn short_ref(git_ref: &str) -> &str {
    git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/tags/")).unwrap_or(git_ref)
}
/// What a run that waits as a whole waits for.
pub(super) fn held(run: &Run) -> Option<String> {
    run.hold.as_ref().filter(|hold| hold.awaits_approval)?;
    let id = run.run_id.get(..SHORT_ID).unwrap_or(&run.run_id);
    let told = format!("{id} waits for approval to begin; look at its changes, then `slipway approve {id}`");
    Some(escape::name(&told))
}
