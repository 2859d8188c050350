//! The secrets that a job is given when it begins.

use std::collections::{BTreeMap, BTreeSet};

use slipway_scheduler::RunId;
use slipway_scheduler::command::{LeaseRef, Trust};

use super::VaultError;
use crate::audit::Origin;
use crate::driver::View;
use crate::driver::message::RunLease;
use crate::hashicorp_vault::{self, Found};
use crate::house::{KeptSecret, Scope, ValuePlace};
use crate::secrets::SecretMap;
use crate::services::Services;

/// How often a job's secrets are looked up while somebody gives them other values.
const READS_MAX: u32 = 3;

/// What is lacking where a value is to be in HashiCorp Vault.
pub(super) const NO_VAULT: &str =
    "this coordinator knows no HashiCorp Vault: its configuration file needs a table [hashicorp_vault]";

/// What a job gets beside its run's own secrets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JobSecrets {
    /// Those of the server and of its repository.
    pub common: SecretMap,
    /// Those of its environment.
    pub environment: SecretMap,
}

/// What a leased job may have: nothing where its run is of code from outside. Who read which is in the audit trail.
///
/// # Errors
/// [`VaultError`].
pub async fn for_job(
    services: &Services,
    run: RunId,
    lease: LeaseRef,
    environment: Option<String>,
) -> Result<JobSecrets, VaultError> {
    let mut reads = 1;
    loop {
        match read_for_job(services, run, lease, environment.clone()).await {
            // The old value's file goes as soon as a new one counts: then there is another to read.
            Err(VaultError::Lost { .. }) if reads < READS_MAX => reads += 1,
            other => return other,
        }
    }
}

async fn read_for_job(
    services: &Services,
    run: RunId,
    lease: LeaseRef,
    environment: Option<String>,
) -> Result<JobSecrets, VaultError> {
    let look = move |view: View<'_>| {
        let meta = view.state.run(run)?.meta();
        let agent = view.state.leased(&lease).and_then(|instance| Some(instance.lease()?.1));
        if meta.trust == Trust::Untrusted {
            return None;
        }
        let secrets = view.ledger.house().secrets_for(&meta.repository, environment.as_deref());
        Some((agent, secrets.into_iter().cloned().collect::<Vec<_>>()))
    };
    let Some((agent, secrets)) = services.driver.query(look).await? else { return Ok(JobSecrets::default()) };
    if secrets.is_empty() {
        return Ok(JobSecrets::default());
    }
    let mut names = BTreeMap::new();
    // Of several with one name the nearest comes last: what it hides is not read.
    let mut nearest = BTreeMap::new();
    for secret in &secrets {
        let name = secret.address.name.as_str();
        names.insert(name, secret.address.describe());
        nearest.insert((matches!(secret.address.scope, Scope::Environment { .. }), name), secret);
    }
    let elsewhere = read_elsewhere(services, RunLease { run, lease }, nearest.values().copied()).await?;
    let mut given = JobSecrets::default();
    for ((of_environment, name), secret) in nearest {
        let of_which = if of_environment { &mut given.environment } else { &mut given.common };
        of_which.insert(name.to_owned(), value(services, secret, &elsewhere).await?);
    }
    let names = names.into_values().collect::<Vec<_>>().join(", ");
    let agent = agent.map_or_else(String::new, |agent| agent.to_string());
    let origin = Origin { actor: format!("run {run}"), source: format!("agent {agent}") };
    services.driver.note_about(origin, "secret.read", names).await?;
    Ok(given)
}

/// What lies in HashiCorp Vault at the paths of these secrets; each path is read once.
async fn read_elsewhere(
    services: &Services,
    lease: RunLease,
    secrets: impl Iterator<Item = &KeptSecret>,
) -> Result<Found, VaultError> {
    let referring: Vec<_> = secrets.filter_map(|secret| Some((secret, secret.reference()?))).collect();
    let Some((first, _)) = referring.first() else { return Ok(Found::new()) };
    let Some(vault) = &services.hashicorp_vault else {
        return Err(VaultError::Refused { name: first.address.describe(), why: NO_VAULT.to_owned() });
    };
    let paths: BTreeSet<_> = referring.iter().map(|(_, reference)| reference.path().to_owned()).collect();
    Ok(vault.read(services, lease, paths).await)
}

async fn value(services: &Services, secret: &KeptSecret, elsewhere: &Found) -> Result<String, VaultError> {
    let name = || secret.address.describe();
    match &secret.place {
        ValuePlace::File(file) => {
            let value = services.vault.read(&secret.address, file).await;
            value.map_err(|source| VaultError::reading(name(), source))
        }
        ValuePlace::Vault(reference) => {
            let value = hashicorp_vault::value(elsewhere, reference);
            value.map_err(|fault| VaultError::elsewhere(name(), fault))
        }
    }
}
