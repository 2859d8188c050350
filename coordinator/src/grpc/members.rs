//! How an agent becomes a member of the fleet, and keeps a certificate that says so.

use slipway_proto::v1::{EnrolRequest, EnrolResponse, RenewCertificateRequest, RenewCertificateResponse};
use slipway_scheduler::AgentId;
use slipway_wire::enrolment::{self, CSR_MAX_BYTES, Newcomer};
use tonic::{Request, Status};

use super::auth::Caller;
use super::driver_status;
use crate::audit::Origin;
use crate::authority::AuthorityError;
use crate::driver::View;
use crate::house::{EnrolledAgent, HouseCommand};
use crate::services::Services;

/// Stands for the enrolment while a request is tried before the token is used up.
const NONE_YET: &str = "none";

pub(super) async fn enrol(
    services: &Services,
    request: &Request<EnrolRequest>,
) -> Result<EnrolResponse, Status> {
    let Some(Caller::Newcomer(token_sha256)) = request.extensions().get().cloned() else {
        return Err(Status::permission_denied(
            "only a token from `slipway agents token` is good for `Enrol`",
        ));
    };
    let peer = request.remote_addr().map_or_else(String::new, |peer| format!(" {}", peer.ip()));
    let newcomer = enrolment::from_wire(request.get_ref());
    let newcomer = newcomer.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let Newcomer { agent, name, credential_sha256: credential, csr } = newcomer;
    // Without TLS nobody could show a certificate.
    let csr = csr.filter(|_| services.options.tls.is_some());
    if let Some(csr) = &csr {
        certify(services, csr, agent, NONE_YET)?;
    }
    let origin = Origin { actor: format!("agent {name}"), source: format!("grpc{peer}") };
    let certificate = csr.is_some();
    let command = HouseCommand::Enrol { agent, name, token_sha256, credential, certificate };
    services.driver.house(command, origin).await.map_err(|error| driver_status(&error))?;
    let known = enrolled(services, agent).await?;
    let certificate = csr.map(|csr| certify(services, &csr, agent, &known.token)).transpose()?;
    Ok(EnrolResponse {
        labels: known.labels,
        good_for_ms: certificate.as_ref().map_or(0, |_| life_ms(services)),
        certificate: certificate.unwrap_or_default().into(),
    })
}

pub(super) async fn renew(
    services: &Services,
    request: &Request<RenewCertificateRequest>,
) -> Result<RenewCertificateResponse, Status> {
    let Some(Caller::Agent(agent) | Caller::Unproven(agent)) = request.extensions().get().cloned() else {
        return Err(Status::permission_denied("only an agent that enrolled has a certificate"));
    };
    if services.options.tls.is_none() {
        return Err(Status::failed_precondition("this coordinator serves without TLS"));
    }
    let csr = &request.get_ref().csr;
    if csr.len() > CSR_MAX_BYTES {
        return Err(Status::invalid_argument(format!("a request has at most {CSR_MAX_BYTES} bytes")));
    }
    let known = enrolled(services, agent).await?;
    let certificate = certify(services, csr, agent, &known.token)?;
    Ok(RenewCertificateResponse { certificate: certificate.into(), good_for_ms: life_ms(services) })
}

async fn enrolled(services: &Services, agent: AgentId) -> Result<EnrolledAgent, Status> {
    let look = move |view: View<'_>| view.ledger.house().agent(agent).cloned();
    let known = services.driver.query(look).await.map_err(|error| driver_status(&error))?;
    known.ok_or_else(|| Status::unauthenticated("the agent was removed"))
}

fn certify(services: &Services, csr: &[u8], agent: AgentId, enrolment: &str) -> Result<Vec<u8>, Status> {
    services.authority.for_agent(csr, agent, enrolment).map_err(|error| match error {
        AuthorityError::Request(_) => Status::invalid_argument(error.to_string()),
        AuthorityError::Name(_) | AuthorityError::Make(_) => Status::internal(error.to_string()),
    })
}

fn life_ms(services: &Services) -> u64 {
    u64::try_from(services.authority.agent_life().as_millis()).unwrap_or(u64::MAX)
}
