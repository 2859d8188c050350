//! Signed addresses of uploads and downloads: who has one may use it, for a while and while its job runs.
//!
//! `/results/blobs/<id>?sv=1&sp=w&se=<Unix seconds>&sj=<lease>&sig=<hex>`. The path has the parts that
//! `@azure/storage-blob` wants of every host: an account or a container, and a blob's name. `sig` is the parameter that
//! `@actions/artifact` masks in logs. The host is not signed: a job reaches the service under a name of its own.

use serde::Deserialize;

use super::error::ResultsError;
use super::token::{lease_of_word, lease_word};
use crate::driver::message::RunLease;
use crate::key::SigningKey;

/// Path of all blobs.
pub(super) const PATH: &str = "/results/blobs";

/// What may be done with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// Download.
    Read,
    /// Upload.
    Write,
}

impl Permission {
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
        }
    }
}

/// The query of a signed address. Azure's own parameters stand beside it.
#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    sp: String,
    #[serde(default)]
    se: u64,
    #[serde(default)]
    sj: String,
    #[serde(default)]
    sig: String,
    /// `block` or `blocklist`; none for a whole blob.
    pub(super) comp: Option<String>,
    /// The block's id.
    pub(super) blockid: Option<String>,
}

fn text(id: i64, permission: &str, until_s: u64, lease: &str) -> String {
    format!("1\n{id}\n{permission}\n{until_s}\n{lease}")
}

/// The path and query of an address.
pub(super) fn sign(
    key: &SigningKey,
    id: i64,
    permission: Permission,
    until_s: u64,
    lease: &RunLease,
) -> String {
    let (permission, lease) = (permission.word(), lease_word(lease));
    let signature = hex::encode(key.sign(text(id, permission, until_s, &lease).as_bytes()));
    format!("{PATH}/{id}?sv=1&sp={permission}&se={until_s}&sj={lease}&sig={signature}")
}

impl Signed {
    /// The lease for which the address was signed, if it allows this now.
    ///
    /// # Errors
    /// [`ResultsError::Denied`].
    pub(super) fn check(
        &self,
        key: &SigningKey,
        id: i64,
        permission: Permission,
        now_s: u64,
    ) -> Result<RunLease, ResultsError> {
        let refused = |why: &str| ResultsError::Denied(format!("the address {why}"));
        let signature = hex::decode(&self.sig).unwrap_or_default();
        if !key.is_signed(text(id, &self.sp, self.se, &self.sj).as_bytes(), &signature) {
            return Err(refused("is not signed by this coordinator"));
        }
        if self.sp != permission.word() {
            return Err(refused("does not allow this"));
        }
        if self.se <= now_s {
            return Err(refused("has run out"));
        }
        lease_of_word(&self.sj).ok_or_else(|| refused("names no lease"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_scheduler::command::LeaseRef;
    use slipway_scheduler::ids::{FencingToken, InstanceId, RunId};

    use super::*;

    #[test]
    fn an_address_holds_for_one_blob_one_use_and_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("key")).unwrap();
        let lease = RunLease {
            run: RunId::from_u128(1),
            lease: LeaseRef {
                instance: InstanceId::from_u128(2),
                attempt: 1,
                token: FencingToken { epoch: 1, sequence: 9 },
            },
        };
        let address = sign(&key, 7, Permission::Write, 100, &lease);
        let read = |address: &str| {
            let uri: axum::http::Uri = address.parse().unwrap();
            axum::extract::Query::<Signed>::try_from_uri(&uri).unwrap().0
        };
        let signed = read(&format!("{address}&comp=block&blockid=AAAA"));
        assert_eq!(signed.comp.as_deref(), Some("block"));
        assert_eq!(signed.check(&key, 7, Permission::Write, 99).unwrap(), lease);
        assert!(signed.check(&key, 8, Permission::Write, 99).is_err());
        assert!(signed.check(&key, 7, Permission::Read, 99).is_err());
        assert!(signed.check(&key, 7, Permission::Write, 100).is_err());
        for changed in [
            address.replace("sp=w", "sp=r"),
            address.replace("se=100", "se=900"),
            address.replace(".1.9", ".1.8"),
        ] {
            let changed = read(&changed);
            for permission in [Permission::Read, Permission::Write] {
                assert!(changed.check(&key, 7, permission, 99).is_err());
            }
        }
    }
}
