//! A run's reports beside those of its base.

use std::collections::BTreeSet;

use slipway_scheduler::RunId;

use super::base::{self, About, Base};
use super::gathered::{Finding, Gathered, Reports, read};
use crate::driver::{DriverError, View};
use crate::records::{AttemptKey, RecordsError};
use crate::services::Services;

/// Jobs of a run whose reports are read.
const RUN_JOBS_MAX: usize = 1_000;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompareError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// A run's reports, and its base's.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// What the run's reports say.
    pub reports: Reports,
    /// The run that they are compared with, and what its reports say.
    pub base: Option<(RunId, Reports)>,
    /// The log of some job is gone, and with it what is known here.
    pub removed: bool,
}

impl Compared {
    /// The base's coverage, in hundredths of a percent.
    #[must_use]
    pub fn base_hundredths(&self) -> Option<u32> {
        self.base.as_ref()?.1.coverage.as_ref()?.hundredths()
    }

    /// Fingerprints of what was found in the base; none: nobody looked there, and nothing counts as new.
    #[must_use]
    pub fn known(&self) -> Option<BTreeSet<&str>> {
        let findings = self.base.as_ref()?.1.findings.as_ref()?;
        Some(findings.iter().map(|finding| finding.fingerprint.as_str()).collect())
    }

    /// The findings with whether each is new, those first, and the worst first in both; none: there is no report of findings.
    #[must_use]
    pub fn findings(&self) -> Option<Vec<(&Finding, bool)>> {
        let known = self.known();
        let is_new = |finding: &Finding| {
            known.as_ref().is_some_and(|known| !known.contains(finding.fingerprint.as_str()))
        };
        let found = self.reports.findings.as_ref()?;
        let mut found: Vec<_> = found.iter().map(|finding| (finding, is_new(finding))).collect();
        found.sort_by_key(|(finding, new)| (!new, std::cmp::Reverse(finding.severity)));
        Some(found)
    }
}

/// A run's reports as far as its jobs have ended; none: the run is not known.
///
/// # Errors
/// [`CompareError`].
pub(crate) async fn compare(services: &Services, run: RunId) -> Result<Option<Compared>, CompareError> {
    let Some(about) = base::about(services, run).await? else { return Ok(None) };
    with_base(services, &about).await.map(Some)
}

pub(super) async fn with_base(services: &Services, about: &About) -> Result<Compared, CompareError> {
    let end = move |run: RunId| move |view: View<'_>| Some(view.state.run(run)?.end()?.at.0);
    let ended_ms = services.driver.query(end(about.run)).await?;
    let (reports, removed) = of_run(services, about.run).await?;
    let mut compared = Compared { reports, base: None, removed };
    if !compared.reports.is_empty() || ended_ms.is_some() {
        let by_ms = ended_ms.unwrap_or_else(|| services.clock.unix_ms());
        compared.base = find_base(services, about, by_ms).await?.map(|base| (base.run, base.reports));
    }
    Ok(compared)
}

async fn find_base(services: &Services, about: &About, by_ms: u64) -> Result<Option<Base>, CompareError> {
    for run in base::candidates(services, about, by_ms).await? {
        let (reports, _) = of_run(services, run).await?;
        if !reports.is_empty() {
            return Ok(Some(Base { run, reports }));
        }
    }
    Ok(None)
}

/// What the reports of a run say, of each job's last attempt; and whether some are gone.
async fn of_run(services: &Services, run: RunId) -> Result<(Reports, bool), CompareError> {
    of_jobs(services, run, None).await
}

/// The same of those jobs that people see under this name.
async fn of_jobs(
    services: &Services,
    run: RunId,
    named: Option<String>,
) -> Result<(Reports, bool), CompareError> {
    let look = move |view: View<'_>| {
        let jobs = view.state.run(run).into_iter().flat_map(|run| run.jobs());
        let instances = jobs.flat_map(|job| view.state.instances_of(job));
        let instances = instances
            .filter(|instance| named.as_ref().is_none_or(|name| instance.definition().name == *name));
        let ended = instances.filter_map(|instance| {
            // An attempt that the fleet failed did not come as far as its reports.
            let last = instance.attempts().last()?;
            let records = last.end.as_ref()?.records;
            let key = AttemptKey { run, instance: instance.id(), attempt: last.number };
            (records > 0).then_some((key, records))
        });
        ended.take(RUN_JOBS_MAX).collect::<Vec<_>>()
    };
    let (mut gathered, mut removed) = (Gathered::default(), false);
    for (key, records) in services.driver.query(look).await? {
        match read(&services.records, key, records).await? {
            Some(reports) => gathered.merge(reports),
            None => removed = true,
        }
    }
    Ok((gathered.finish(), removed))
}

/// What a job's reports say beside those of its run's base.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Findings that the base does not have; none if nobody looked there.
    pub(crate) new: Vec<Finding>,
    /// What the same job covered there, in hundredths of a percent: another job's lines are no loss of this one's.
    pub(crate) coverage: Option<u32>,
}

/// Puts a job's reports beside those of its run's base, as of that time.
///
/// # Errors
/// [`CompareError`].
pub(crate) async fn beside_base(
    services: &Services,
    attempt: AttemptKey,
    reports: &Reports,
    by_ms: u64,
) -> Result<Beside, CompareError> {
    let mut beside = Beside::default();
    if reports.coverage.is_none() && reports.findings.is_none() {
        return Ok(beside);
    }
    let Some(about) = base::about(services, attempt.run).await? else { return Ok(beside) };
    let Some(base) = find_base(services, &about, by_ms).await? else { return Ok(beside) };
    let (base, known_there) =
        (base.run, Compared { base: Some((base.run, base.reports)), ..Compared::default() });
    if let (Some(findings), Some(known)) = (&reports.findings, known_there.known()) {
        let is_new = |finding: &&Finding| !known.contains(finding.fingerprint.as_str());
        beside.new = findings.iter().filter(is_new).cloned().collect();
    }
    if reports.coverage.is_some() {
        let name =
            move |view: View<'_>| Some(view.state.instance(attempt.instance)?.definition().name.clone());
        if let Some(name) = services.driver.query(name).await? {
            let (there, _) = of_jobs(services, base, Some(name)).await?;
            beside.coverage = there.coverage.as_ref().and_then(|coverage| coverage.hundredths());
        }
    }
    Ok(beside)
}
