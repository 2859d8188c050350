//! What a driver is told, and which driver it is.
//!
//! A call may be made again: after a restart nobody knows whether the last one was. The agent's name is what makes that harmless, and it
//! is the drivers' to see to it: to start what is there, or to stop what is not, is a success and changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::{command, systemd, webhook};
use crate::https::Client;
use crate::options::{ScalerDriver, ScalerOptions};

/// What is to be done with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    Up,
    Down,
}

impl Verb {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What a driver is told; a webhook has it as its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Call {
    pub(super) action: Verb,
    /// The pool's name in lower case.
    pub(super) pool: String,
    /// `X64` or `ARM64`.
    pub(super) arch: String,
    /// Labels that the pool's agents have beyond those of all of the architecture.
    pub(super) labels: Vec<String>,
    /// What the agent calls itself.
    pub(super) agent: String,
    /// How many agents the pool should have now.
    pub(super) count: u32,
}

/// Makes calls of one pool's driver; cheap to clone.
#[derive(Clone)]
pub(super) struct Caller {
    options: Arc<ScalerOptions>,
    client: Client,
}

impl Caller {
    /// # Errors
    /// The machine's certificates cannot be read.
    pub(super) fn new(options: ScalerOptions) -> Result<Self, String> {
        Ok(Self { options: Arc::new(options), client: crate::https::client()? })
    }

    /// Makes a call and waits for what comes of it.
    ///
    /// # Errors
    /// Why it did not do what it was told, for people.
    pub(super) async fn call(&self, call: &Call) -> Result<(), String> {
        let timeout = self.options.timeout;
        match &self.options.driver {
            ScalerDriver::Command { up, down } => {
                let program = match call.action {
                    Verb::Up => up,
                    Verb::Down => down,
                };
                command::run(program, &command::variables(call), timeout).await
            }
            ScalerDriver::Systemd { systemctl, .. } => systemd::call(systemctl, call, timeout).await,
            ScalerDriver::Webhook { url, secret } => {
                webhook::send(&self.client, url, &secret.0, call, timeout).await
            }
        }
    }
}
