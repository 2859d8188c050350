//! What an agent's certificate says: a URI, `slipway://agent/AGENT/ENROLMENT`.

use slipway_scheduler::AgentId;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// What every such name begins with.
const PREFIX: &str = "slipway://agent/";

/// Which agent, by which enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The agent.
    pub(crate) agent: AgentId,
    /// The id of the token that it used.
    pub(crate) enrolment: String,
}

/// The name in the certificate.
pub(super) fn name(agent: AgentId, enrolment: &str) -> String {
    format!("{PREFIX}{agent}/{enrolment}")
}

/// Whose certificate (DER) this is; none: no agent's. That it is good, whoever made the connection has verified.
pub(crate) fn member(certificate: &[u8]) -> Option<Member> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else { return None };
    let (agent, enrolment) = uri.strip_prefix(PREFIX)?.split_once('/')?;
    Some(Member { agent: agent.parse().ok()?, enrolment: enrolment.to_owned() })
}
