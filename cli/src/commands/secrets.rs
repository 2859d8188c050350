//! `slipway secrets`: what workflows find in the `secrets` context, kept by the coordinator.

use clap::{Args, Subcommand};

use super::kept::{self, List, Place, Rm, ValueFrom};
use crate::client::house::{Kept, KeptValue};
use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::settings::Settings;

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
    /// Seal all secrets under a new key: one that the coordinator makes, or the first of its --vault-key
    Rotate(Rotate),
}

#[derive(Debug, Args)]
struct Set {
    /// Its name: letters, digits and _
    name: String,
    #[command(flatten)]
    place: Place,
    // Never on the command line, which the list of processes shows.
    #[command(flatten)]
    value: ValueFrom,
    /// The value is in HashiCorp Vault, and read there when a job begins: a path of its API and a field, such as
    /// secret/data/app#password
    #[arg(long, value_name = "PATH#FIELD", conflicts_with = "value_file")]
    from_vault: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Rotate {
    #[command(flatten)]
    server: ServerArgs,
}

impl Rotate {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let answer = Client::new(Target::resolve(&self.server, settings)?)?.rotate_vault().await?;
        let sealed = answer.get("sealed").and_then(serde_json::Value::as_u64).unwrap_or_default();
        let values = if sealed == 1 { "value is" } else { "values are" };
        out.line(&format!(
            "{sealed} {values} sealed under a new key; those of before are not needed any more"
        ))?;
        Ok(Exit::Success)
    }
}

impl Secrets {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::Set(Set { name, place, value, from_vault, server }) => {
                let read = match &from_vault {
                    Some(_) => String::new(),
                    None => kept::value(Kept::Secret, &name, value.value_file.as_deref())?,
                };
                let value = from_vault.as_deref().map_or(KeptValue::Here(&read), KeptValue::InVault);
                kept::set(Kept::Secret, (&name, value), &place, &server, settings, out).await
            }
            What::List(list) => list.run(Kept::Secret, settings, out).await,
            What::Rm(rm) => rm.run(Kept::Secret, settings, out).await,
            What::Rotate(rotate) => rotate.run(settings, out).await,
        }
    }
}
