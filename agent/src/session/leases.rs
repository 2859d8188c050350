//! What the supervisor does with its leases: what it hears, what jobs say, what the clock says.

use slipway_kit::clock::Clock;
use slipway_proto::v1;
use slipway_proto::v1::agent_message::Message as Out;
use tokio::sync::watch;
use tokio::time::Instant;

use super::guard::Guard;
use super::messages::Incoming;
use super::supervisor::{Status, Stream, Supervisor, send};
use super::{Assignment, JobEvent, JobOrders};
use crate::lease::Lease;
use crate::limits::REPORT_AGAIN;

/// A lease that is worked on.
pub(super) struct Job {
    pub(super) lease: Lease,
    pub(super) guard: Guard,
    pub(super) orders: watch::Sender<JobOrders>,
    pub(super) step_began: bool,
    pub(super) step_began_sent: Option<Instant>,
    /// Set once it has ended.
    pub(super) report: Option<v1::Report>,
    pub(super) report_sent: Option<Instant>,
}

/// A renewal that was sent.
pub(super) struct Renewal {
    number: u64,
    pub(super) sent_ms: u64,
    leases: Vec<Lease>,
}

impl Job {
    /// Orders its end without a report; the first reason stays.
    pub(super) fn stop(&self, why: &str) {
        self.orders.send_if_modified(|orders| {
            let first = orders.stop.is_none();
            orders.stop.get_or_insert_with(|| why.to_owned());
            first
        });
    }
}

impl<C: Clock> Supervisor<C> {
    /// Acts on a message. True when a renewal should go out now.
    pub(super) fn hear(&mut self, stream: &Stream, message: Incoming) -> Result<bool, String> {
        match message {
            Incoming::Welcome { .. } => return Err("the coordinator said Welcome twice".to_owned()),
            Incoming::Assign(assignment, lease_ms) => return self.assigned(stream, assignment, lease_ms),
            Incoming::Renewed { number, leases, lease_ms } => self.renewed(number, &leases, lease_ms),
            Incoming::Cancel(lease, reason) => {
                if let Some(job) = self.held(lease) {
                    job.orders.send_if_modified(|orders| {
                        let first = orders.cancel.is_none();
                        orders.cancel.get_or_insert(reason);
                        first
                    });
                }
            }
            Incoming::Stop(lease, reason) => {
                if let Some(job) = self.held(lease) {
                    job.stop(if reason.is_empty() { "the coordinator has stopped it" } else { &reason });
                }
            }
            Incoming::Accepted(lease) => {
                if self.held(lease).is_some_and(|job| job.report.is_some())
                    && let Some(job) = self.jobs.remove(&lease.attempt)
                {
                    job.orders.send_modify(|orders| orders.accepted = true);
                    self.count_jobs();
                }
            }
            Incoming::BeginStep(lease) => {
                if let Some(job) = self.held(lease) {
                    job.orders.send_if_modified(|orders| !std::mem::replace(&mut orders.begin, true));
                }
            }
            Incoming::Drain(on) => self.draining = on,
        }
        Ok(false)
    }

    fn held(&mut self, lease: Lease) -> Option<&mut Job> {
        self.jobs.get_mut(&lease.attempt).filter(|job| job.lease == lease)
    }

    fn assigned(&mut self, stream: &Stream, given: Assignment, lease_ms: u64) -> Result<bool, String> {
        let lease = given.lease;
        let busy = self.jobs.values().filter(|job| job.report.is_none()).count();
        let refusal = match self.jobs.get(&lease.attempt) {
            // Sent twice: it is worked on already.
            Some(job) if job.lease == lease => return Ok(false),
            Some(_) => Some("this agent still ends the attempt's former lease".to_owned()),
            None if self.draining => Some("this agent is draining".to_owned()),
            None if busy >= self.introduction.slots as usize => {
                Some("this agent has no free slot".to_owned())
            }
            None => self.paused(),
        };
        if let Some(reason) = refusal {
            let decline = v1::Decline { lease: Some(lease.to_wire()), reason };
            send(stream, Out::Decline(decline))?;
            // It gets no more until it is heard of again.
            self.declined = true;
            return Ok(false);
        }
        // The assignment was sent after the answer that was heard last, and that answers what was sent at `answered_ms`.
        let now_ms = self.clock.boottime_ms();
        let guard = Guard::granted(given.strict, self.answered_ms, now_ms, lease_ms, &self.terms);
        let link = self.insert(lease, guard);
        self.count_jobs();
        self.start.start(given, link);
        Ok(true)
    }

    fn renewed(&mut self, number: u64, prolonged: &[Lease], longer_ms: u64) {
        let Some(at) = self.renewals.iter().position(|renewal| renewal.number == number) else { return };
        // Answers come in order: what was sent before this one won't be answered any more.
        let Some(renewal) = self.renewals.drain(..=at).next_back() else { return };
        self.answered_ms = renewal.sent_ms;
        let lease_ms = self.terms.lease_ms.max(longer_ms);
        for lease in renewal.leases {
            let Some(job) = self.held(lease) else { continue };
            if prolonged.contains(&lease) {
                job.guard.renewed(renewal.sent_ms, lease_ms);
            } else {
                job.stop("the lease was lost");
            }
        }
        self.tell_stop_times();
        self.hand_over.answered(number);
    }

    /// A renewal of all leases, which is taken note of.
    pub(super) fn renewal(&mut self) -> Out {
        let number = self.next_renewal;
        self.next_renewal += 1;
        self.declined = false;
        let leases: Vec<Lease> = self.jobs.values().map(|job| job.lease).collect();
        let wire = leases.iter().map(|lease| lease.to_wire()).collect();
        self.renewals.push_back(Renewal { number, sent_ms: self.clock.boottime_ms(), leases });
        Out::Renew(v1::Renew { number, leases: wire, lease_ms: 0 })
    }

    /// Tells each job's init the time at which it must end on its own.
    pub(super) fn tell_stop_times(&self) {
        for job in self.jobs.values() {
            let stop_at = job.guard.stop_at_ms(&self.terms);
            job.orders.send_if_modified(|orders| {
                let changed = orders.stop_boottime_ms != stop_at;
                orders.stop_boottime_ms = stop_at;
                changed
            });
        }
    }

    /// Stops the jobs whose time is over.
    pub(super) fn watch_leases(&mut self) {
        let now_ms = self.clock.boottime_ms();
        for job in self.jobs.values().filter(|job| job.report.is_none()) {
            if job.guard.expired(&self.terms, now_ms) {
                job.stop("its lease ran out without contact to the coordinator");
            }
        }
    }

    pub(super) fn job_said(&mut self, event: JobEvent) {
        match event {
            JobEvent::StepBegan(lease) => {
                if let Some(job) = self.held(lease) {
                    job.step_began = true;
                }
            }
            JobEvent::Ended(lease, report) => {
                if let Some(job) = self.held(lease) {
                    job.report = Some(*report);
                    job.report_sent = None;
                }
            }
            JobEvent::Gone(lease) => {
                if self.held(lease).is_some() {
                    self.jobs.remove(&lease.attempt);
                    self.count_jobs();
                }
            }
        }
    }

    /// Sends what was not sent on this connection, or not answered for a while: that steps begin, and reports.
    pub(super) fn send_unanswered(&mut self, stream: &Stream) -> Result<(), String> {
        let now = Instant::now();
        for job in self.jobs.values_mut() {
            let due = job.step_began_sent.is_none_or(|sent| now.duration_since(sent) >= REPORT_AGAIN);
            if job.step_began && due && !job.orders.borrow().begin {
                send(stream, Out::StepBegan(v1::StepBegan { lease: Some(job.lease.to_wire()) }))?;
                job.step_began_sent = Some(now);
            }
            let due = job.report_sent.is_none_or(|sent| now.duration_since(sent) >= REPORT_AGAIN);
            if let Some(report) = job.report.as_ref().filter(|_| due) {
                send(stream, Out::Report(report.clone()))?;
                job.report_sent = Some(now);
            }
        }
        Ok(())
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.status.send_modify(|status| status.connected = connected);
    }

    pub(super) fn count_jobs(&self) {
        self.status.send_if_modified(|status: &mut Status| {
            let changed = status.jobs != self.jobs.len();
            status.jobs = self.jobs.len();
            changed
        });
    }
}
