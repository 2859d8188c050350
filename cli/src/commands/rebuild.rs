//! `slipway admin rebuild`: the tables of the history made again, by the coordinator that leads.

use bytes::BytesMut;
use clap::Args;
use futures_util::StreamExt as _;

use crate::client::types::{HistoryCounts, RebuildProgress};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::{Out, escape};
use crate::settings::Settings;

/// Longest line of the answer, in bytes.
const LINE_LIMIT_BYTES: usize = 64 * 1024;

/// Flags of `slipway admin rebuild`.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    server: ServerArgs,
}

impl Rebuild {
    pub(super) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let mut stream = client.rebuild_history().await?;
        let (mut buffer, mut told) = (BytesMut::new(), None);
        while let Some(piece) = stream.next().await {
            buffer.extend_from_slice(&piece.map_err(|error| broke_off(&error.to_string()))?);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                let progress: RebuildProgress =
                    serde_json::from_slice(&line).map_err(|error| broke_off(&error.to_string()))?;
                if let Some(error) = progress.error {
                    let error = escape::name(&error);
                    return Err(Failure::fleet(format!("{error}; the coordinator tries again by itself")));
                }
                if let Some(done) = progress.done {
                    say_done(out, progress.position, &done)?;
                    return Ok(Exit::Success);
                }
                let percent = progress.position.saturating_mul(100).checked_div(progress.end);
                if percent.is_some() && told != percent {
                    out.line(&format!("position {} of {}", progress.position, progress.end))?;
                    told = percent;
                }
            }
            if buffer.len() > LINE_LIMIT_BYTES {
                return Err(broke_off("a line without an end came"));
            }
        }
        Err(broke_off("the coordinator is stopping"))
    }
}

fn say_done(out: &mut Out, position: u64, done: &HistoryCounts) -> Result<(), Failure> {
    let HistoryCounts { runs, jobs, attempts, steps, audit, attempts_without_steps, tests } = done;
    out.line(&format!("done: the history has the journal up to position {position}"))?;
    out.line(&format!(
        "{runs} runs, {jobs} jobs, {attempts} attempts, {steps} steps, {tests} test cases, {audit} entries of the audit trail"
    ))?;
    if *attempts_without_steps > 0 {
        out.line(&format!(
            "{attempts_without_steps} attempts without steps: their logs were removed before"
        ))?;
    }
    Ok(())
}

fn broke_off(why: &str) -> Failure {
    Failure::fleet(format!("the rebuild is not told to its end ({why}); it goes on at the coordinator"))
}
