//! `slipway identity`: the issuer of identity tokens, and its keys.

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use slipway_kit::clock::{Clock as _, SystemClock};

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::style;
use crate::output::table::{Table, text};
use crate::settings::Settings;

/// Flags of `slipway identity`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Identity {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, Args)]
struct Show {
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let another key sign from now on
    Rotate(Rotate),
}

#[derive(Debug, Args)]
struct Rotate {
    /// Make a new key and let no other count, also for tokens that were signed a moment ago; after a leak
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    show: Show,
}

impl Identity {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let (rotate, show) = match self.what {
            Some(What::Rotate(rotate)) => (Some(rotate.alone), rotate.show),
            None => (None, self.show),
        };
        let client = Client::new(Target::resolve(&show.server, settings)?)?;
        let identity = match rotate {
            Some(alone) => client.rotate_identity(alone).await?,
            None => client.identity().await?,
        };
        match show.json {
            true => out.json(&identity)?,
            false => say(&identity, out)?,
        }
        Ok(Exit::Success)
    }
}

fn say(identity: &Json, out: &mut Out) -> Result<(), Failure> {
    let issuer = identity["issuer"].as_str().unwrap_or("none: the coordinator has no `public_url`");
    out.line(&format!("issuer: {}", crate::output::escape::name(issuer)))?;
    let keys = identity["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        return out.line("no keys yet; the first one is made when a job or a cloud needs it");
    }
    let now_ms = SystemClock.unix_ms();
    let mut table = Table::new(&["KEY", "SIGNS", "SINCE"]);
    for key in keys {
        let from_ms = key["signs_from_ms"].as_u64().unwrap_or_default();
        let signs = match (key["signs"].as_bool(), from_ms > now_ms) {
            (Some(true), _) => "yes",
            (_, true) => "next",
            _ => "no more",
        };
        let since = if from_ms > now_ms { String::new() } else { style::ago(from_ms, now_ms) };
        table.row(vec![text(key["kid"].as_str().unwrap_or_default()), text(signs), text(since)]);
    }
    out.text(&table.render(out.colours))
}
