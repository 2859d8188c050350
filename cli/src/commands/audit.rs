//! `slipway audit`: who asked the coordinator for what, and whether anybody changed the record of it.

use clap::Args;
use serde_json::Value as Json;

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::output::table::{Cell, Table, result, text};
use crate::settings::Settings;

/// Length of a SHA-256 in hexadecimal digits.
const HASH_DIGITS: usize = 64;

/// Flags of `slipway audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// One JSON object a line, with position and hash, to keep or to search
    #[arg(long, conflicts_with = "verify")]
    json: bool,
    /// Check every record of the journal against the one before, and tell where it ends
    #[arg(long)]
    verify: bool,
    /// With --verify: the journal must still have this record, as an earlier --verify told it
    #[arg(long, value_name = "POSITION:HASH", requires = "verify")]
    since: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl Audit {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        if self.verify {
            return self.check(&client, out).await;
        }
        let mut table = Table::new(&["POSITION", "WHEN", "WHO", "BY", "WHAT", "WHICH", "EFFECT"]);
        let mut position = 0;
        loop {
            let page = client.audit(position).await?;
            for entry in &page.entries {
                if self.json {
                    out.json(entry)?;
                } else {
                    table.row(row(entry));
                }
            }
            // Entries that came while this was read are for the next time.
            if page.position >= page.end || page.position == position {
                break;
            }
            position = page.position;
        }
        if !self.json {
            out.text(&table.render(out.colours))?;
        }
        Ok(Exit::Success)
    }

    async fn check(&self, client: &Client, out: &mut Out) -> Result<Exit, Failure> {
        let (mut position, mut hash) = match &self.since {
            None => (0, String::new()),
            Some(text) => place(text)?,
        };
        let first = position;
        loop {
            let page = client.verify_audit(position, &hash).await?;
            let moved = page.position != position;
            (position, hash) = (page.position, page.hash);
            if position >= page.end || !moved {
                break;
            }
        }
        out.line(&format!("{} records are whole and in their order", position - first))?;
        out.line(&format!("the journal ends at {position}:{hash}"))?;
        out.line("keep that line elsewhere: `slipway audit --verify --since` with it proves later that nothing was changed")?;
        Ok(Exit::Success)
    }
}

fn place(text: &str) -> Result<(u64, String), Failure> {
    let parts = text.split_once(':').and_then(|(position, hash)| Some((position.parse::<u64>().ok()?, hash)));
    match parts {
        Some((position, hash))
            if position > 0 && hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            Ok((position, hash.to_ascii_lowercase()))
        }
        _ => Err(Failure::usage(
            "--since wants POSITION:HASH, as `slipway audit --verify` printed it when the journal was as long",
        )),
    }
}

/// A moment in RFC 3339; an impossible one as it came.
fn utc(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| unix_ms.to_string(), |moment| moment.to_string())
}

fn row(entry: &Json) -> Vec<Cell> {
    let field = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default();
    let position = entry.get("position").and_then(Json::as_u64).unwrap_or_default();
    let at = entry.get("at").and_then(Json::as_u64).unwrap_or_default();
    vec![
        text(position.to_string()),
        text(utc(at)),
        text(field("actor")),
        text(field("source")),
        text(field("action")),
        text(field("target")),
        result(field("effect")),
    ]
}
