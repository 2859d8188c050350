//! Programs that start and stop agents: without a shell, with an environment of their own, for a bounded time.
//!
//! A program that takes too long is killed with all of its process group. What it leaves running when it ends by itself goes on: an agent
//! that it started in the background, for example.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::call::Call;
use super::limits::{OUTPUT_MAX_BYTES, OUTPUT_WAIT, WHY_MAX_CHARS};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much is read at a time, in bytes.
const PIECE_BYTES: usize = 4 << 10;

/// What a program is told of the agent.
pub(super) fn variables(call: &Call) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("SLIPWAY_ACTION", call.action.word().to_owned()),
        ("SLIPWAY_POOL", call.pool.clone()),
        ("SLIPWAY_ARCH", call.arch.clone()),
        ("SLIPWAY_AGENT", call.agent.clone()),
        ("SLIPWAY_COUNT", call.count.to_string()),
    ];
    // The agent itself takes this variable, and no label is none.
    if !call.labels.is_empty() {
        variables.push(("SLIPWAY_LABELS", call.labels.join(",")));
    }
    variables
}

/// Kills a process group when it is dropped.
struct Group(Option<Pid>);

impl Group {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended a moment ago.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started, ends with another code than 0, or takes too long: with the last of what it said.
pub(super) async fn run(
    program: &[String],
    variables: &[(&'static str, String)],
    timeout: Duration,
) -> Result<(), String> {
    let (first, arguments) = program.split_first().ok_or("no program is set")?;
    let mut command = Command::new(first);
    command.args(arguments).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{first} cannot be started: {error}"))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (mut said, mut complained) = (Tail::default(), Tail::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = {
        let reading = async { tokio::join!(said.read(out), complained.read(err)) };
        let ending = async {
            tokio::pin!(reading);
            let ended = tokio::select! {
                ended = child.wait() => ended,
                // It closed its output and goes on.
                _ = &mut reading => return child.wait().await,
            };
            // What it left running may hold on to its output for ever.
            let _ = tokio::time::timeout(OUTPUT_WAIT, reading).await;
            ended
        };
        tokio::time::timeout(timeout, ending).await
    };
    let (said, complained) = (said.text(), complained.text());
    let Ok(ended) = ended else {
        drop(group);
        tracing::warn!(program = first, said, complained, "a scaler's program took too long and was killed");
        return Err(format!("{first} took longer than {} s and was killed", timeout.as_secs()));
    };
    let status = ended.map_err(|error| format!("{first} cannot be waited for: {error}"))?;
    if status.success() {
        group.keep();
        tracing::info!(program = first, said, complained, "a scaler's program did its work");
        return Ok(());
    }
    tracing::warn!(program = first, %status, said, complained, "a scaler's program failed");
    let last = complained.lines().chain(said.lines()).map(str::trim).rfind(|line| !line.is_empty());
    let last = complained.lines().map(str::trim).rfind(|line| !line.is_empty()).or(last);
    let last: String = last.unwrap_or_default().chars().take(WHY_MAX_CHARS / 2).collect();
    Err(format!("{first} ended with {status}{}{last}", if last.is_empty() { "" } else { ": " }))
}

/// The end of what a program says.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut piece = [0; PIECE_BYTES];
        // One that cannot be read says no more.
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            self.0.extend_from_slice(piece.get(..count).unwrap_or_default());
            let surplus = self.0.len().saturating_sub(OUTPUT_MAX_BYTES);
            self.0.drain(..surplus);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
