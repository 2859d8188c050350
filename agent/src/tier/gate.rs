//! Where a job reads and writes: the coordinator's answer, remembered for a moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slipway_cache::gate::token_of;
use slipway_cache::remote::Instances;
use slipway_cache::{Access, Accounts, Admitted, Asking, Gate, Refusal, Scope};
use slipway_cas::cache::Namespace;
use slipway_cas::cache::breaker::{Breaker, BreakerOptions};
use slipway_proto::v1;
use tonic::{Code, Status};

use super::line::Line;
use crate::limits::{TIER_ASK_MAX, TIER_INSTANCES_MAX, TIER_REMEMBERS};

/// Where a job reads and writes.
#[derive(Debug, Clone)]
struct Places {
    read: Vec<Scope>,
    write: Option<Scope>,
}

struct Known {
    places: Places,
    at: Instant,
}

/// Asks the coordinator with a job's token.
pub(super) struct JobGate {
    line: Arc<Line>,
    token: String,
    instances: Instances,
    known: Mutex<HashMap<String, Known>>,
    breaker: Mutex<Breaker>,
    /// The coordinator has no cache to ask, or knows nothing of agents' disks.
    off: AtomicBool,
    /// A place that is this job's alone and at no coordinator: what is asked while none can be asked.
    nowhere: Namespace,
    pub(super) accounts: Accounts,
}

impl JobGate {
    pub(super) fn new(line: Arc<Line>, token: &str, instances: Instances) -> Self {
        #[allow(clippy::expect_used)]
        let nowhere = Namespace::new(&format!("nowhere-{}", uuid::Uuid::new_v4()))
            .expect("lower-case letters, digits and dashes, below 64 bytes");
        Self {
            line,
            token: token.to_owned(),
            instances,
            known: Mutex::default(),
            breaker: Mutex::new(Breaker::new(BreakerOptions::default())),
            off: AtomicBool::new(false),
            nowhere,
            accounts: Accounts::default(),
        }
    }

    /// Where nothing is.
    pub(super) const fn nowhere(&self) -> &Namespace {
        &self.nowhere
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is anything to ask: a coordinator without the cache, or of an earlier version, answers for itself.
    pub(super) async fn is_on(&self) -> bool {
        if self.off.load(Ordering::Relaxed) {
            return false;
        }
        if self.known().is_empty() {
            // The answer is asked for again by whoever needs it.
            let _ = self.places("").await;
        }
        !self.off.load(Ordering::Relaxed)
    }

    /// Asks, and tells what was done.
    pub(super) async fn ask(&self, instance: &str, uses: Vec<v1::CacheUse>) -> Result<(), Status> {
        let request =
            v1::CacheAdmitRequest { token: self.token.clone(), instance: instance.to_owned(), uses };
        let mut client = self.line.client();
        let answer = tokio::time::timeout(TIER_ASK_MAX, client.admit(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::unavailable("it does not answer")));
        let places = answer.and_then(|answer| places(answer.into_inner()));
        match &places {
            Ok(_) => self.breaker().succeeded(),
            Err(status) => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => {
                    self.breaker().succeeded();
                    // Of none of the instances any more.
                    self.known().clear();
                }
                Code::Unimplemented => self.off.store(true, Ordering::Relaxed),
                _ => {
                    self.breaker().failed(Instant::now());
                    self.line.anew();
                }
            },
        }
        let places = places?;
        let entries = places.read.iter().chain(&places.write).map(|scope| &scope.entries);
        self.instances.learn(entries, instance);
        let mut known = self.known();
        if known.len() >= TIER_INSTANCES_MAX && !known.contains_key(instance) {
            known.clear();
        }
        known.insert(instance.to_owned(), Known { places, at: Instant::now() });
        Ok(())
    }

    fn remembered(&self, instance: &str, at_most: Option<Duration>) -> Option<Places> {
        let known = self.known();
        let known = known.get(instance)?;
        let is_young = at_most.is_none_or(|at_most| known.at.elapsed() < at_most);
        is_young.then(|| known.places.clone())
    }

    async fn places(&self, instance: &str) -> Result<Places, Refusal> {
        if self.instances.take_refused() {
            self.known().clear();
        }
        if let Some(places) = self.remembered(instance, Some(TIER_REMEMBERS)) {
            return Ok(places);
        }
        if self.breaker().admit(Instant::now())
            && let Err(status) = self.ask(instance, Vec::new()).await
            && matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
        {
            return Err(Refusal::Unauthenticated(status.message().to_owned()));
        }
        // While the coordinator is away: as it last was. The socket ends with the lease, as far as this agent knows of it.
        Ok(self.remembered(instance, None).unwrap_or_else(|| {
            let scope = Scope { blobs: self.nowhere.clone(), entries: self.nowhere.clone() };
            Places { read: vec![scope.clone()], write: Some(scope) }
        }))
    }
}

fn places(answer: v1::CacheAdmitResponse) -> Result<Places, Status> {
    let read = answer.read.iter().map(scope).collect::<Result<_, _>>()?;
    Ok(Places { read, write: answer.write.as_ref().map(scope).transpose()? })
}

fn scope(scope: &v1::CacheScope) -> Result<Scope, Status> {
    let namespace = |text: &str| Namespace::new(text).map_err(|error| Status::internal(error.to_string()));
    Ok(Scope { blobs: namespace(&scope.blobs)?, entries: namespace(&scope.entries)? })
}

impl Gate for JobGate {
    fn admit<'a>(&'a self, asking: Asking<'a>) -> Admitted<'a> {
        Box::pin(async move {
            if asking.authorization.and_then(token_of).as_deref() != Some(self.token.as_str()) {
                // Nobody gets here without; it is asked once more all the same.
                return Err(Refusal::Unauthenticated("this is not the job's token".to_owned()));
            }
            let Places { read, write } = self.places(asking.instance).await?;
            let account = self.accounts.of("", asking.door, asking.client);
            Ok(Access { read, write, account })
        })
    }
}
