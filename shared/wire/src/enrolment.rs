//! An agent's request to become a member of the fleet.

use slipway_proto::v1;
use slipway_scheduler::ids::AgentId;

use crate::{WireError, limits};

/// What the text of every token for enrolment begins with: so an agent knows what it was given.
pub const TOKEN_PREFIX: &str = "slipenrol_";

/// What stands between a token's secret and the fingerprint of the coordinator's CA (SHA-256, hexadecimal), where the token has one.
const FINGERPRINT_MARK: char = '.';

/// The longest certificate signing request, in bytes: one for a key of today has a few hundred.
pub const CSR_MAX_BYTES: usize = 8 << 10;

/// What every credential that an agent makes for itself begins with.
pub const CREDENTIAL_PREFIX: &str = "slipagent_";

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Whether this is the text of a token for enrolment (good or not).
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.starts_with(TOKEN_PREFIX)
}

/// The text of a token that names the CA whose certificate the agent is to trust.
#[must_use]
pub fn with_fingerprint(token: &str, fingerprint: &str) -> String {
    format!("{token}{FINGERPRINT_MARK}{fingerprint}")
}

/// What of a token's text is its secret, and the fingerprint that it names.
///
/// # Errors
/// What is behind the secret is no fingerprint: the text was cut or changed on its way.
pub fn take_apart(text: &str) -> Result<(&str, Option<&str>), WireError> {
    match text.split_once(FINGERPRINT_MARK) {
        None => Ok((text, None)),
        Some((secret, fingerprint)) if is_sha256(fingerprint) => Ok((secret, Some(fingerprint))),
        Some((_, fingerprint)) => {
            Err(WireError::invalid("token.fingerprint", fingerprint, "64 lower-case hexadecimal digits"))
        }
    }
}

fn is_sha256(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == SHA256_DIGITS && text.bytes().all(digit)
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
    /// Its request for a certificate (PKCS#10, DER), unless it wants none.
    pub csr: Option<Vec<u8>>,
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
    WireError::check_limit("enrol.csr", request.csr.len(), CSR_MAX_BYTES)?;
    if !is_sha256(credential) {
        let wanted = "64 lower-case hexadecimal digits";
        return Err(WireError::invalid("enrol.credential_sha256", credential, wanted));
    }
    Ok(Newcomer {
        agent,
        name: request.name.chars().filter(|character| !character.is_control()).collect(),
        credential_sha256: credential.clone(),
        csr: Some(request.csr.to_vec()).filter(|csr| !csr.is_empty()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_a_fingerprint_or_none() {
        let fingerprint = "0a".repeat(32);
        let text = with_fingerprint("slipenrol_abc", &fingerprint);
        assert_eq!(take_apart(&text).unwrap(), ("slipenrol_abc", Some(fingerprint.as_str())));
        assert_eq!(take_apart("slipenrol_abc").unwrap(), ("slipenrol_abc", None));
        for cut in ["slipenrol_abc.", "slipenrol_abc.0a", &text[..text.len() - 1], &format!("{text}.0a")] {
            assert!(take_apart(cut).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_request_is_checked() {
        let good = v1::EnrolRequest {
            agent_id: "0b0f5c3e-58f2-4a5c-9d0b-7f1f0a3c9a11".to_owned(),
            name: "host\n1".to_owned(),
            credential_sha256: "ab".repeat(32),
            csr: Default::default(),
        };
        assert_eq!(from_wire(&good).unwrap().name, "host1");
        assert_eq!(from_wire(&good).unwrap().csr, None);
        let with = from_wire(&v1::EnrolRequest { csr: vec![7].into(), ..good.clone() }).unwrap();
        assert_eq!(with.csr, Some(vec![7]));
        for wrong in [
            v1::EnrolRequest { agent_id: "7".to_owned(), ..good.clone() },
            v1::EnrolRequest { name: "n".repeat(limits::MAX_NAME_BYTES + 1), ..good.clone() },
            v1::EnrolRequest { credential_sha256: "AB".repeat(32), ..good.clone() },
            v1::EnrolRequest { credential_sha256: String::new(), ..good.clone() },
            v1::EnrolRequest { csr: vec![7; CSR_MAX_BYTES + 1].into(), ..good.clone() },
        ] {
            assert!(from_wire(&wrong).is_err(), "{wrong:?}");
        }
    }
}
