//! Deals with accepted deliveries, those of an earlier process first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use slipway_kit::backoff::Backoff;
use slipway_workflow::diagnostics::Diagnostic;
use slipway_workflow::filter::{self, Event};
use slipway_workflow::job_spec::Source;
use slipway_workflow::syntax;
use tokio::task::JoinSet;

use super::mirror::{Mirrors, WorkflowFile};
use super::payload::{self, Occasion};
use crate::driver::ledger::PendingDelivery;
use crate::driver::payload::DeliveryEvent;
use crate::secrets::SecretMap;
use crate::services::Services;
use crate::submit::{self, NewRun, SubmitError};

/// How often a delivery is tried (git's server may be away) before it is given up.
const TRIES: u32 = 8;

/// The first wait between two tries, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How many deliveries are dealt with at a time: one whose git server is away does not hold up the others.
const CONCURRENCY: usize = 8;

/// Deals with deliveries until the driver is gone.
pub(crate) async fn react(services: Services) {
    let mirrors = Arc::new(Mirrors::new(services.options.data_dir.join("mirrors")));
    let mut busy: BTreeSet<String> = BTreeSet::new();
    let mut work = JoinSet::new();
    loop {
        let taken = busy.clone();
        let pending = services.driver.query(move |view| {
            let open = view.ledger.pending().filter(|(id, _)| !taken.contains(*id)).take(CONCURRENCY);
            open.map(|(id, delivery)| (id.to_owned(), delivery.clone())).collect::<Vec<_>>()
        });
        let Ok(pending) = pending.await else { return };
        for (id, delivery) in pending {
            if work.len() >= CONCURRENCY {
                break;
            }
            busy.insert(id.clone());
            let (services, mirrors) = (services.clone(), Arc::clone(&mirrors));
            work.spawn(async move {
                let outcome = deal_with(&services, &mirrors, &id, &delivery).await;
                tracing::info!(delivery = id, outcome, "webhook dealt with");
                // A driver that is gone leaves the delivery to the next start.
                let _ = services.driver.delivery(DeliveryEvent::Done { id: id.clone(), outcome }).await;
                id
            });
        }
        tokio::select! {
            () = services.deliveries.notified() => {}
            Some(done) = work.join_next() => match done {
                Ok(id) => {
                    busy.remove(&id);
                }
                // It stays busy: a delivery that makes this program panic is not tried again before the next start.
                Err(panic) => tracing::error!(%panic, "dealing with a webhook panicked"),
            },
        }
    }
}

async fn deal_with(services: &Services, mirrors: &Mirrors, id: &str, delivery: &PendingDelivery) -> String {
    let payload = match services.store.get(delivery.body).await {
        Ok(body) => serde_json::from_slice::<Json>(&body).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(error) => return format!("the body cannot be read: {error}"),
    };
    let occasion = match payload::read(&delivery.event, &payload, &services.options.webhook) {
        Ok(occasion) => occasion,
        Err(reason) => return format!("starts nothing: {reason}"),
    };
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let files = loop {
        match mirrors.workflows(&occasion.clone_url, &occasion.sha).await {
            Ok(files) => break files,
            Err(error) if backoff.failures() + 1 >= TRIES => return format!("given up: {error}"),
            Err(error) => {
                tracing::warn!(delivery = id, error, "the commit cannot be read; it is tried again");
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    };
    let mut outcomes = Vec::new();
    for file in files {
        let path = file.path.clone();
        let outcome = start(services, id, &delivery.event, &payload, &occasion, file).await;
        outcomes.push(format!("{path}: {outcome}"));
    }
    if outcomes.is_empty() { "the commit has no workflow".to_owned() } else { outcomes.join("; ") }
}

fn told(diagnostics: &[Diagnostic]) -> String {
    let told: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    format!("is not valid: {}", told.join("; "))
}

async fn start(
    services: &Services,
    delivery: &str,
    event_name: &str,
    payload: &Json,
    occasion: &Occasion,
    file: WorkflowFile,
) -> String {
    let text = match file.text {
        Ok(text) => text,
        Err(error) => return error,
    };
    match syntax::parse(&file.path, &text) {
        Ok(workflow) => {
            let event = Event { name: event_name, payload, changed_files: None };
            let decision = filter::triggered(&workflow, &event);
            if !decision.triggered {
                return format!("not triggered: {}", decision.reason);
            }
        }
        Err(diagnostics) => return told(&diagnostics),
    }
    let new = NewRun {
        idempotency_key: Some(format!("github:{delivery}:{}", file.path)),
        workflow_file: file.path,
        workflow: text,
        event_name: event_name.to_owned(),
        event: payload.clone(),
        repository: occasion.repository.clone(),
        forge: occasion.forge.clone(),
        git_ref: occasion.git_ref.clone(),
        sha: occasion.sha.clone(),
        actor: occasion.actor.clone(),
        inputs: Default::default(),
        vars: Default::default(),
        secrets: SecretMap::new(),
        jobs: Vec::new(),
        source: Source::Git {
            clone_url: occasion.clone_url.clone(),
            repository: occasion.repository.clone(),
            git_ref: occasion.git_ref.clone(),
            sha: occasion.sha.clone(),
        },
        trust: occasion.trust,
        traceparent: String::new(),
    };
    match submit::submit(services, new).await {
        Ok(run) => format!("run {run}"),
        Err(SubmitError::Workflow { diagnostics, .. }) => told(&diagnostics),
        Err(error) => error.to_string(),
    }
}
