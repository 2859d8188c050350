//! `/`: one plain page that says what this is and how it does. What runs is behind the token, so it is not here.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::error::ApiError;
use crate::services::Services;

pub(super) async fn home(State(services): State<Services>) -> Result<impl IntoResponse, ApiError> {
    let (open, waiting, running, agents) = services
        .driver
        .query(|view| {
            let open = view.state.runs().filter(|run| run.end().is_none()).count();
            let agents = view.fleet.agents().filter(|agent| agent.connected).count();
            (open, view.state.waiting_len(), view.state.leased_len(), agents)
        })
        .await?;
    let version = env!("CARGO_PKG_VERSION");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Slipway</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}\
         dt{{font-weight:600}}</style></head><body><h1>Slipway</h1>\
         <p>Coordinator {version}. It runs GitHub Actions workflows on your own machines.</p>\
         <dl><dt>Open runs</dt><dd>{open}</dd><dt>Jobs waiting for an agent</dt><dd>{waiting}</dd>\
         <dt>Jobs running</dt><dd>{running}</dd><dt>Agents connected</dt><dd>{agents}</dd></dl>\
         <p>Look closer with <code>slipway runs</code>, <code>slipway show RUN</code> and \
         <code>slipway agents</code>. Programs: <a href=\"/api/v1/openapi.json\">the API's description</a>, \
         <a href=\"/metrics\">metrics</a>.</p></body></html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, page))
}
