//! `slipway approve`: lets what waits for an environment, or a whole run, go on, or with `--reject` not.

use clap::Args;
use serde_json::json;

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::{Out, escape};
use crate::settings::Settings;

/// Flags of `slipway approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// The environment that its jobs wait for; without it: the whole run, which waits to begin
    #[arg(value_name = "ENV")]
    environment: Option<String>,
    /// Do not let them go on: they fail, and a run that waits to begin is cancelled
    #[arg(long)]
    reject: bool,
    /// Why, for whoever looks at the run later
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Who you are, as the environment's reviewers are named [default: whose token it is; with the admin token your user name on this machine]
    #[arg(long, value_name = "NAME", env = "SLIPWAY_ACTOR")]
    actor: Option<String>,
    /// One JSON object, with what the coordinator says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Approve {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let named = |name: &String| !name.trim().is_empty();
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let mut actor = self.actor.filter(named);
        if actor.is_none() {
            actor = client.own_name().await?.or_else(|| std::env::var("USER").ok().filter(named));
        }
        let actor = actor.ok_or_else(|| {
            Failure::usage("nobody knows who you are: give --actor NAME, or set SLIPWAY_ACTOR or USER")
        })?;
        let run = client.find_run(&self.run).await?;
        let decision = if self.reject { "reject" } else { "approve" };
        let mut wanted = json!({"decision": decision, "actor": actor, "comment": self.comment});
        if let Some(environment) = &self.environment {
            wanted["environment"] = json!(environment);
        }
        let answer = client.approve(&run, &wanted).await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let count = answer["instances"].as_array().map_or(0, Vec::len);
        let jobs = if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
        let did = if self.reject { "rejected" } else { "approved" };
        let Some(environment) = &self.environment else {
            out.line(&format!("{did} run {run}"))?;
            return Ok(Exit::Success);
        };
        let environment = escape::name(environment);
        out.line(&format!("{did} {environment} for {jobs} of run {run}"))?;
        Ok(Exit::Success)
    }
}
