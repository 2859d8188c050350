//! `slipway cancel`: asks a run to stop; its `always()` steps still run.

use clap::Args;

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::settings::Settings;

/// Flags of `slipway cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Cancel {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let run = client.find_run(&self.run).await?;
        client.cancel(&run, "cancelled from the command line").await?;
        out.line(&format!("asked run {run} to cancel; `slipway show {run}` tells how far it is"))?;
        Ok(Exit::Success)
    }
}
