//! `slipway doctor`: looks at this machine and at the coordinator, and says what to do about what is not right.

mod certificate;
mod coordinator;
mod engine;
mod machine;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::client::ServerArgs;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::table::{Table, result, text};
use crate::settings::{Settings, default_data_dir};

/// Flags of `slipway doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The folder in which coordinator or agent keep their data, whose disk is looked at
    #[arg(long, value_name = "DIR", env = "SLIPWAY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The Docker engine's socket; by default DOCKER_HOST, else unix:///var/run/docker.sock
    #[arg(long, value_name = "unix://SOCKET", env = "SLIPWAY_DOCKER_HOST")]
    docker_host: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// How it stands with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// As it should be.
    Ok,
    /// Nothing wrong, but good to know.
    Note,
    /// Jobs will suffer, now or soon.
    Warning,
    /// Jobs can't run.
    Failed,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was looked at and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    status: Status,
    /// What was found.
    message: String,
    /// What to do; empty if nothing.
    hint: String,
}

impl Finding {
    fn new(check: &'static str, status: Status, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, status, message: message.into(), hint: hint.into() }
    }

    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, message, "")
    }
}

impl Doctor {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let docker_host = self
            .docker_host
            .clone()
            .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()))
            .unwrap_or_else(|| slipway_agent::docker::DEFAULT_HOST.to_owned());
        let data_dir = self.data_dir.clone().or_else(|| settings.data_dir.clone());
        let data_dir = data_dir.map_or_else(default_data_dir, Ok)?;
        let (found, engine_root) = engine::look(&docker_host, &data_dir, &settings.images).await;
        let mut findings = found;
        findings.extend(machine::look(&data_dir, engine_root.as_deref()).await);
        findings.extend(coordinator::look(&self.server, settings).await);
        let failed = findings.iter().any(|finding| finding.status == Status::Failed);
        if self.json {
            out.json(&findings)?;
        } else {
            let mut table = Table::new(&["CHECK", "STATE", "FOUND"]);
            for finding in &findings {
                table.row(vec![text(finding.check), result(finding.status.word()), text(&finding.message)]);
            }
            out.text(&table.render(out.colours))?;
            for finding in findings.iter().filter(|finding| !finding.hint.is_empty()) {
                out.line(&format!("{}: {}", finding.check, finding.hint))?;
            }
        }
        Ok(if failed { Exit::FleetFailed } else { Exit::Success })
    }
}
