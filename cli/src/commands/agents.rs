//! `slipway agents`: the fleet as the coordinator sees it; `drain` and `resume` steer one agent, `token` lets a new one in, `remove`
//! keeps one out.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::runs::SHORT_ID;
use slipway_kit::clock::{Clock as _, SystemClock};

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Out;
use crate::output::escape;
use crate::output::style;
use crate::output::table::{Table, result, text};
use crate::settings::Settings;

/// The longest that a token may be good for, in days.
const LIFE_DAYS_MAX: u64 = 30;

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
    /// Remove an agent for good: its credential is void and its jobs go to others
    Remove(One),
    /// Make a token with which one new agent enrols, once
    Token(Token),
    /// List the tokens that nobody used yet
    Tokens(Tokens),
    /// Make a token that nobody used yet good for nothing
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct One {
    /// The agent: its id, the beginning of it, or its name
    agent: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Token {
    /// Labels that the agent gets with it, beside its own; comma-separated
    #[arg(long, visible_alias = "labels", value_delimiter = ',')]
    label: Vec<String>,
    /// For how long it is good, such as 30m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = life)]
    expires: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Tokens {
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Revoke {
    /// Its id, as `slipway agents tokens` lists it
    #[arg(value_name = "TOKEN")]
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Agents {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client =
            |server: ServerArgs| Client::new(Target::resolve(&server.or(self.server.clone()), settings)?);
        match self.order {
            None => list(&client(ServerArgs::default())?, self.json, out).await,
            Some(Order::Drain(one)) => {
                one.steer(&client(one.server.clone())?, Some("drain"), "takes no new job", out).await
            }
            Some(Order::Resume(one)) => {
                one.steer(&client(one.server.clone())?, Some("resume"), "takes jobs again", out).await
            }
            Some(Order::Remove(one)) => {
                one.steer(&client(one.server.clone())?, None, "is removed", out).await
            }
            Some(Order::Token(token)) => token.make(&client(token.server.clone())?, out).await,
            Some(Order::Tokens(tokens)) => tokens.list(&client(tokens.server.clone())?, out).await,
            Some(Order::Revoke(revoke)) => {
                client(revoke.server)?.revoke_agent_token(&revoke.id).await?;
                out.line(&format!("token {} is good for nothing any more", revoke.id))?;
                Ok(Exit::Success)
            }
        }
    }
}

impl One {
    /// `order`: what it is told; none: it is removed.
    async fn steer(
        &self,
        client: &Client,
        order: Option<&'static str>,
        said: &str,
        out: &mut Out,
    ) -> Result<Exit, Failure> {
        let agent = find(&client.agents().await?, &self.agent)?;
        match order {
            Some(order) => client.steer_agent(&agent, order).await?,
            None => client.remove_agent(&agent).await?,
        }
        out.line(&format!("agent {agent} {said}"))?;
        Ok(Exit::Success)
    }
}

impl Token {
    async fn make(&self, client: &Client, out: &mut Out) -> Result<Exit, Failure> {
        let made = client.make_agent_token(&self.label, self.expires.as_secs()).await?;
        if self.json {
            out.json(&made)?;
        } else {
            // Nothing else, so that a script can take it as it is.
            out.line(field(&made, "token"))?;
        }
        Ok(Exit::Success)
    }
}

impl Tokens {
    async fn list(&self, client: &Client, out: &mut Out) -> Result<Exit, Failure> {
        let tokens = client.agent_tokens().await?;
        if self.json {
            out.json(&tokens)?;
            return Ok(Exit::Success);
        }
        let tokens = tokens.as_array().map(Vec::as_slice).unwrap_or_default();
        if tokens.is_empty() {
            out.line("no token waits to be used; `slipway agents token` makes one")?;
            return Ok(Exit::Success);
        }
        let now_ms = SystemClock.unix_ms();
        let mut table = Table::new(&["TOKEN", "MADE", "GOOD FOR", "LABELS"]);
        for token in tokens {
            let left_ms = number(token, "expires_at_ms").unwrap_or_default().saturating_sub(now_ms);
            table.row(vec![
                text(field(token, "id")),
                text(style::ago(number(token, "made_at_ms").unwrap_or_default(), now_ms)),
                text(style::duration_ms(left_ms)),
                text(labels(token)),
            ]);
        }
        out.text(&table.render(out.colours))?;
        Ok(Exit::Success)
    }
}

/// Up to 30 days.
fn life(text: &str) -> Result<Duration, String> {
    input::time_span(text, LIFE_DAYS_MAX)
}

async fn list(client: &Client, json: bool, out: &mut Out) -> Result<Exit, Failure> {
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
    let counted = agents.iter().any(|agent| agent.get("resources").is_some());
    let mut columns = vec!["AGENT", "NAME", "STATE", "ARCH", "FREE", "LABELS"];
    if counted {
        columns.insert(ROOM_COLUMN, "ROOM");
    }
    let mut table = Table::new(&columns);
    for agent in agents {
        let slots = number(agent, "slots");
        let free = number(agent, "free_slots").map_or("?".to_owned(), |free| free.to_string());
        let mut row = vec![
            text(short(field(agent, "agent_id"))),
            text(field(agent, "name")),
            result(state(agent)),
            text(field(agent, "arch")),
            text(slots.map_or(free.clone(), |slots| format!("{free}/{slots}"))),
            text(labels(agent)),
        ];
        if counted {
            row.insert(ROOM_COLUMN, text(room(agent)));
        }
        table.row(row);
    }
    out.text(&table.render(out.colours))?;
    Ok(Exit::Success)
}

/// Where the processors and memory stand that are free.
const ROOM_COLUMN: usize = 5;

/// `5.5/8 CPUs, 20.0 GiB/32.0 GiB`: what is free of what an agent has; nothing where only slots count.
fn room(agent: &Json) -> String {
    let Some(resources) = agent.get("resources") else { return String::new() };
    let amount = |name| number(resources, name).unwrap_or_default();
    let free = |all: u64, used: u64| all.saturating_sub(used);
    let processors = |millis: u64| millis as f64 / 1_000.0;
    let (cpus, memory) = (amount("cpu_millis"), amount("memory_bytes"));
    format!(
        "{}/{} CPUs, {}/{}",
        processors(free(cpus, amount("used_cpu_millis"))),
        processors(cpus),
        style::bytes(free(memory, amount("used_memory_bytes"))),
        style::bytes(memory)
    )
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
    match (flag("connected"), flag("draining"), field(agent, "paused")) {
        (Some(false), _, _) => "gone",
        (_, Some(true), _) => "draining",
        (_, _, "") => "ready",
        (_, _, why) => why,
    }
}

fn labels(agent: &Json) -> String {
    let labels = agent.get("labels").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    labels.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
}
