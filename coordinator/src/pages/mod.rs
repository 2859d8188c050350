//! The web pages: what people look at and press, made on the server.
//!
//! Everything works without scripts; the one small script adds live updates and conveniences. Pages read through
//! [`Services`] as the API does, and what they change goes the API's way, into the same audit trail. Whoever has no
//! session sees a welcome and a form (docs/PAGES.md).
//!
//! Invariants: everything that comes from outside (names, refs, log lines) is escaped by `maud` or [`ansi`], and the
//! content security policy allows nothing inline and no other host; every form of a session carries its token; memory
//! for a log is bounded whatever its length ([`limits`]). Deliberately absent: state of its own, and scripts that render.

mod actions;
mod ansi;
mod assets;
mod audit;
mod caches;
mod causes;
mod coverage;
mod coverage_plot;
mod days;
mod environments;
mod error;
mod fleet;
mod gate;
mod hit_rate;
mod job;
mod lately;
mod layout;
mod limits;
mod live;
mod live_job;
mod log;
mod markdown;
mod one_test;
mod outline;
mod overview;
mod rows;
mod run;
mod run_artifacts;
mod run_failures;
mod run_gates;
mod run_jobs;
mod run_reports;
mod search;
mod session;
mod settings;
mod settings_kept;
mod settings_secrets;
mod settings_tokens;
mod settings_variables;
mod sign_in;
mod sign_in_elsewhere;
mod start_run;
mod summaries;
mod test_trends;
mod usage;
mod usage_plot;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, Method, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use slipway_scheduler::RunId;
use tokio::sync::Semaphore;

use crate::key::SigningKey;
use crate::services::Services;
use crate::token::Token;
use crate::view;
use error::PageError;
pub(crate) use limits::LIVE_MAX;

/// What the pages share; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    sessions: session::Sessions,
    outlines: Arc<outline::Outlines>,
    /// For those who follow the fleet.
    fleet: Arc<lately::Lately<fleet::Fleet>>,
    /// One for each page that follows.
    live: Arc<Semaphore>,
}

impl Pages {
    /// `live_max` pages may follow live at once.
    pub(crate) fn new(key: &SigningKey, admin: &Token, live_max: usize) -> Self {
        Self {
            sessions: session::Sessions::new(key, admin),
            outlines: Arc::default(),
            fleet: Arc::default(),
            live: Arc::new(Semaphore::new(live_max)),
        }
    }
}

/// All pages.
pub(crate) fn router(services: &Services) -> Router<Services> {
    let signed_in = Router::new()
        .route("/", get(overview::page))
        .route("/live", get(overview::follow))
        .route("/runs/{run}", get(run::page))
        .route("/runs/{run}/live", get(run::follow))
        .route("/runs/{run}/summaries", get(summaries::page))
        .route("/runs/{run}/cancel", post(actions::cancel))
        .route("/runs/{run}/rerun", post(actions::rerun))
        .route("/runs/{run}/approvals", post(run_gates::decide))
        .route("/runs/{run}/artifacts/{artifact}", get(run_artifacts::download))
        .route("/runs/{run}/jobs/{instance}", get(job::page))
        .route("/runs/{run}/jobs/{instance}/live", get(live_job::follow))
        .route("/runs/{run}/jobs/{instance}/step", get(job::step))
        .route("/runs/{run}/jobs/{instance}/log.txt", get(log::raw))
        .route("/fleet", get(fleet::page))
        .route("/fleet/live", get(fleet::follow))
        .route("/fleet/{agent}/drain", post(actions::drain))
        .route("/fleet/{agent}/resume", post(actions::resume))
        .route("/start", get(start_run::page).post(start_run::start))
        .route("/caches", get(caches::page))
        .route("/tests", get(test_trends::page))
        .route("/tests/one", get(one_test::page))
        .route("/coverage", get(coverage::page))
        .route("/usage", get(usage::page))
        .route("/environments", get(environments::page))
        .route("/audit", get(audit::page))
        .route("/settings", get(settings::page))
        .route("/settings/tokens", get(settings_tokens::page).post(settings_tokens::make))
        .route("/settings/tokens/{token}/revoke", post(settings_tokens::revoke_access))
        .route("/settings/tokens/enrolment", post(settings_tokens::make_for_agent))
        .route("/settings/tokens/enrolment/{token}/revoke", post(settings_tokens::revoke_enrolment))
        .route("/settings/secrets", get(settings_secrets::page).post(settings_secrets::set))
        .route("/settings/secrets/remove", post(settings_secrets::remove))
        .route("/settings/variables", get(settings_variables::page).post(settings_variables::set))
        .route("/settings/variables/remove", post(settings_variables::remove))
        .route("/sign-out", post(sign_in::sign_out))
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(limits::FORM_MAX_BYTES))
        .layer(middleware::from_fn_with_state(services.clone(), gate::signed_in));
    Router::new()
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-in/{provider}", get(sign_in_elsewhere::begin))
        .route("/sign-in/{provider}/back", get(sign_in_elsewhere::back))
        .route("/session", get(sign_in::session))
        .layer(DefaultBodyLimit::max(limits::FORM_MAX_BYTES))
        .merge(signed_in)
        .layer(middleware::from_fn(gate::guard))
        .route("/assets/{name}", get(assets::serve))
}

/// Whether whoever asks wants to read the answer.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}

/// What a person gets where nothing is.
pub(crate) fn nothing_here() -> Response {
    gate::guarded(PageError::not_found("There is no page of this address.").into_response())
}

/// What a person gets of a follower while nobody leads.
pub(crate) fn nobody_leads() -> Response {
    gate::guarded(PageError::nobody_leads().into_response())
}

/// Whether an answer of `GET` there is for people: whoever follows passes its errors on as a page.
pub(crate) fn is_for_people(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::POST) && wants_page(request.headers())
}

/// The run that a path names.
async fn find_run(services: &Services, text: String) -> Result<RunId, PageError> {
    Ok(services.driver.query(move |view| view::find_run(view, &text)).await??)
}
