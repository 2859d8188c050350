//! An agent's first message.

use slipway_proto::{PROTOCOL_VERSION, v1};
use slipway_scheduler::ids::AgentId;
use slipway_scheduler::label::LabelSet;

use crate::lease::{self, WireLease};
use crate::{WireError, limits};

/// Who an agent is and what it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentHello {
    /// The agent.
    pub agent: AgentId,
    /// What people see.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// `X64` or `ARM64`.
    pub architecture: String,
    /// What it offers, its architecture among them.
    pub labels: LabelSet,
    /// How many jobs it runs at once.
    pub slots: u32,
    /// What it still executes.
    pub held: Vec<WireLease>,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// Whether it runs code from outside too.
    pub accepts_untrusted: bool,
}

/// A hello from the wire.
///
/// # Errors
/// When the agent speaks another protocol, or a field is missing, malformed or beyond its limit.
pub fn from_wire(hello: &v1::Hello) -> Result<AgentHello, WireError> {
    if hello.protocol != PROTOCOL_VERSION {
        return Err(WireError::Protocol { theirs: hello.protocol, ours: PROTOCOL_VERSION });
    }
    let agent = hello
        .agent_id
        .parse::<AgentId>()
        .map_err(|_| WireError::invalid("hello.agent_id", &hello.agent_id, "a UUID"))?;
    WireError::check_limit("hello.name", hello.name.len(), limits::MAX_NAME_BYTES)?;
    WireError::check_limit("hello.version", hello.version.len(), limits::MAX_NAME_BYTES)?;
    if !matches!(hello.architecture.as_str(), "X64" | "ARM64") {
        return Err(WireError::invalid("hello.architecture", &hello.architecture, "`X64` or `ARM64`"));
    }
    WireError::check_limit("hello.labels", hello.labels.len(), limits::MAX_LABELS)?;
    for label in &hello.labels {
        WireError::check_limit("hello.labels", label.len(), limits::MAX_LABEL_BYTES)?;
        if label.trim().is_empty() || label.chars().any(char::is_control) {
            return Err(WireError::invalid("hello.labels", label, "labels without control characters"));
        }
    }
    if hello.slots > limits::MAX_SLOTS {
        return Err(WireError::TooLarge {
            field: "hello.slots",
            actual: u64::from(hello.slots),
            limit: u64::from(limits::MAX_SLOTS),
        });
    }
    let labels = hello.labels.iter().map(String::as_str).chain([hello.architecture.as_str()]);
    Ok(AgentHello {
        agent,
        name: hello.name.chars().filter(|character| !character.is_control()).collect(),
        version: hello.version.clone(),
        architecture: hello.architecture.clone(),
        labels: LabelSet::new(labels),
        slots: hello.slots,
        held: lease::all_from_wire("hello.held", &hello.held)?,
        draining: hello.draining,
        accepts_untrusted: hello.accepts_untrusted,
    })
}
