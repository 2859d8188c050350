//! An agent's request to become a member of the fleet.

use slipway_proto::v1;
use slipway_scheduler::ids::AgentId;

use crate::{WireError, limits};

/// What the text of every token for enrolment begins with: so an agent knows what it was given.
pub const TOKEN_PREFIX: &str = "slipenrol_";

/// What every credential that an agent makes for itself begins with.
pub const CREDENTIAL_PREFIX: &str = "slipagent_";

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Whether this is the text of a token for enrolment (good or not).
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.starts_with(TOKEN_PREFIX)
}

/// Whether this may be the credential of an agent that enrolled.
#[must_use]
pub fn is_credential(text: &str) -> bool {
    text.starts_with(CREDENTIAL_PREFIX)
}

/// Who wants to become a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// The agent.
    pub agent: AgentId,
    /// What people see.
    pub name: String,
    /// SHA-256 of its credential, in hexadecimal.
    pub credential_sha256: String,
}

/// A request from the wire.
///
/// # Errors
/// When a field is missing, malformed or beyond its limit.
pub fn from_wire(request: &v1::EnrolRequest) -> Result<Newcomer, WireError> {
    let agent = request
        .agent_id
        .parse::<AgentId>()
        .map_err(|_| WireError::invalid("enrol.agent_id", &request.agent_id, "a UUID"))?;
    WireError::check_limit("enrol.name", request.name.len(), limits::MAX_NAME_BYTES)?;
    let credential = &request.credential_sha256;
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if credential.len() != SHA256_DIGITS || !credential.bytes().all(digit) {
        let wanted = "64 lower-case hexadecimal digits";
        return Err(WireError::invalid("enrol.credential_sha256", credential, wanted));
    }
    Ok(Newcomer {
        agent,
        name: request.name.chars().filter(|character| !character.is_control()).collect(),
        credential_sha256: credential.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_checked() {
        let good = v1::EnrolRequest {
            agent_id: "0b0f5c3e-58f2-4a5c-9d0b-7f1f0a3c9a11".to_owned(),
            name: "host\n1".to_owned(),
            credential_sha256: "ab".repeat(32),
        };
        assert_eq!(from_wire(&good).unwrap().name, "host1");
        for wrong in [
            v1::EnrolRequest { agent_id: "7".to_owned(), ..good.clone() },
            v1::EnrolRequest { name: "n".repeat(limits::MAX_NAME_BYTES + 1), ..good.clone() },
            v1::EnrolRequest { credential_sha256: "AB".repeat(32), ..good.clone() },
            v1::EnrolRequest { credential_sha256: String::new(), ..good.clone() },
        ] {
            assert!(from_wire(&wrong).is_err(), "{wrong:?}");
        }
    }
}
