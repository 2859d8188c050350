//! `slipway agents`: the fleet as the coordinator sees it; `drain` and `resume` steer one agent.

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::runs::SHORT_ID;
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::escape;
use crate::output::table::{Table, result, text};
use crate::settings::Settings;

/// Flags of `slipway agents`.
#[derive(Debug, Args)]
pub struct Agents {
    /// One JSON array, with everything the coordinator says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Give an agent no new job; what it runs goes on
    Drain(One),
    /// Give a drained agent jobs again
    Resume(One),
}

#[derive(Debug, Args)]
struct One {
    /// The agent: its id, the beginning of it, or its name
    agent: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Agents {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let (order, one) = match self.order {
            None => return list(&self.server, self.json, settings, out).await,
            Some(Order::Drain(one)) => ("drain", one),
            Some(Order::Resume(one)) => ("resume", one),
        };
        let server = ServerArgs {
            server: one.server.server.or(self.server.server),
            token: one.server.token.or(self.server.token),
            allow_plaintext: one.server.allow_plaintext || self.server.allow_plaintext,
        };
        let client = Client::new(Target::resolve(&server, settings)?)?;
        let agent = find(&client.agents().await?, &one.agent)?;
        client.steer_agent(&agent, order).await?;
        let said = if order == "drain" { "takes no new job" } else { "takes jobs again" };
        out.line(&format!("agent {agent} {said}"))?;
        Ok(Exit::Success)
    }
}

async fn list(server: &ServerArgs, json: bool, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
    let client = Client::new(Target::resolve(server, settings)?)?;
    let agents = client.agents().await?;
    if json {
        out.json(&agents)?;
        return Ok(Exit::Success);
    }
    let agents = agents.as_array().map(Vec::as_slice).unwrap_or_default();
    if agents.is_empty() {
        out.line("no agent has connected yet")?;
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&["AGENT", "NAME", "STATE", "ARCH", "FREE", "LABELS"]);
    for agent in agents {
        let slots = number(agent, "slots");
        let free = number(agent, "free_slots").map_or("?".to_owned(), |free| free.to_string());
        table.row(vec![
            text(short(field(agent, "agent_id"))),
            text(field(agent, "name")),
            result(state(agent)),
            text(field(agent, "arch")),
            text(slots.map_or(free.clone(), |slots| format!("{free}/{slots}"))),
            text(labels(agent)),
        ]);
    }
    out.text(&table.render(out.colours))?;
    Ok(Exit::Success)
}

/// The id of the agent that a person named.
fn find(agents: &Json, named: &str) -> Result<String, Failure> {
    let agents = agents.as_array().map(Vec::as_slice).unwrap_or_default();
    let exact = |agent: &&Json| field(agent, "agent_id") == named || field(agent, "name") == named;
    let begins = |agent: &&Json| !named.is_empty() && field(agent, "agent_id").starts_with(named);
    let mut fitting: Vec<&Json> = agents.iter().filter(exact).collect();
    if fitting.is_empty() {
        fitting = agents.iter().filter(begins).collect();
    }
    match fitting.as_slice() {
        [one] => Ok(field(one, "agent_id").to_owned()),
        [] => Err(Failure::usage(format!("no agent `{}`; `slipway agents` lists them", escape::name(named)))),
        _ => Err(Failure::usage(format!("`{}` fits several agents; give the whole id", escape::name(named)))),
    }
}

fn field<'a>(agent: &'a Json, name: &str) -> &'a str {
    agent.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// Enough of an id to be one of a kind; orders take the beginning of one.
fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

fn number(agent: &Json, name: &str) -> Option<u64> {
    agent.get(name).and_then(Json::as_u64)
}

fn state(agent: &Json) -> &str {
    let flag = |name| agent.get(name).and_then(Json::as_bool);
    match (flag("connected"), flag("draining")) {
        (Some(false), _) => "gone",
        (_, Some(true)) => "draining",
        _ => "ready",
    }
}

fn labels(agent: &Json) -> String {
    let labels = agent.get("labels").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    labels.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
}
