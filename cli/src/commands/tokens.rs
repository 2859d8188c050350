//! `slipway tokens`: tokens of people and programs for the API and the pages.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value as Json;
use slipway_kit::clock::{Clock as _, SystemClock};

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::style;
use crate::output::table::{Table, text};
use crate::output::{Out, escape};
use crate::settings::Settings;

/// The longest that a token may be good for, in days.
const LIFE_DAYS_MAX: u64 = 366;

/// Flags of `slipway tokens`.
#[derive(Debug, Args)]
pub struct Tokens {
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Make a token for somebody, and print it: it is shown this once
    Make(Make),
    /// Make a token good for nothing, at once
    Revoke(Revoke),
}

/// What a token allows; each includes the ones before it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Look at runs, logs and the fleet
    Viewer,
    /// Start, cancel and repeat runs
    Developer,
    /// Let jobs into environments
    Approver,
    /// Everything
    Admin,
}

#[derive(Debug, Args)]
struct Make {
    /// Whose it is; environments' reviewers are known by it
    name: String,
    /// What it allows
    #[arg(long, value_enum)]
    role: Role,
    /// For how long it is good, such as 12h or 30d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = life)]
    expires: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Revoke {
    /// Its id, as `slipway tokens` lists it
    #[arg(value_name = "TOKEN")]
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

fn life(text: &str) -> Result<Duration, String> {
    input::time_span(text, LIFE_DAYS_MAX)
}

impl Tokens {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client =
            |server: ServerArgs| Client::new(Target::resolve(&server.or(self.server.clone()), settings)?);
        match self.order {
            None => list(&client(ServerArgs::default())?, self.json, out).await,
            Some(Order::Make(make)) => make.run(&client(make.server.clone())?, out).await,
            Some(Order::Revoke(revoke)) => {
                client(revoke.server)?.revoke_token(&revoke.id).await?;
                out.line(&format!("token {} is good for nothing any more", revoke.id))?;
                Ok(Exit::Success)
            }
        }
    }
}

impl Make {
    async fn run(&self, client: &Client, out: &mut Out) -> Result<Exit, Failure> {
        let role = match self.role {
            Role::Viewer => "viewer",
            Role::Developer => "developer",
            Role::Approver => "approver",
            Role::Admin => "admin",
        };
        let made = client.make_token(&self.name, role, self.expires.as_secs()).await?;
        if self.json {
            out.json(&made)?;
        } else {
            // Nothing else, so that a script can take it as it is.
            out.line(made["token"].as_str().unwrap_or_default())?;
        }
        Ok(Exit::Success)
    }
}

/// For how long something is still good.
fn left(milliseconds: u64) -> String {
    match milliseconds / 86_400_000 {
        0..2 => style::duration_ms(milliseconds),
        days => format!("{days} days"),
    }
}

async fn list(client: &Client, json: bool, out: &mut Out) -> Result<Exit, Failure> {
    let tokens = client.tokens().await?;
    if json {
        out.json(&tokens)?;
        return Ok(Exit::Success);
    }
    let tokens = tokens.as_array().map(Vec::as_slice).unwrap_or_default();
    if tokens.is_empty() {
        out.line("there is the admin token alone; `slipway tokens make NAME --role ROLE` makes others")?;
        return Ok(Exit::Success);
    }
    let now_ms = SystemClock.unix_ms();
    let mut table = Table::new(&["TOKEN", "NAME", "ROLE", "MADE", "GOOD FOR", "SIGNED IN AT"]);
    for token in tokens {
        let field = |name: &str| token[name].as_str().unwrap_or_default();
        let number = |name: &str| token.get(name).and_then(Json::as_u64).unwrap_or_default();
        table.row(vec![
            text(field("id")),
            text(escape::name(field("name"))),
            text(field("role")),
            text(style::ago(number("made_at_ms"), now_ms)),
            text(left(number("expires_at_ms").saturating_sub(now_ms))),
            text(escape::name(field("signed_in_at"))),
        ]);
    }
    out.text(&table.render(out.colours))?;
    Ok(Exit::Success)
}
