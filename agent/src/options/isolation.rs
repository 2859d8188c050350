//! What an admin decides about how jobs are kept apart from the machine.

use super::{OptionsError, invalid};

/// Longest name of a runtime.
const MAX_RUNTIME_CHARS: usize = 100;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolation {
    /// The engine's runtime for the containers of jobs; none: the engine's default.
    pub runtime: Option<String>,
    /// Volumes of the engine and folders of the machine that workflows may mount.
    pub volumes: Vec<String>,
    /// Whether jobs may reach what cloud machines tell their own programs: credentials, for one.
    pub metadata: bool,
}

impl Isolation {
    /// Checks what was given.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub(super) fn checked(self, accept_untrusted: bool) -> Result<Self, OptionsError> {
        if accept_untrusted && (self.metadata || !self.volumes.is_empty()) {
            let flag = if self.metadata { "--allow-metadata" } else { "--allow-volume" };
            let message = format!("cannot be combined with {flag}: code from outside would have it, too");
            return Err(invalid("--accept-untrusted", message));
        }
        if let Some(volume) = self.volumes.iter().find(|volume| !plain_volume(volume)) {
            let message = format!("`{volume}` is neither the name of a volume nor a whole path without `..`");
            return Err(invalid("--allow-volume", message));
        }
        if let Some(runtime) = &self.runtime {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            if runtime.is_empty() || runtime.len() > MAX_RUNTIME_CHARS || !runtime.chars().all(plain) {
                return Err(invalid("--runtime", format!("`{runtime}` is not the name of a runtime")));
            }
        }
        Ok(self)
    }
}

fn plain_volume(volume: &str) -> bool {
    let path = volume.starts_with('/') && volume.split('/').all(|part| part != "..");
    (path || crate::docker::volumes::is_name(volume)) && !volume.contains(':')
}
