//! One agent's session: what it says goes to the driver, what the driver says goes to it.

use std::time::Duration;

use bytes::Bytes;
use slipway_cas::Digest;
use slipway_proto::v1::{self, agent_message::Message};
use slipway_scheduler::fleet::AgentProfile;
use slipway_scheduler::{AgentId, FleetCause, JobResult, Outcome};
use slipway_wire::report::Ending;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{driver_status, to_wire};
use crate::driver::message::{RunLease, SESSION_QUEUE, SessionLink, ToAgent};
use crate::driver::{AgentHello, FromAgent};
use crate::records::{AttemptKey, RecordsError};
use crate::services::Services;

/// How long a new stream has for its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A session that was opened.
pub(super) struct Opened {
    pub(super) agent: AgentId,
    pub(super) number: u64,
    pub(super) outbox: mpsc::Receiver<Box<ToAgent>>,
    pub(super) over: CancellationToken,
}

/// Reads the hello and opens the session.
pub(super) async fn open(
    services: &Services,
    caller: Option<AgentId>,
    inbound: &mut Streaming<v1::AgentMessage>,
) -> Result<Opened, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello came"))??;
    let Some(Message::Hello(hello)) = first.and_then(|first| first.message) else {
        return Err(Status::failed_precondition("the first message of a session is Hello"));
    };
    let hello =
        slipway_wire::hello::from_wire(&hello).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let agent = hello.agent;
    if caller.is_some_and(|caller| caller != agent) {
        return Err(Status::permission_denied("the credential is another agent's"));
    }
    tracing::info!(%agent, name = hello.name, version = hello.version, held = hello.held.len(), "agent says hello");
    let (sender, outbox) = mpsc::channel(SESSION_QUEUE);
    let over = CancellationToken::new();
    let link = SessionLink { agent, outbox: sender, over: over.clone() };
    let profile = AgentProfile {
        id: agent,
        name: hello.name,
        labels: hello.labels,
        slots: hello.slots,
        accepts_untrusted: hello.accepts_untrusted,
        sizing: hello.sizing,
    };
    let held = hello.held.iter().map(to_wire::from_wire_lease).collect();
    let hello = AgentHello { profile, held, draining: hello.draining };
    let number = services.driver.hello(hello, link).await.map_err(|error| driver_status(&error))?;
    Ok(Opened { agent, number, outbox, over })
}

/// Passes on what the agent says until its stream or the session ends. What it says wrongly ends the session, with the
/// reason as its answer.
pub(super) async fn listen(
    services: &Services,
    inbound: &mut Streaming<v1::AgentMessage>,
    agent: AgentId,
    number: u64,
    over: &CancellationToken,
) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            () = over.cancelled() => return Ok(()),
            message = inbound.next() => message,
        };
        let message = match message {
            Some(Ok(message)) => message,
            // The connection broke: no news, the agent comes back.
            Some(Err(_)) | None => return Ok(()),
        };
        let Some(message) = message.message else { continue };
        let message = convert(services, message).await?;
        services.driver.agent_said(agent, number, message).await.map_err(|error| driver_status(&error))?;
    }
}

async fn convert(services: &Services, message: Message) -> Result<FromAgent, Status> {
    let invalid = |error: slipway_wire::WireError| Status::invalid_argument(error.to_string());
    let lease = |lease: Option<&v1::Lease>| -> Result<RunLease, Status> {
        Ok(to_wire::from_wire_lease(&slipway_wire::lease::from_wire(lease).map_err(invalid)?))
    };
    Ok(match message {
        Message::Hello(_) => {
            return Err(Status::failed_precondition("Hello is a session's first message only"));
        }
        Message::Renew(renew) => {
            let leases =
                slipway_wire::lease::all_from_wire("renew.leases", &renew.leases).map_err(invalid)?;
            let leases = leases.iter().map(to_wire::from_wire_lease).collect();
            FromAgent::Renew { number: renew.number, leases, lease_ms: renew.lease_ms.into() }
        }
        // Boxed: rare, and large; without that each idle session would have the room for it.
        Message::Report(report) => Box::pin(convert_report(services, report)).await?,
        Message::Capacity(capacity) => {
            if capacity.slots > slipway_wire::limits::MAX_SLOTS {
                return Err(Status::invalid_argument("`capacity.slots` is beyond its limit"));
            }
            FromAgent::Capacity { slots: capacity.slots, draining: capacity.draining }
        }
        Message::Paused(paused) => FromAgent::Paused(shown_reason(&paused.reason)),
        Message::StepBegan(began) => FromAgent::StepBegan(lease(began.lease.as_ref())?),
        Message::Decline(decline) => {
            let reason = decline.reason.chars().take(1_000).collect();
            FromAgent::Decline { lease: lease(decline.lease.as_ref())?, reason }
        }
    })
}

/// Longest reason of an agent for taking no jobs that is shown, in characters.
const REASON_MAX_CHARS: usize = 200;

/// An agent's words as people may see them; empty ones are none.
fn shown_reason(reason: &str) -> Option<String> {
    let plain = reason.chars().filter(|character| !character.is_control()).take(REASON_MAX_CHARS);
    Some(plain.collect::<String>()).filter(|reason| !reason.trim().is_empty())
}

async fn convert_report(services: &Services, report: v1::Report) -> Result<FromAgent, Status> {
    let report = slipway_wire::report::from_wire(report)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let lease = to_wire::from_wire_lease(&report.lease);
    let (records, records_digest) = (report.records, report.records_digest);
    match check_records(services, &lease, records, records_digest).await? {
        Records::AsReported => {
            let (outcome, message) = outcome(services, report.ending).await?;
            Ok(FromAgent::Report { lease, outcome, records, records_digest, message })
        }
        Records::Otherwise { durable, digest, why } => {
            Ok(contradicted(lease, report.ending, durable, digest, &why))
        }
    }
}

/// How a report's records compare with those that are durable.
enum Records {
    AsReported,
    /// They are others, and will be for ever.
    Otherwise {
        /// How many there are.
        durable: u64,
        digest: Digest,
        /// What does not fit, for a person.
        why: String,
    },
}

/// A report comes after its records: they are counted, and compared with its digest, before the scheduler hears of it.
async fn check_records(
    services: &Services,
    lease: &RunLease,
    records: u64,
    digest: Option<Digest>,
) -> Result<Records, Status> {
    if (records == 0 && digest.is_none()) || !services.driver.leases().is_live(lease) {
        return Ok(Records::AsReported);
    }
    let failed = |error: RecordsError| Status::unavailable(error.to_string());
    let key = AttemptKey { run: lease.run, instance: lease.lease.instance, attempt: lease.lease.attempt };
    let log = services.records.attempt(key).await.map_err(failed)?;
    let durable = log.durable();
    if durable == records && digest.is_none() {
        return Ok(Records::AsReported);
    }
    let counted = services.records.digest(&log).await.map_err(failed)?;
    let why = match digest {
        _ if durable != records => format!("{records} records are reported, {durable} are durable"),
        Some(reported) if reported != counted => {
            format!(
                "the records that are reported have the digest {reported}, those that are durable {counted}"
            )
        }
        _ => return Ok(Records::AsReported),
    };
    Ok(Records::Otherwise { durable, digest: counted, why })
}

/// What becomes of a report that speaks of other records than there are. It would be refused for ever, and so could the
/// session that brings it: the attempt has failed then, whatever its end was, for its log cannot be trusted.
fn contradicted(lease: RunLease, ending: Ending, durable: u64, digest: Digest, why: &str) -> FromAgent {
    let (cause, told) = match ending {
        Ending::Fleet { cause, message } => (cause, format!("{message}; ")),
        Ending::Work { result, .. } => {
            (FleetCause::Internal, format!("the job ended as {}, but ", result.as_str()))
        }
    };
    let message = format!("{told}its log is not the one that its agent reports: {why}");
    tracing::error!(run = %lease.run, instance = %lease.lease.instance, attempt = lease.lease.attempt, message, "an attempt's log is damaged");
    let outcome = Outcome::Fleet { cause };
    FromAgent::Report { lease, outcome, records: durable, records_digest: Some(digest), message }
}

async fn outcome(services: &Services, ending: Ending) -> Result<(Outcome, String), Status> {
    Ok(match ending {
        Ending::Fleet { cause, message } => (Outcome::Fleet { cause }, message),
        Ending::Work { timed_out: true, message, .. } => (Outcome::TimedOut, message),
        Ending::Work { result: JobResult::Cancelled, message, .. } => (Outcome::Cancelled, message),
        Ending::Work { result, outputs, message, .. } => {
            let outputs = if outputs.is_empty() {
                None
            } else {
                let json =
                    serde_json::to_vec(&outputs).map_err(|error| Status::internal(error.to_string()))?;
                let stored = services.store.put(Bytes::from(json)).await;
                Some(stored.map_err(|error| Status::unavailable(error.to_string()))?)
            };
            let outcome = match result {
                JobResult::Success => Outcome::Success { outputs },
                _ => Outcome::Failure { outputs },
            };
            (outcome, message)
        }
    })
}
