//! `/fleet`: the agents by architecture, and what waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use slipway_scheduler::explain::explain_wait;
use slipway_scheduler::state::Phase;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, form_token, page as whole};
use super::limits::{LIVE_LOOK_EVERY, WAITING_SHOWN};
use super::live::{self, Parts};
use super::session::Session;
use super::words::{bytes, clock, count, name, number, span, took};
use crate::access::UserRole;
use crate::driver::{DriverError, View};
use crate::services::Services;
use crate::view::{self, AgentView, PoolView, ResourcesView};

/// A job that waits for an agent.
#[derive(Debug)]
struct Waiting {
    run: String,
    workflow: String,
    name: String,
    labels: Vec<String>,
    since_ms: u64,
    reason: String,
}

/// What the page shows.
#[derive(Debug)]
pub(super) struct Fleet {
    pools: Vec<PoolView>,
    agents: Vec<AgentView>,
    waiting: Vec<Waiting>,
    /// How many wait in all.
    waiting_len: usize,
}

fn look(view: View<'_>) -> Fleet {
    let mut waiting = Vec::new();
    'runs: for run in view.state.runs().filter(|run| run.end().is_none()) {
        for instance in run.jobs().iter().flat_map(|job| view.state.instances_of(job)) {
            if !matches!(instance.phase(), Phase::Waiting { .. }) {
                continue;
            }
            if waiting.len() == WAITING_SHOWN {
                break 'runs;
            }
            let reason = explain_wait(view.state, view.fleet, instance.id(), view.now);
            waiting.push(Waiting {
                run: run.id().to_string(),
                workflow: format!("{} #{}", run.meta().workflow_name, run.meta().run_number),
                name: instance.definition().name.clone(),
                labels: instance.labels().iter().map(str::to_owned).collect(),
                since_ms: instance.waits_since().0,
                reason: reason.map(|reason| reason.to_string()).unwrap_or_default(),
            });
        }
    }
    let mut agents = view::agents(view);
    agents.sort_by(|a, b| (!a.connected, &a.name).cmp(&(!b.connected, &b.name)));
    Fleet { pools: view::pools(view).pools, agents, waiting, waiting_len: view.state.waiting_len() }
}

fn state(agent: &AgentView) -> (&'static str, &'static str) {
    match (agent.connected, agent.draining, &agent.paused) {
        (false, _, _) => ("skipped", "Gone"),
        (true, true, _) => ("waiting", "Draining"),
        (true, false, Some(_)) => ("waiting", "Paused"),
        (true, false, None) => ("success", "Ready"),
    }
}

fn labels(labels: &[String]) -> Markup {
    html! { span.labels { @for label in labels { span.label { (name(label)) } " " } } }
}

/// `2.5 of 8 processors, 6 GiB of 32 GiB`
fn resources(of: &ResourcesView) -> String {
    let processors = |millis: u64| millis as f64 / 1_000.0;
    format!(
        "{} of {} processors, {} of {}",
        processors(of.used_cpu_millis),
        processors(of.cpu_millis),
        bytes(of.used_memory_bytes),
        bytes(of.memory_bytes)
    )
}

fn agent(agent: &AgentView, session: &Session) -> Markup {
    let (class, word) = state(agent);
    let (action, text) = if agent.draining { ("resume", "Resume") } else { ("drain", "Drain") };
    html! {
        tr {
            th scope="row" { (name(&agent.name)) }
            td {
                span class={ "state " (class) } { span.dot aria-hidden="true" {} (word) }
                @if let Some(why) = agent.paused.as_ref().filter(|_| agent.connected) { " " span.hint { (name(why)) } }
            }
            td { (labels(&agent.labels)) @if agent.accepts_untrusted { span.hint { "also runs from outside" } } }
            td.num {
                (agent.leases) " of " (agent.slots)
                @if let Some(used) = &agent.resources { br; span.hint { (resources(used)) } }
            }
            td {
                @if session.may(UserRole::Admin) {
                    form method="post" action={ "/fleet/" (agent.agent_id) "/" (action) } {
                        (form_token(session))
                        button type="submit" aria-label={ (text) " " (agent.name) } { (text) }
                    }
                }
            }
        }
    }
}

fn agents(fleet: &Fleet, session: &Session) -> Markup {
    let mut by_arch: BTreeMap<&str, Vec<&AgentView>> = BTreeMap::new();
    for agent in &fleet.agents {
        by_arch.entry(&agent.arch).or_default().push(agent);
    }
    html! {
        div #agents {
            @if by_arch.is_empty() {
                p.nothing { "No agent has come yet. Start one with " code { "slipway-agent" } "." }
            }
            @for (arch, agents) in &by_arch {
                @let connected = agents.iter().filter(|agent| agent.connected);
                @let free: u64 = connected.clone().filter(|agent| !agent.draining).map(|agent| u64::from(agent.free_slots)).sum();
                section aria-labelledby={ "arch-" (arch) } {
                    h2 id={ "arch-" (arch) } { (arch) " " span.hint { (count(connected.count() as u64, "agent", "agents")) ", " (count(free, "free slot", "free slots")) } }
                    div.scroll tabindex="0" role="region" aria-label={ "Agents of " (arch) } {
                        table {
                            thead { tr {
                                th scope="col" { "Agent" } th scope="col" { "State" } th scope="col" { "Labels" }
                                th.num scope="col" { "Slots in use" } th scope="col" { "Steer" }
                            } }
                            tbody { @for each in agents { (agent(each, session)) } }
                        }
                    }
                }
            }
        }
    }
}

/// When the last job that waits is expected to begin.
fn predicted(pool: &PoolView) -> String {
    match (pool.queued, pool.predicted_wait_ms) {
        (0, _) => String::new(),
        (_, None) => "unknown".to_owned(),
        (_, Some(ms)) => format!("in about {}", span(ms)),
    }
}

/// What the pool's scaler does, and what is wrong.
fn scaler(pool: &PoolView) -> Markup {
    let Some(scaler) = &pool.scaler else { return html! {} };
    html! {
        (scaler.driver) ": " (scaler.words())
        @if let Some(note) = &scaler.note { " " span.hint { (name(note)) } }
        @if let Some(failure) = &scaler.failure {
            " "
            span.hint {
                (name(failure))
                @if let Some(at) = scaler.next_try_ms { "; next try at " (clock(at)) }
            }
        }
    }
}

fn pools(fleet: &Fleet) -> Markup {
    let bound = |bound: Option<u32>| bound.map_or_else(|| "–".to_owned(), |bound| number(bound.into()));
    html! {
        div #pools {
            @if !fleet.pools.is_empty() {
                section aria-labelledby="pools-title" {
                    h2 #pools-title { "Pools" }
                    div.scroll tabindex="0" role="region" aria-label="Sizes of pools" {
                        table {
                            thead { tr {
                                th scope="col" { "Pool" } th scope="col" { "Labels" } th.num scope="col" { "Ready" }
                                th.num scope="col" { "Slots in use" } th.num scope="col" { "Waiting" } th.num scope="col" { "Wanted" }
                                th.num scope="col" { "Bounds" } th.num scope="col" { "Last begins" } th scope="col" { "Scaler" }
                            } }
                            tbody {
                                @for pool in &fleet.pools {
                                    tr {
                                        th scope="row" { (name(&pool.name)) " " span.hint { (pool.arch) } }
                                        td { (labels(&pool.labels)) }
                                        td.num { (number(pool.ready.into())) }
                                        td.num { (number(pool.busy.into())) " of " (number(pool.slots.into())) }
                                        td.num { (number(pool.queued)) }
                                        td.num { (number(pool.desired.into())) }
                                        td.num { (bound(pool.min)) " to " (bound(pool.max)) }
                                        td.num { (predicted(pool)) }
                                        td { (scaler(pool)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn queue(fleet: &Fleet, now_ms: u64) -> Markup {
    html! {
        section #queue aria-labelledby="queue-title" {
            h2 #queue-title { "Waiting jobs " span.hint { (number(fleet.waiting_len as u64)) } }
            @if fleet.waiting.is_empty() { p.nothing { "Nothing waits for an agent." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Queue" {
                    table {
                        thead { tr {
                            th scope="col" { "Job" } th scope="col" { "Run" } th scope="col" { "Needs" }
                            th scope="col" { "Why it waits" } th.num scope="col" { "Since" }
                        } }
                        tbody {
                            @for job in &fleet.waiting {
                                tr {
                                    th scope="row" { (name(&job.name)) }
                                    td { a href={ "/runs/" (job.run) } { (name(&job.workflow)) } }
                                    td { (labels(&job.labels)) }
                                    td { (name(&job.reason)) }
                                    td.num { (took(job.since_ms, None, now_ms)) }
                                }
                            }
                        }
                    }
                }
                @if fleet.waiting_len > fleet.waiting.len() {
                    p.hint { "The first " (number(fleet.waiting.len() as u64)) " of them, oldest runs first." }
                }
            }
        }
    }
}

fn parts(fleet: &Fleet, session: &Session, now_ms: u64) -> Parts {
    vec![
        ("pools".to_owned(), pools(fleet)),
        ("agents".to_owned(), agents(fleet, session)),
        ("queue".to_owned(), queue(fleet, now_ms)),
    ]
}

/// What is to be shown, what scalers do included.
async fn seen(services: &Services) -> Result<Fleet, DriverError> {
    let mut fleet = services.driver.query(look).await?;
    services.scalers.show(&mut fleet.pools);
    Ok(fleet)
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let fleet = seen(&services).await?;
    let now_ms = services.clock.unix_ms();
    let main = html! {
        h1 { "Fleet" }
        @if visitor.session.may(UserRole::Admin) { p { a href="/settings/tokens#enrolment-title" { "Make a token that lets an agent join" } } }
        @for (_, part) in parts(&fleet, &visitor.session, now_ms) { (part) }
    };
    let frame = Frame {
        title: "Fleet",
        session: Some(&visitor.session),
        here: Some(Place::Fleet),
        live: Some("/fleet/live"),
        now_ms,
    };
    Ok(whole(&frame, main))
}

pub(super) async fn follow(
    State(services): State<Services>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let (seen_by, lately) = (services.clone(), Arc::clone(&services.pages.fleet));
    let now_ms = services.clock.unix_ms();
    live::stream(&services, &visitor.session.clone(), move |mut follower| async move {
        loop {
            // Why jobs wait is counted in their queues: once for all who follow.
            let fleet = lately.get(LIVE_LOOK_EVERY, seen(&seen_by)).await;
            let Ok(fleet) = fleet else { return Ok(()) };
            follower.show(parts(&fleet, &visitor.session, now_ms)).await?;
            tokio::time::sleep(LIVE_LOOK_EVERY).await;
        }
    })
}
