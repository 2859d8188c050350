//! `/api/v1/agents/tokens` and removing agents: who may be one.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_scheduler::AgentId;
use slipway_wire::limits::{MAX_LABEL_BYTES, MAX_LABELS};

use super::door::Asker;
use super::error::ApiError;
use super::extract::Path;
use crate::audit::Origin;
use crate::house::HouseCommand;
use crate::options::TlsOptions;
use crate::services::Services;
use crate::token::{self, Token};

/// For how long a token is good when nobody says it, in seconds.
const LIFE_S: u64 = 3_600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    #[serde(default)]
    labels: Vec<String>,
    expires_in_s: Option<u64>,
}

/// Labels as agents have them.
pub(crate) fn checked_labels(labels: Vec<String>) -> Result<Vec<String>, ApiError> {
    if labels.len() > MAX_LABELS {
        return Err(ApiError::bad_request(format!("`labels` has at most {MAX_LABELS} labels")));
    }
    let mut checked = Vec::with_capacity(labels.len());
    for label in labels {
        let label = label.trim();
        let bad = label.is_empty() || label.len() > MAX_LABEL_BYTES;
        if bad || label.chars().any(|character| character.is_control() || character == ',') {
            let message = format!(
                "`{}` cannot be a label: it is empty, too long, or has a comma",
                label.escape_debug()
            );
            return Err(ApiError::bad_request(message));
        }
        checked.push(label.to_lowercase());
    }
    checked.sort_unstable();
    checked.dedup();
    Ok(checked)
}

/// Makes a token with which one agent enrols; its id, and its text, which is kept nowhere.
///
/// # Errors
/// A life that is too long, too many tokens, or a driver that is gone.
pub(crate) async fn issue(
    services: &Services,
    labels: Vec<String>,
    life_ms: u64,
    origin: Origin,
) -> Result<(String, Token), ApiError> {
    let (id, token) = (token::short_id(), Token::for_enrolment());
    let sha256 = token::sha256(token.reveal());
    let command = HouseCommand::MakeToken { id: id.clone(), sha256, labels, life_ms };
    services.driver.house(command, origin).await?;
    // Where the coordinator certifies itself, the token says by whom: the agent need trust nobody else.
    let token = match services.options.tls {
        Some(TlsOptions::Own { .. }) => token.naming(&services.authority.fingerprint()),
        _ => token,
    };
    Ok((id, token))
}

pub(super) async fn make_token(
    State(services): State<Services>,
    Asker(origin): Asker,
    body: Result<Json<TokenBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(TokenBody { labels, expires_in_s }) = body?;
    let labels = checked_labels(labels)?;
    let life_ms = expires_in_s.unwrap_or(LIFE_S).saturating_mul(1_000);
    let (id, token) = issue(&services, labels.clone(), life_ms, origin).await?;
    let made = id.clone();
    let expires = services.driver.query(move |view| {
        view.ledger.house().tokens(view.now).find(|token| token.id == made).map(|token| token.expires_at.0)
    });
    let expires_at_ms = expires.await?;
    let answer = json!({"id": id, "token": token.reveal(), "labels": labels, "expires_at_ms": expires_at_ms});
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn list_tokens(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let tokens = services.driver.query(|view| {
        let tokens = view.ledger.house().tokens(view.now).map(|token| {
            json!({
                "id": token.id,
                "labels": token.labels,
                "made_at_ms": token.made_at.0,
                "expires_at_ms": token.expires_at.0,
            })
        });
        tokens.collect::<Vec<_>>()
    });
    Ok(Json(json!({ "tokens": tokens.await? })))
}

pub(super) async fn revoke_token(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    services.driver.house(HouseCommand::RevokeToken { id: id.clone() }, origin).await?;
    Ok(Json(json!({"id": id, "revoked": true})))
}

pub(super) async fn remove(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(agent): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no agent of this id");
    let agent: AgentId = agent.parse().map_err(|_| unknown())?;
    services.driver.house(HouseCommand::RemoveAgent { agent }, origin).await?;
    Ok(Json(json!({"agent_id": agent.to_string(), "removed": true})))
}
