//! `slipway variables`: what workflows find in the `vars` context, kept by the coordinator.

use clap::{Args, Subcommand};

use super::kept::{self, List, Place, Rm, ValueFrom};
use crate::client::ServerArgs;
use crate::client::house::{Kept, KeptValue};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::settings::Settings;

/// Flags of `slipway variables`.
#[derive(Debug, Args)]
pub struct Variables {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Give a variable a value, for jobs that are planned from now on
    Set(Set),
    /// List which variables there are
    List(List),
    /// Remove a variable
    Rm(Rm),
}

#[derive(Debug, Args)]
struct Set {
    /// Its name: letters, digits and _
    name: String,
    /// Its value; everybody who may start runs can read it
    #[arg(allow_hyphen_values = true, conflicts_with = "value_file")]
    value: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    from: ValueFrom,
    #[command(flatten)]
    server: ServerArgs,
}

impl Variables {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::Set(Set { name, value, place, from, server }) => {
                let value = match value {
                    Some(value) => value,
                    None => kept::value(Kept::Variable, &name, from.value_file.as_deref())?,
                };
                kept::set(Kept::Variable, (&name, KeptValue::Here(&value)), &place, &server, settings, out)
                    .await
            }
            What::List(list) => list.run(Kept::Variable, settings, out).await,
            What::Rm(rm) => rm.run(Kept::Variable, settings, out).await,
        }
    }
}
