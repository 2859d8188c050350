//! `slipway pools`: agents of one kind, what waits for them, and how many there should be.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use slipway_kit::clock::{Clock as _, SystemClock};

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::table::{Table, text};
use crate::output::{escape, style};
use crate::settings::Settings;

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Clears a terminal and goes to its first line (ECMA-48: ED, CUP).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Flags of `slipway pools`.
#[derive(Debug, Args)]
pub struct Pools {
    /// One JSON array
    #[arg(long)]
    json: bool,
    /// Look again every 2 seconds until Ctrl-C; with --json one array a line
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Say how many agents a pool has at least and at most
    Set(Set),
    /// Forget what was set for a pool
    Rm(Rm),
}

#[derive(Debug, Args)]
struct Set {
    /// Its name; x64 and arm64 are there by themselves
    name: String,
    /// Never fewer agents than these
    #[arg(long)]
    min: u32,
    /// Never more than these
    #[arg(long)]
    max: u32,
    /// The architecture of a new pool: X64 or ARM64
    #[arg(long)]
    arch: Option<String>,
    /// Labels that only its agents have, comma-separated
    #[arg(long, visible_alias = "labels", value_delimiter = ',')]
    label: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Rm {
    /// Its name
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Pools {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client =
            |server: ServerArgs| Client::new(Target::resolve(&server.or(self.server.clone()), settings)?);
        match self.order {
            Some(Order::Set(set)) => set.apply(&client(set.server.clone())?, out).await,
            Some(Order::Rm(rm)) => {
                client(rm.server)?.remove_pool(&rm.name).await?;
                out.line(&format!("pool {} has no rule any more", rm.name))?;
                Ok(Exit::Success)
            }
            None => {
                let client = client(ServerArgs::default())?;
                loop {
                    let pools = client.pools().await?;
                    if self.watch && !self.json && out.colours {
                        out.text(CLEAR)?;
                    }
                    show(&pools, self.json, out)?;
                    if !self.watch {
                        return Ok(Exit::Success);
                    }
                    tokio::select! {
                        () = tokio::time::sleep(WATCH_EVERY) => {}
                        _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
                    }
                }
            }
        }
    }
}

impl Set {
    async fn apply(&self, client: &Client, out: &mut Out) -> Result<Exit, Failure> {
        if self.min > self.max {
            return Err(Failure::usage(format!("--min {} is greater than --max {}", self.min, self.max)));
        }
        let mut rule = json!({"min": self.min, "max": self.max});
        if let Some(arch) = &self.arch {
            rule["arch"] = json!(arch);
        }
        if !self.label.is_empty() {
            rule["labels"] = json!(self.label);
        }
        let pool = client.set_pool(&self.name, &rule).await?;
        match self.json {
            true => out.json(&pool)?,
            false => out.line(&format!(
                "pool {}: {} to {} agents, {} there, {} wanted now",
                self.name,
                self.min,
                self.max,
                number(&pool, "ready"),
                number(&pool, "desired")
            ))?,
        }
        Ok(Exit::Success)
    }
}

fn show(answer: &Json, as_json: bool, out: &mut Out) -> Result<(), Failure> {
    if as_json {
        return out.json(&answer["pools"]);
    }
    let pools = answer["pools"].as_array().map(Vec::as_slice).unwrap_or_default();
    if pools.is_empty() {
        out.line("no agent has connected yet, and no pool is set")?;
    } else {
        let titles = [
            "POOL", "ARCH", "LABELS", "AGENTS", "DRAINING", "GONE", "BUSY", "QUEUED", "WANTED", "MIN", "MAX",
            "WAIT", "SCALER",
        ];
        let mut table = Table::new(&titles);
        for pool in pools {
            table.row(row(pool));
        }
        out.text(&table.render(out.colours))?;
        for line in pools.iter().flat_map(troubles) {
            out.line(&line)?;
        }
    }
    let unplaced = number(answer, "unplaced");
    if unplaced > 0 {
        out.line(&format!(
            "{unplaced} jobs wait for labels that no pool has; `slipway show RUN` says which"
        ))?;
    }
    Ok(())
}

fn row(pool: &Json) -> Vec<crate::output::table::Cell> {
    let field = |name: &str| pool.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let labels = pool["labels"].as_array().into_iter().flatten().filter_map(Json::as_str).collect::<Vec<_>>();
    // Nobody draining or gone says nothing.
    let some = |name| Some(number(pool, name)).filter(|count| *count > 0);
    let bound = |name: &str| pool.get(name).and_then(Json::as_u64);
    let or_empty = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
    vec![
        text(field("name")),
        text(field("arch")),
        text(labels.join(", ")),
        text(number(pool, "ready").to_string()),
        text(or_empty(some("draining"))),
        text(or_empty(some("gone"))),
        text(format!("{}/{}", number(pool, "busy"), number(pool, "slots"))),
        text(number(pool, "queued").to_string()),
        text(number(pool, "desired").to_string()),
        text(or_empty(bound("min"))),
        text(or_empty(bound("max"))),
        text(wait(pool)),
        text(scaler(pool)),
    ]
}

/// When the last job that waits is expected to begin.
fn wait(pool: &Json) -> String {
    match (number(pool, "queued"), pool["predicted_wait_ms"].as_u64()) {
        (0, _) => String::new(),
        (_, None) => "unknown".to_owned(),
        (_, Some(ms)) => format!("about {}", style::duration_ms(ms)),
    }
}

/// What the pool's scaler does, in a few words.
fn scaler(pool: &Json) -> String {
    let scaler = &pool["scaler"];
    let Some(driver) = scaler["driver"].as_str() else { return String::new() };
    let said = [("on_their_way", "on their way"), ("draining", "draining"), ("stopping", "stopping")];
    let said = said.into_iter().map(|(field, word)| (number(scaler, field), word));
    let said: Vec<_> =
        said.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    match said.is_empty() {
        true => driver.to_owned(),
        false => format!("{driver}: {}", said.join(", ")),
    }
}

/// What is wrong with a pool's scaler, a line each.
fn troubles(pool: &Json) -> Vec<String> {
    let name = pool["name"].as_str().unwrap_or_default();
    let said = |field: &str| pool["scaler"][field].as_str();
    let note = said("note").map(|note| format!("{name}: {note}"));
    let failure = said("failure").map(|failure| {
        let left = |at: u64| style::duration_ms(at.saturating_sub(SystemClock.unix_ms()));
        let next = pool["scaler"]["next_try_ms"].as_u64().map(|at| format!("; next try in {}", left(at)));
        format!("{name}: {}{}", escape::name(failure), next.unwrap_or_default())
    });
    note.into_iter().chain(failure).collect()
}

fn number(object: &Json, name: &str) -> u64 {
    object.get(name).and_then(Json::as_u64).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pool(scaler: &Json) -> Json {
        json!({"name": "gpu", "queued": 3, "predicted_wait_ms": 90_000, "scaler": scaler})
    }

    #[test]
    fn what_a_scaler_does_is_said_in_few_words() {
        let busy = json!({"driver": "command", "on_their_way": 2, "draining": 0, "stopping": 1});
        assert_eq!(scaler(&pool(&busy)), "command: 2 on their way, 1 stopping");
        assert_eq!(scaler(&pool(&json!({"driver": "systemd", "there": 4}))), "systemd");
        assert_eq!(scaler(&pool(&Json::Null)), "");
        assert_eq!(troubles(&pool(&busy)), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_has_a_line_of_its_own_and_cannot_move_the_cursor() {
        let failed = json!({"driver": "command", "failure": "gpu-1: \u{1b}[2Jno", "next_try_ms": 0});
        assert_eq!(troubles(&pool(&failed)), ["gpu: gpu-1: \\u{1b}[2Jno; next try in 0.0s"]);
        let idle = json!({"driver": "command", "note": "it has no bounds"});
        assert_eq!(troubles(&pool(&idle)), ["gpu: it has no bounds"]);
    }

    #[test]
    fn the_wait_is_shown_where_something_waits() {
        assert_eq!(wait(&pool(&Json::Null)), "about 1m30s");
        assert_eq!(wait(&json!({"queued": 1, "predicted_wait_ms": null})), "unknown");
        assert_eq!(wait(&json!({"queued": 0, "predicted_wait_ms": 0})), "");
    }
}
