//! Whether jobs have a Docker engine, and whose.

use serde::{Deserialize, Serialize};

use super::{OptionsError, invalid};
use crate::limits::IMAGE_NAME_MAX_CHARS;

/// Image of private engines unless configured; `scripts/engine-image.sh` makes it.
pub const ENGINE_IMAGE: &str = "slipway/engine:latest";

/// Which engine answers at `/var/run/docker.sock` in jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// None: there is no such socket.
    #[default]
    None,
    /// One of the job's own, without root's rights, which goes with it.
    Private,
    /// The one that the agent uses: whoever reaches it owns the machine.
    Machine,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEngine {
    /// Which.
    pub kind: Kind,
    /// What private ones run in.
    pub image: String,
}

impl Default for JobEngine {
    fn default() -> Self {
        Self { kind: Kind::default(), image: ENGINE_IMAGE.to_owned() }
    }
}

impl JobEngine {
    /// Checks what was given.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub(super) fn checked(
        kind: Option<Kind>,
        image: Option<String>,
        accept_untrusted: bool,
        emulated: bool,
    ) -> Result<Self, OptionsError> {
        let kind = kind.unwrap_or_default();
        if kind == Kind::Machine && accept_untrusted {
            let message =
                "cannot be combined with --job-engine machine: code from outside would own this machine";
            return Err(invalid("--accept-untrusted", message));
        }
        if kind == Kind::Private && emulated {
            let message = "private: an emulated architecture has no namespaces of its own; use an agent of the machine's";
            return Err(invalid("--job-engine", message));
        }
        let image = image.unwrap_or_else(|| ENGINE_IMAGE.to_owned());
        if image.trim().is_empty() || image.chars().count() > IMAGE_NAME_MAX_CHARS {
            return Err(invalid("--job-engine-image", format!("`{image}` is not the name of an image")));
        }
        Ok(Self { kind, image })
    }
}
