//! An agent's first message.

use slipway_proto::{PROTOCOL_VERSION, v1};
use slipway_scheduler::fleet::{Resources, Sizing};
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
    /// Its processors and memory, where it counts them.
    pub sizing: Option<Sizing>,
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
        sizing: hello.sizing.as_ref().map(sizing).transpose()?,
    })
}

/// No job may take more than there is: it would wait for good.
fn sizing(sizing: &v1::Sizing) -> Result<Sizing, WireError> {
    WireError::check_limit("hello.sizing.sizes", sizing.sizes.len(), limits::MAX_LABELS)?;
    let amount = |amount: &v1::Resources| Resources {
        cpu_millis: amount.cpu_millis,
        memory_bytes: amount.memory_bytes,
    };
    let total = sizing.total.as_ref().map(amount).unwrap_or_default();
    let each = sizing.each.as_ref().map(amount).unwrap_or_default();
    let checked = |name: &str, size: Resources| match size.fits(total) {
        true => Ok(size),
        false => Err(WireError::invalid("hello.sizing", name, "sizes that fit into the total")),
    };
    let each = checked("each", each)?;
    let sizes = sizing.sizes.iter().map(|(label, size)| {
        WireError::check_limit("hello.sizing.sizes", label.len(), limits::MAX_LABEL_BYTES)?;
        Ok((label.to_lowercase(), checked(label, amount(size))?))
    });
    Ok(Sizing { total, each, sizes: sizes.collect::<Result<_, WireError>>()? })
}
