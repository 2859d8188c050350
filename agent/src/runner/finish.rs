//! The end of a job: its outputs and result, and the clean-up after it was reported.

use std::io::ErrorKind;
use std::sync::Arc;

use super::Machine;
use super::attempt::{AbortOnDrop, Attempt, End};
use super::folder::JobFolder;
use super::saved::{Outcome, WorkResult};
use super::things::Things;
use super::vessel::Vessel;
use crate::docker::once::Once;
use crate::failure::Failure;
use crate::init::limits::CLEAR_FLAG;
use crate::lease::Lease;
use crate::limits::CLEAR_TIME;
use crate::records::log::JobLog;
use crate::records::upload::UploadEnd;
use crate::session::{JobEvent, JobLink};
use crate::steps::annotations::Level;
use crate::steps::outcome::JobStatus;

/// Where a folder is in the container in which it is emptied.
const CLEARED: &str = "/cleared";

impl Attempt {
    /// Evaluates the outputs and settles the result.
    pub(super) async fn conclude(&mut self, log: &mut JobLog, vessel: &Vessel) -> Result<(), End> {
        log.select(self.setup_index(), Default::default());
        self.show_services(log).await;
        let mut outputs = Vec::new();
        let evaluated = {
            let contexts = self.contexts(self.in_container());
            let scope = self.scope(&contexts);
            scope.job_outputs(&self.spec.outputs, &log.masks())
        };
        match evaluated {
            Ok((values, warnings)) => {
                for warning in warnings {
                    log.remark(Level::Warning, &warning);
                }
                outputs.extend(values.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            Err(error) => {
                log.remark(Level::Error, "Fail to evaluate job outputs");
                log.remark(Level::Error, &error.to_string());
                self.saved.state.fail();
                self.note_message("its outputs could not be evaluated");
            }
        }
        self.show_environment_url(log);
        // Last: whoever looks for test cases finds them at the end of the records.
        self.read_reports(log).await;
        let timed_out = self.saved.timed_out;
        let result = match self.saved.state.status() {
            _ if timed_out => WorkResult::Failure,
            JobStatus::Success => WorkResult::Success,
            JobStatus::Failure => WorkResult::Failure,
            JobStatus::Cancelled => WorkResult::Cancelled,
        };
        let message = log.masks().mask_str(&self.saved.message);
        self.saved.outcome = Some(Outcome::Work { result, timed_out, outputs, message });
        Ok(log.commit(Some(self.snapshot()?), Some(&vessel.claim), true).await?)
    }

    /// Says where what the job deployed can be seen. A `url` that can't be evaluated fails the job, as on GitHub.
    fn show_environment_url(&mut self, log: &mut JobLog) {
        let Some(environment) = &self.spec.environment else { return };
        let Some(url) = &environment.url else { return };
        let evaluated = {
            let contexts = self.contexts(self.in_container());
            self.scope(&contexts).key(url)
        };
        match evaluated {
            Ok(url) if url.is_empty() => {}
            Ok(url) => {
                log.say(&format!("Environment {}: {url}", environment.name));
                log.deployed_at(&url);
            }
            Err(error) => {
                log.remark(Level::Error, &format!("`environment.url` could not be evaluated: {error}"));
                self.saved.state.fail();
                self.note_message("its environment's url could not be evaluated");
            }
        }
    }

    /// Sets the outcome of a job that did not get through its steps. False when there is nothing to report.
    pub(super) async fn conclude_early(&mut self, log: &mut JobLog, end: End) -> bool {
        // Nothing may be written behind the last record that is reported.
        self.lanes.stop().await;
        log.select(self.setup_index(), Default::default());
        let outcome = match end {
            End::Stopped(why) => {
                tracing::warn!(attempt = %self.saved.lease.attempt, why, "job stopped");
                return false;
            }
            End::Fleet(Failure { cause, message }) => {
                log.remark(Level::Error, &message);
                Outcome::Fleet { cause, message }
            }
            End::Work(message) => {
                self.abandon_step(log);
                self.abandon_lanes(log);
                log.remark(Level::Error, &message);
                Outcome::Work { result: WorkResult::Failure, timed_out: false, outputs: Vec::new(), message }
            }
        };
        self.saved.outcome = Some(match outcome {
            Outcome::Fleet { cause, message } => {
                Outcome::Fleet { cause, message: log.masks().mask_str(&message) }
            }
            Outcome::Work { result, timed_out, outputs, message } => {
                Outcome::Work { result, timed_out, outputs, message: log.masks().mask_str(&message) }
            }
        });
        let Ok(state) = self.snapshot() else { return false };
        if let Err(failure) = log.commit(Some(state), None, true).await {
            // The disk may be what failed: then the report goes without these last records.
            tracing::error!(attempt = %self.saved.lease.attempt, %failure, "a job's end could not be kept");
        }
        true
    }

    /// Waits until all records are durable and reports. False when the lease turned out to be stale.
    pub(super) async fn report(&self, log: &JobLog, mut uploading: AbortOnDrop<UploadEnd>) -> bool {
        let records = log.last_record();
        let progress = log.progress();
        let mut durable = progress.durable();
        progress.finish();
        tokio::select! {
            _ = durable.wait_for(|number| *number >= records) => {}
            end = &mut uploading.0 => {
                let why = match end {
                    Ok(UploadEnd::Stale) => "its lease is stale".to_owned(),
                    Ok(UploadEnd::Unreadable(why)) => format!("its journal is unreadable: {why}"),
                    Err(error) => error.to_string(),
                };
                tracing::warn!(attempt = %self.saved.lease.attempt, why, "a job ends without a report");
                return false;
            }
        }
        let Some(report) = self.saved.report(records, log.records_digest()) else { return false };
        tracing::Span::current().record("result", self.saved.outcome.as_ref().map(Outcome::word));
        let lease = self.saved.lease;
        self.link.events.send(JobEvent::Ended(lease, Box::new(report))).await.is_ok()
    }

    /// Keeps the first reason of a failure.
    pub(super) fn note_message(&mut self, message: &str) {
        if self.saved.message.is_empty() {
            message.clone_into(&mut self.saved.message);
        }
    }
}

/// Removes what the job left: its container and network at once, its folder when its report is accepted.
pub(super) async fn clean_up(
    machine: &Arc<Machine>,
    lease: Lease,
    folder: &JobFolder,
    things: &Things,
    reported: bool,
    link: &JobLink,
) {
    {
        // The semaphore is never closed.
        let _turn = machine.cleaners.acquire().await;
        if let Some(container) = things.take_container()
            && let Err(failure) = machine.engine.remove_container(&container).await
        {
            tracing::warn!(attempt = %lease.attempt, %failure, "a container stays behind; the next start removes it");
        }
        remove_containers(machine, folder).await;
        let job = lease.attempt.folder_name();
        if let Err(failure) = machine.engine.remove_job_volumes(Some(&job), &[]).await {
            tracing::warn!(attempt = %lease.attempt, %failure, "a volume stays behind; the next start removes it");
        }
        if let Some(network) = things.take_network() {
            machine.networks.give_back(network).await;
        }
    }
    if reported {
        let mut orders = link.orders.clone();
        // An error: the agent stops. The folder stays for the next process, which reports again.
        if orders.wait_for(|orders| orders.accepted || orders.stop.is_some()).await.is_err() {
            return;
        }
    }
    remove_folder(machine, folder).await;
    // Whoever waits may be gone with the agent.
    let _ = link.events.send(JobEvent::Gone(lease)).await;
}

/// Removes a job's folder, off the runtime's threads: it may hold a large tree. What an agent without root's rights may not remove, a
/// container does for it.
pub(crate) async fn remove_folder(machine: &Machine, folder: &JobFolder) {
    let mut removed = remove_off_thread(folder).await;
    if removed.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        match clear(machine, folder).await {
            Ok(()) => removed = remove_off_thread(folder).await,
            Err(failure) => tracing::warn!(%failure, "a job's folder can't be emptied in a container"),
        }
    }
    if let Err(error) = removed {
        tracing::warn!(folder = %folder.root().display(), %error, "a job's folder stays; the next start tries again");
    }
}

async fn remove_off_thread(folder: &JobFolder) -> std::io::Result<()> {
    let removing = folder.clone();
    tokio::task::spawn_blocking(move || removing.remove()).await.map_err(std::io::Error::other)?
}

/// Empties it as root of a container: so are the users of all of the engine's containers its to remove.
async fn clear(machine: &Machine, folder: &JobFolder) -> Result<(), Failure> {
    let Some(image) = machine.engine.any_image().await? else { return Ok(()) };
    let once = Once {
        image: &image,
        program: &machine.programs.init,
        arguments: &[CLEAR_FLAG, CLEARED],
        capabilities: &["DAC_OVERRIDE", "FOWNER"],
        folder: Some((folder.root(), CLEARED)),
        time: CLEAR_TIME,
    };
    machine.engine.run_once(once).await
}

/// Removes the containers that carry a job's labels.
pub(crate) async fn remove_containers(machine: &Machine, folder: &JobFolder) {
    let name = folder.root().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let containers = match machine.engine.own_containers().await {
        Ok(containers) => containers,
        Err(failure) => {
            tracing::warn!(%failure, "cannot look for a job's containers");
            return;
        }
    };
    for container in containers.into_iter().filter(|container| container.folder_name == name) {
        if let Err(failure) = machine.engine.remove_container(&container.id).await {
            tracing::warn!(container = container.id, %failure, "a container stays behind");
        }
    }
}
