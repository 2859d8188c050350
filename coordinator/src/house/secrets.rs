//! Which secrets are kept.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

use super::Address;
use crate::hashicorp_vault::VaultReference;

/// A secret that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSecret {
    /// Which.
    #[serde(flatten)]
    pub address: Address,
    /// Where its value is.
    #[serde(flatten)]
    pub place: ValuePlace,
    /// When it was set.
    pub at: Timestamp,
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValuePlace {
    /// Sealed, in this file: a new one for each value, so that neither is there without the other.
    File(String),
    /// In HashiCorp Vault.
    Vault(VaultReference),
}

impl KeptSecret {
    /// The file of its sealed value.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match &self.place {
            ValuePlace::File(file) => Some(file),
            ValuePlace::Vault(_) => None,
        }
    }

    /// Where it is in HashiCorp Vault.
    #[must_use]
    pub fn reference(&self) -> Option<&VaultReference> {
        match &self.place {
            ValuePlace::File(_) => None,
            ValuePlace::Vault(reference) => Some(reference),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_has_a_file_or_a_place_in_vault() {
        let file = r#"{"name":"A","scope":"server","file":"x.sealed","at":1}"#;
        let vault =
            r#"{"name":"A","scope":"repository","repository":"o/n","vault":"secret/data/app#key","at":1}"#;
        for text in [file, vault] {
            let secret: KeptSecret = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&secret).unwrap(), text);
            assert_ne!(secret.file().is_some(), secret.reference().is_some());
        }
    }
}
