//! Variables that are kept: what workflows find in the `vars` context. They are no secrets, so their values are in the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;
use slipway_scheduler::command::{RunMeta, Trust};

use super::{Address, House, HouseError, Scope};

/// The longest value, in bytes: GitHub's limit.
pub const VARIABLE_BYTES_MAX: usize = 48 << 10;

/// How many variables are kept.
pub(super) const VARIABLES_MAX: usize = 10_000;

/// How many bytes of names and values are kept in all: they are in memory and in every snapshot of the journal.
pub(super) const VARIABLES_BYTES_MAX: usize = 16 << 20;

/// How many of those of one scope: of the server, a repository or an environment. A job's specification has three of them at most.
pub(super) const SCOPE_BYTES_MAX: usize = 256 << 10;

/// A variable that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptVariable {
    /// Which.
    #[serde(flatten)]
    pub address: Address,
    /// Its value.
    pub value: String,
    /// When it was set.
    pub at: Timestamp,
}

impl KeptVariable {
    /// What it counts for against [`VARIABLES_BYTES_MAX`].
    pub(super) fn bytes(&self) -> usize {
        self.address.key().len() + self.value.len()
    }
}

/// What jobs of one repository see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryVariables {
    /// The server's and the repository's, by name in upper case; of two with one name the repository's.
    pub common: BTreeMap<String, String>,
    /// Those of its environments, by the environment's name in lower case.
    pub environments: BTreeMap<String, BTreeMap<String, String>>,
}

impl RepositoryVariables {
    /// These and what a run was given, which goes before them. Names are compared without case, as expressions look them up.
    #[must_use]
    pub fn with(&self, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        covered(self.common.clone(), given)
    }

    /// What only jobs of an environment see, and of which nothing was given to the run itself.
    #[must_use]
    pub fn of_environment(&self, name: &str, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut found = self.environments.get(&name.to_lowercase()).cloned().unwrap_or_default();
        found.retain(|name, _| !given.keys().any(|other| other.eq_ignore_ascii_case(name)));
        found
    }
}

fn covered(mut under: BTreeMap<String, String>, over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    under.retain(|name, _| !over.keys().any(|other| other.eq_ignore_ascii_case(name)));
    under.extend(over.iter().map(|(name, value)| (name.clone(), value.clone())));
    under
}

impl House {
    /// The variables that are kept.
    pub fn variables(&self) -> impl Iterator<Item = &KeptVariable> {
        self.variables.values()
    }

    /// The variables that jobs of a repository see.
    #[must_use]
    pub fn variables_of(&self, repository: &str) -> RepositoryVariables {
        let mut found = RepositoryVariables::default();
        if self.variables.is_empty() {
            return found;
        }
        let mut take = |variable: &KeptVariable| {
            let KeptVariable { address: Address { name, scope }, value, .. } = variable;
            let place = match scope {
                Scope::Environment { environment, .. } => {
                    found.environments.entry(environment.to_lowercase()).or_default()
                }
                Scope::Server | Scope::Repository { .. } => &mut found.common,
            };
            place.insert(name.clone(), value.clone());
        };
        // The nearest comes last, and takes the place of what has its name.
        self.variables_below(&Scope::Server.key()).for_each(&mut take);
        if !repository.is_empty() {
            self.variables_below(&format!("{repository}\n")).for_each(&mut take);
        }
        found
    }

    /// The variables that jobs of a run see. Code from outside sees none, as on GitHub.
    #[must_use]
    pub fn variables_for_run(&self, meta: &RunMeta) -> RepositoryVariables {
        match meta.trust {
            Trust::Trusted => self.variables_of(&meta.repository),
            Trust::Untrusted => RepositoryVariables::default(),
        }
    }

    /// Those whose keys begin so.
    fn variables_below(&self, prefix: &str) -> impl Iterator<Item = &KeptVariable> {
        let prefix = prefix.to_lowercase();
        let found = self.variables.range(prefix.clone()..);
        found.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, variable)| variable)
    }

    /// Whether a variable may have this value, beside all others.
    pub(super) fn has_room_for(&self, variable: &KeptVariable) -> Result<(), HouseError> {
        let key = variable.address.key();
        let sum = |others: &mut dyn Iterator<Item = &KeptVariable>| {
            let others = others.filter(|known| known.address.key() != key);
            others.map(KeptVariable::bytes).sum::<usize>() + variable.bytes()
        };
        let scope = variable.address.scope.key();
        for (whose, bytes, most) in [
            ("of one scope", sum(&mut self.variables_below(&scope)), SCOPE_BYTES_MAX),
            ("together", sum(&mut self.variables()), VARIABLES_BYTES_MAX),
        ] {
            if bytes > most {
                return Err(HouseError::Limit(format!(
                    "all variables {whose} have at most {most} bytes, and with this one they would have {bytes}; remove some"
                )));
            }
        }
        Ok(())
    }
}
