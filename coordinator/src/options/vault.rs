//! What kept secrets are sealed under, where somebody gives it.

use std::path::PathBuf;

use super::{OptionsError, wrong};
use crate::vault_keys::GivenKeys;

/// The flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct VaultFlags {
    /// Keys that kept secrets are sealed under, one of 64 hexadecimal digits a line, the newest first [default: one that the coordinator
    /// makes, in its data directory]
    #[arg(long, value_name = "FILE", env = "SLIPWAY_VAULT_KEY")]
    pub vault_key: Option<PathBuf>,
    /// The keys themselves, separated by commas; a flag shows in the list of processes, so give them with the variable
    #[arg(long, value_name = "KEYS", env = "SLIPWAY_VAULT_KEYS", hide = true, hide_env_values = true)]
    pub vault_keys: Option<String>,
}

/// The keys that are given, by the flags or by the file.
pub(super) fn load(flags: VaultFlags, file: Option<PathBuf>) -> Result<Option<GivenKeys>, OptionsError> {
    match (flags.vault_key, flags.vault_keys) {
        (Some(_), Some(_)) => Err(wrong("--vault-key", "SLIPWAY_VAULT_KEYS is set too; give one of them")),
        (Some(path), None) => Ok(Some(GivenKeys::File(path))),
        (None, Some(keys)) => Ok(Some(GivenKeys::Text(keys))),
        (None, None) => Ok(file.map(GivenKeys::File)),
    }
}
