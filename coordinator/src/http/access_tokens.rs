//! `/api/v1/tokens`: tokens of people and programs; `/api/v1/whoami`: whose is the one that asks.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::By;
use super::door::Asker;
use super::error::ApiError;
use super::extract::Path;
use crate::access::{AccessToken, UserRole};
use crate::audit::Origin;
use crate::house::HouseCommand;
use crate::services::Services;
use crate::token::{self, Token};

/// For how long a token is good when nobody says it, in seconds: 90 days.
const LIFE_S: u64 = 90 * 24 * 3_600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    name: String,
    role: UserRole,
    expires_in_s: Option<u64>,
}

fn shown(token: &AccessToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "made_at_ms": token.made_at.0,
        "expires_at_ms": token.expires_at.0,
        "signed_in_at": token.via,
    })
}

/// What a new token is to be.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Whose it is.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) role: UserRole,
    /// For how long it is good, in milliseconds.
    pub(crate) life_ms: u64,
    /// Where its owner signed in, if it is a session of theirs.
    pub(crate) via: Option<String>,
}

/// Makes a token; its id, and its text, which is kept nowhere.
///
/// # Errors
/// Nobody's name, a life that is too long, too many tokens, or a driver that is gone.
pub(crate) async fn issue(
    services: &Services,
    wanted: Wanted,
    origin: Origin,
) -> Result<(String, Token), ApiError> {
    let Wanted { name, role, life_ms, via } = wanted;
    let (id, token) = (token::short_id(), Token::for_access());
    let sha256 = token::sha256(token.reveal());
    let command = HouseCommand::MakeAccessToken { id: id.clone(), name, sha256, role, life_ms, via };
    services.driver.house(command, origin).await?;
    Ok((id, token))
}

pub(super) async fn make(
    State(services): State<Services>,
    Asker(origin): Asker,
    body: Result<Json<TokenBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(TokenBody { name, role, expires_in_s }) = body?;
    let life_ms = expires_in_s.unwrap_or(LIFE_S).saturating_mul(1_000);
    let (id, token) = issue(&services, Wanted { name, role, life_ms, via: None }, origin).await?;
    let made = services
        .driver
        .query(move |view| view.ledger.house().access_tokens().find(|token| token.id == id).map(shown));
    let mut answer = made.await?.unwrap_or_else(|| json!({}));
    answer["token"] = json!(token.reveal());
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn list(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let tokens = services.driver.query(|view| {
        let good = view.ledger.house().access_tokens().filter(|token| token.expires_at > view.now);
        good.map(shown).collect::<Vec<_>>()
    });
    Ok(Json(json!({ "tokens": tokens.await? })))
}

pub(super) async fn revoke(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let command = HouseCommand::RevokeAccessToken { id: id.clone() };
    services.driver.house(command, origin).await?;
    Ok(Json(json!({"id": id, "revoked": true})))
}

pub(super) async fn whoami(By(caller): By) -> Json<Value> {
    Json(json!({"name": caller.name(), "role": caller.role()}))
}
