//! `slipway cache`: what the coordinator's caches hold, and keeping them in order.

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::style::bytes;
use crate::output::table::{Table, text};
use crate::settings::Settings;

/// Flags of `slipway cache`.
#[derive(Debug, Args)]
pub struct Cache {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what the caches hold and how often they helped
    Stats(Stats),
    /// Remove what nobody used for some days
    Prune(Prune),
    /// Make a token for people's machines: for one cache or all, to read or to write, and only for some days
    Token(Token),
    /// Read and check all of the build tools' cache; what is damaged goes
    Check(Check),
}

#[derive(Debug, Args)]
struct Stats {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Prune {
    /// Not used for so many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=36_525))]
    unused_days: u64,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Token {
    /// The only cache that it is for, as tools name it (Bazel's --remote_instance_name) [default: all of them]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// It may read and not write
    #[arg(long)]
    read_only: bool,
    /// For how many days it is good; it cannot be taken back before
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Check {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Cache {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::Stats(stats) => stats.run(settings, out).await,
            What::Prune(prune) => prune.run(settings, out).await,
            What::Token(token) => token.run(settings, out).await,
            What::Check(check) => check.run(settings, out).await,
        }
    }
}

impl Stats {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let answer = Client::new(Target::resolve(&self.server, settings)?)?.cache().await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let cache = &answer["build_tools"];
        let place = cache["place"].as_str().unwrap_or_default();
        out.line(&match (place, cache["up"].as_bool()) {
            ("off", _) => "build tools: no cache (--cache off)".to_owned(),
            (place, Some(true)) => format!("build tools: on {place}"),
            (place, _) => format!("build tools: on {place}, which does not answer: builds go on without it"),
        })?;
        if let Some(figures) = cache.get("figures").filter(|figures| figures.is_object()) {
            out.line(&held(figures))?;
            out.line(&helped(figures))?;
            for (name, what) in [
                ("damaged", "values were damaged, and are removed"),
                ("refused_reads", "reads were misses because it could not be asked"),
                ("dropped_writes", "writes were dropped because it could not be asked"),
            ] {
                let count = number(figures, name);
                if count > 0 {
                    out.line(&format!("  {count} {what}"))?;
                }
            }
        }
        if let Some(line) = behind(cache) {
            out.line(&line)?;
        }
        for table in [kept_for(cache), asked_by(cache)].into_iter().flatten() {
            out.text(&table.render(out.colours))?;
            out.line("")?;
        }
        let mut table = Table::new(&["REPOSITORY", "CACHES", "SIZE", "ARTIFACTS", "SIZE"]);
        for repository in answer["repositories"].as_array().into_iter().flatten() {
            table.row(vec![
                text(repository["repository"].as_str().unwrap_or_default()),
                text(number(repository, "caches").to_string()),
                text(bytes(number(repository, "cache_bytes"))),
                text(number(repository, "artifacts").to_string()),
                text(bytes(number(repository, "artifact_bytes"))),
            ]);
        }
        out.text(&table.render(out.colours))?;
        Ok(Exit::Success)
    }
}

/// The object store behind the build tools' cache, if there is one.
fn behind(cache: &Json) -> Option<String> {
    let store = &cache["store"];
    let (url, figures) = (store["url"].as_str()?, &store["figures"]);
    Some(match store["up"].as_bool() {
        Some(true) => format!(
            "  behind it {url}: {} values found there, {} sent",
            number(figures, "hits"),
            number(figures, "puts")
        ),
        _ => format!("  behind it {url}, which does not answer: the cache goes on without it"),
    })
}

/// What the build tools' cache keeps for whom; `None`: that is not known, or nothing.
fn kept_for(cache: &Json) -> Option<Table> {
    let held = cache["held"].as_array().filter(|held| !held.is_empty())?;
    let mut table = Table::new(&["BUILD TOOLS KEEP FOR", "VALUES", "SIZE", "QUOTA"]);
    for held in held {
        let repository = held["repository"].as_str();
        let whom = match (repository, held["kind"].as_str().unwrap_or_default()) {
            (Some(repository), "pull_requests") => format!("{repository} (pull requests)"),
            (Some(repository), _) => repository.to_owned(),
            (None, "other") => "(people and their machines)".to_owned(),
            (None, _) => "(a repository not heard of since the start)".to_owned(),
        };
        table.row(vec![
            text(whom),
            text(number(held, "values").to_string()),
            text(bytes(number(held, "stored_bytes"))),
            text(held["quota_bytes"].as_u64().map_or_else(String::new, bytes)),
        ]);
    }
    Some(table)
}

/// What each kind of client asked for since the coordinator started; `None`: nobody did.
fn asked_by(cache: &Json) -> Option<Table> {
    let clients = cache["clients"].as_array().filter(|clients| !clients.is_empty())?;
    let mut table =
        Table::new(&["CLIENT", "DOOR", "REPOSITORY", "HITS", "MISSES", "RATE", "READ", "WRITTEN"]);
    for client in clients {
        let rate = client["hit_rate"].as_f64();
        table.row(vec![
            text(client["client"].as_str().unwrap_or_default()),
            text(client["door"].as_str().unwrap_or_default()),
            text(client["repository"].as_str().unwrap_or("(people and their machines)")),
            text(number(client, "hits").to_string()),
            text(number(client, "misses").to_string()),
            text(rate.map_or_else(String::new, |rate| format!("{:.1} %", rate * 100.0))),
            text(bytes(number(client, "read_bytes"))),
            text(bytes(number(client, "written_bytes"))),
        ]);
    }
    Some(table)
}

fn held(figures: &Json) -> String {
    match (figures["values"].as_u64(), figures["stored_bytes"].as_u64()) {
        (Some(values), Some(stored)) => format!("  {values} values, {}", bytes(stored)),
        _ => "  how much is in it only Redis knows: `redis-cli info memory`".to_owned(),
    }
}

fn helped(figures: &Json) -> String {
    let (hits, misses) = (number(figures, "hits"), number(figures, "misses"));
    let rate =
        figures["hit_rate"].as_f64().map_or_else(String::new, |rate| format!(" ({:.1} %)", rate * 100.0));
    format!(
        "  since the coordinator started: {hits} hits{rate}, {misses} misses, {} stored, {} evicted",
        number(figures, "puts"),
        number(figures, "evicted")
    )
}

impl Prune {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let answer = client.prune_cache(self.unused_days, self.dry_run).await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let (cache, actions) = (&answer["build_tools"], &answer["actions"]);
        let goes = if self.dry_run { "would go" } else { "removed" };
        if cache.is_object() {
            let (values, size) = (number(cache, "values"), bytes(number(cache, "size_bytes")));
            out.line(&format!("build tools: {goes}: {values} of {} values, {size}", number(cache, "seen")))?;
        }
        let (entries, size) = (number(actions, "entries"), bytes(number(actions, "size_bytes")));
        out.line(&format!("actions/cache: {goes}: {entries} entries, {size}"))?;
        Ok(Exit::Success)
    }
}

impl Token {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let answer = client.make_cache_token(self.instance.as_deref(), !self.read_only, self.days).await?;
        if self.json {
            out.json(&answer)?;
        } else {
            // Nothing else, so that a script can take it as it is.
            out.line(answer["token"].as_str().unwrap_or_default())?;
        }
        Ok(Exit::Success)
    }
}

impl Check {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let answer = Client::new(Target::resolve(&self.server, settings)?)?.check_cache().await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let (checked, damaged, incomplete) =
            (number(&answer, "checked"), number(&answer, "damaged"), number(&answer, "incomplete"));
        out.line(&format!(
            "{checked} values read: {damaged} damaged, {incomplete} listed what is gone; those are removed"
        ))?;
        Ok(Exit::Success)
    }
}

fn number(object: &Json, name: &str) -> u64 {
    object.get(name).and_then(Json::as_u64).unwrap_or_default()
}
