//! What jobs of this process's agents may have of the machine beyond their containers.

use clap::Args;
use serde::{Deserialize, Serialize};
use slipway_agent::options::job_engine::Kind;

use crate::settings::Settings;

/// See the module; the same flags as an agent's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    /// Let workflows mount this volume of the engine or this folder of the machine (not what is below it); may be given again
    #[arg(
        long = "allow-volume",
        value_name = "NAME|PATH",
        value_delimiter = ',',
        env = "SLIPWAY_ALLOW_VOLUMES"
    )]
    pub allow_volumes: Vec<String>,
    /// Let workflows ask for privileged containers, and for any volume and folder of the machine
    #[arg(long, env = "SLIPWAY_ALLOW_PRIVILEGED")]
    pub allow_privileged: bool,
    /// The Docker engine that jobs find at /var/run/docker.sock: none; a private one of the job's own, without root's rights, which
    /// goes with it; or this machine's, and then each job owns the machine [default: none]
    #[arg(long, value_name = "ENGINE", value_enum, env = "SLIPWAY_JOB_ENGINE")]
    pub job_engine: Option<Kind>,
}

impl Reach {
    /// With what the configuration file says besides.
    #[must_use]
    pub fn or_file(&self, settings: &Settings) -> Self {
        let file = Self {
            allow_volumes: settings.allow_volumes.clone(),
            allow_privileged: settings.allow_privileged,
            job_engine: settings.job_engine,
        };
        file.then(self)
    }

    /// This, and then what was given later: more volumes, another engine.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        let mut volumes = self.allow_volumes.clone();
        volumes.extend(
            later.allow_volumes.iter().filter(|volume| !self.allow_volumes.contains(volume)).cloned(),
        );
        Self {
            allow_volumes: volumes,
            allow_privileged: self.allow_privileged || later.allow_privileged,
            job_engine: later.job_engine.or(self.job_engine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_add_up_and_the_later_engine_counts() {
        let reach = |volumes: &[&str], job_engine| Reach {
            allow_volumes: volumes.iter().map(|&volume| volume.to_owned()).collect(),
            allow_privileged: false,
            job_engine,
        };
        let settings = Settings {
            allow_volumes: vec!["a".to_owned()],
            job_engine: Some(Kind::Private),
            ..Settings::default()
        };
        assert_eq!(reach(&["b", "a"], None).or_file(&settings), reach(&["a", "b"], Some(Kind::Private)));
        let later = reach(&[], Some(Kind::None));
        assert_eq!(reach(&["c"], Some(Kind::Machine)).then(&later), reach(&["c"], Some(Kind::None)));
    }
}
