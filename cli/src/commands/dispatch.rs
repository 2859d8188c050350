//! `slipway dispatch`: starts a workflow that has `workflow_dispatch`, at a branch or tag of a repository that the
//! coordinator knows.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::settings::{Settings, named_value, pair, priority, secret};

/// Flags of `slipway dispatch`.
#[derive(Debug, Args)]
pub struct Dispatch {
    /// A workflow file, its name with or without its ending, or the workflow's own name
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// The branch or tag [default: the repository's default branch]
    #[arg(long = "ref", value_name = "R")]
    git_ref: Option<String>,
    /// An input
    #[arg(long = "input", value_name = "K=V", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// The repository [default: the only one that the coordinator knows]
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// A secret; K alone takes the environment variable's value, which the list of processes does not show
    #[arg(long = "secret", value_name = "K[=V]", value_parser = secret)]
    secrets: Vec<(String, String)>,
    /// A configuration variable (`vars`)
    #[arg(long = "var", value_name = "K=V", value_parser = named_value)]
    vars: Vec<(String, String)>,
    /// From -100 to 100, the greater goes first [default: as the coordinator's configuration has it]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = priority)]
    priority: Option<i8>,
    /// One JSON object with the run's id
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Dispatch {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let map = |pairs: Vec<(String, String)>| json!(pairs.into_iter().collect::<BTreeMap<_, _>>());
        let mut wanted = Map::new();
        let mut put = |name: &str, value: Option<Json>| {
            wanted.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("workflow", Some(json!(self.workflow)));
        put("ref", self.git_ref.map(Json::from));
        put("repository", self.repository.map(Json::from));
        put("priority", self.priority.map(Json::from));
        put("inputs", Some(map(self.inputs)));
        put("vars", Some(map(self.vars)));
        put("secrets", Some(map(self.secrets)));
        put("actor", std::env::var("USER").ok().filter(|user| !user.is_empty()).map(Json::from));
        let run = client.dispatch(&Json::Object(wanted)).await?;
        if self.json {
            out.json(&json!({ "run": run }))?;
        } else {
            out.line(&format!("run {run} started; `slipway logs -f {run}` follows it"))?;
        }
        Ok(Exit::Success)
    }
}
