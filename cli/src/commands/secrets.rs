//! `slipway secrets`: what workflows find in the `secrets` context, kept by the coordinator.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use slipway_kit::clock::{Clock as _, SystemClock};

use crate::client::house::SecretPlace;
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Out;
use crate::output::style;
use crate::output::table::{Table, text};
use crate::settings::Settings;

/// The longest value, in bytes: GitHub's limit.
const VALUE_LIMIT_BYTES: u64 = 48 << 10;

/// Flags of `slipway secrets`.
#[derive(Debug, Args)]
pub struct Secrets {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Give a secret a value, for jobs that begin from now on
    Set(Set),
    /// List which secrets there are; nobody can read their values
    List(List),
    /// Remove a secret
    Rm(Rm),
}

/// Whose it is. Of several with one name the nearest counts: environment, repository, everybody's.
#[derive(Debug, Args)]
struct Place {
    /// Only jobs of this repository see it
    #[arg(long, visible_alias = "repo", value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// Only jobs of the repository with this `environment:` see it
    #[arg(long, visible_alias = "env", value_name = "NAME", requires = "repository")]
    environment: Option<String>,
}

impl Place {
    fn as_place(&self) -> SecretPlace<'_> {
        SecretPlace { repository: self.repository.as_deref(), environment: self.environment.as_deref() }
    }
}

#[derive(Debug, Args)]
struct Set {
    /// Its name: letters, digits and _
    name: String,
    #[command(flatten)]
    place: Place,
    /// Where its value is; without it standard input is read, else the environment variable of its name
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct List {
    /// One JSON array
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
    place: Place,
    #[command(flatten)]
    server: ServerArgs,
}

impl Secrets {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::Set(set) => set.run(settings, out).await,
            What::List(list) => list.run(settings, out).await,
            What::Rm(rm) => rm.run(settings, out).await,
        }
    }
}

impl Set {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let value = self.value()?;
        client.set_secret(&self.name, &value, self.place.as_place()).await?;
        out.line(&format!("secret {} is set", self.name.to_ascii_uppercase()))?;
        Ok(Exit::Success)
    }

    /// Never from the command line, which the list of processes shows.
    fn value(&self) -> Result<String, Failure> {
        let text = match &self.value_file {
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
        let text =
            text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() && self.value_file.is_none() {
            return std::env::var(&self.name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
                Failure::usage(format!(
                    "no value for {0}: give --value-file FILE, write it to standard input, or set the environment variable {0}",
                    self.name
                ))
            });
        }
        if text.is_empty() || text.len() as u64 > VALUE_LIMIT_BYTES {
            return Err(Failure::usage(format!("a secret's value has 1 to {VALUE_LIMIT_BYTES} bytes")));
        }
        Ok(text.to_owned())
    }
}

impl List {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let secrets = Client::new(Target::resolve(&self.server, settings)?)?.secrets().await?;
        if self.json {
            out.json(&secrets)?;
            return Ok(Exit::Success);
        }
        let secrets = secrets.as_array().map(Vec::as_slice).unwrap_or_default();
        if secrets.is_empty() {
            out.line("no secrets; `slipway secrets set NAME` makes one")?;
            return Ok(Exit::Success);
        }
        let now_ms = SystemClock.unix_ms();
        let mut table = Table::new(&["NAME", "REPOSITORY", "ENVIRONMENT", "SET"]);
        for secret in secrets {
            let field = |name: &str| secret.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let set = secret.get("set_at_ms").and_then(Json::as_u64);
            let set = set.map_or_else(String::new, |then_ms| style::ago(then_ms, now_ms));
            let whose = Some(field("repository")).filter(|name| !name.is_empty());
            table.row(vec![
                text(field("name")),
                text(whose.unwrap_or_else(|| "(all)".to_owned())),
                text(field("environment")),
                text(set),
            ]);
        }
        out.text(&table.render(out.colours))?;
        Ok(Exit::Success)
    }
}

impl Rm {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        client.remove_secret(&self.name, self.place.as_place()).await?;
        out.line(&format!("secret {} is removed", self.name.to_ascii_uppercase()))?;
        Ok(Exit::Success)
    }
}
