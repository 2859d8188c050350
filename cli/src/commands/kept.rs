//! What `slipway secrets` and `slipway variables` have in common.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value as Json;
use slipway_coordinator::house::checked_name;
use slipway_kit::clock::{Clock as _, SystemClock};

use crate::client::house::{Kept, KeptPlace, KeptValue};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Out;
use crate::output::style;
use crate::output::table::{Table, text};
use crate::settings::Settings;

/// The longest value, in bytes: GitHub's limit.
const VALUE_LIMIT_BYTES: u64 = 48 << 10;

/// How much of a variable's value a table shows, in characters.
const SHOWN_CHARS: usize = 60;

/// Whose it is. Of several with one name the nearest counts: environment, repository, everybody's.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Only jobs of this repository see it
    #[arg(long, visible_alias = "repo", value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// Only jobs of the repository with this `environment:` see it
    #[arg(long, visible_alias = "env", value_name = "NAME", requires = "repository")]
    environment: Option<String>,
}

impl Place {
    pub(super) fn as_place(&self) -> KeptPlace<'_> {
        KeptPlace { repository: self.repository.as_deref(), environment: self.environment.as_deref() }
    }
}

/// Flags of `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Flags of `rm`.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Its name
    name: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    server: ServerArgs,
}

/// A value from a file, standard input, or the environment variable of its name; nobody is asked for one of a name that cannot be.
pub(super) fn value(kind: Kept, name: &str, file: Option<&Path>) -> Result<String, Failure> {
    checked_name(kind.word(), name).map_err(Failure::usage)?;
    let text = match file {
        Some(file) => input::read_text(file, VALUE_LIMIT_BYTES)?,
        None if !std::io::stdin().is_terminal() => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .take(VALUE_LIMIT_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
            String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8"))?
        }
        None => String::new(),
    };
    // What `echo` or an editor puts at the end is no part of it.
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() && file.is_none() {
        return std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
            Failure::usage(format!(
                "no value for {name}: give --value-file FILE, write it to standard input, or set the environment variable {name}"
            ))
        });
    }
    if text.is_empty() || text.len() as u64 > VALUE_LIMIT_BYTES {
        let word = kind.word();
        return Err(Failure::usage(format!("a {word}'s value has 1 to {VALUE_LIMIT_BYTES} bytes")));
    }
    Ok(text.to_owned())
}

/// Gives one a value.
pub(super) async fn set(
    kind: Kept,
    (name, value): (&str, KeptValue<'_>),
    place: &Place,
    server: &ServerArgs,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let client = Client::new(Target::resolve(server, settings)?)?;
    client.set_kept(kind, name, value, place.as_place()).await?;
    out.line(&format!("{} {} is set", kind.word(), name.to_ascii_uppercase()))?;
    Ok(Exit::Success)
}

impl List {
    pub(super) async fn run(self, kind: Kept, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let kept = Client::new(Target::resolve(&self.server, settings)?)?.kept(kind).await?;
        if self.json {
            out.json(&kept)?;
            return Ok(Exit::Success);
        }
        let kept = kept.as_array().map(Vec::as_slice).unwrap_or_default();
        if kept.is_empty() {
            let (plural, of) = (kind.plural(), if kind == Kept::Variable { " VALUE" } else { "" });
            out.line(&format!("no {plural}; `slipway {plural} set NAME{of}` makes one"))?;
            return Ok(Exit::Success);
        }
        let now_ms = SystemClock.unix_ms();
        let mut table = match kind {
            Kept::Secret => Table::new(&["NAME", "REPOSITORY", "ENVIRONMENT", "VALUE", "SET"]),
            Kept::Variable => Table::new(&["NAME", "REPOSITORY", "ENVIRONMENT", "VALUE", "SET"]),
        };
        for one in kept {
            let field = |name: &str| one.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let set = one.get("set_at_ms").and_then(Json::as_u64);
            let set = set.map_or_else(String::new, |then_ms| style::ago(then_ms, now_ms));
            let whose = Some(field("repository")).filter(|name| !name.is_empty());
            let mut row = vec![
                text(field("name")),
                text(whose.unwrap_or_else(|| "(all)".to_owned())),
                text(field("environment")),
            ];
            row.push(text(match (kind, field("vault")) {
                (Kept::Variable, _) => shown(&field("value")),
                (Kept::Secret, place) if place.is_empty() => "sealed here".to_owned(),
                (Kept::Secret, place) => format!("vault: {place}"),
            }));
            row.push(text(set));
            table.row(row);
        }
        out.text(&table.render(out.colours))?;
        Ok(Exit::Success)
    }
}

/// The beginning of a value, on one line.
fn shown(value: &str) -> String {
    let line = value.replace(['\n', '\r', '\t'], " ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

impl Rm {
    pub(super) async fn run(self, kind: Kept, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        client.remove_kept(kind, &self.name, self.place.as_place()).await?;
        out.line(&format!("{} {} is removed", kind.word(), self.name.to_ascii_uppercase()))?;
        Ok(Exit::Success)
    }
}

/// Where a value may come from.
#[derive(Debug, Args)]
pub(super) struct ValueFrom {
    /// Where its value is; without it standard input is read, else the environment variable of its name
    #[arg(long, value_name = "FILE")]
    pub(super) value_file: Option<PathBuf>,
}
