//! `slipway rerun`: a finished run once more, as a run of its own with the next attempt's number.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::settings::{Settings, secret};

/// Flags of `slipway rerun`.
#[derive(Debug, Args)]
pub struct Rerun {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// Only the jobs that did not succeed, and those that need them
    #[arg(long)]
    failed: bool,
    /// A secret of the run, which are removed when it ends; K alone takes the environment variable's value
    #[arg(long = "secret", value_name = "K[=V]", value_parser = secret)]
    secrets: Vec<(String, String)>,
    /// One JSON object with the new run's id
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Rerun {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let run = client.find_run(&self.run).await?;
        let secrets: BTreeMap<String, String> = self.secrets.into_iter().collect();
        let again = client.rerun(&run, &json!({"failed": self.failed, "secrets": secrets})).await?;
        if self.json {
            out.json(&json!({"run": again, "rerun_of": run}))?;
        } else {
            out.line(&format!("run {again} repeats {run}; `slipway logs -f {again}` follows it"))?;
        }
        Ok(Exit::Success)
    }
}
