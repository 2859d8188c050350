//! What everybody may read: where the issuer is (OpenID Connect Discovery 1.0, section 4) and its public keys (RFC 7517, section 5).

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::key::EXPONENT;
use super::limits::DOCUMENTS_KEPT_S;
use super::{claims, keeper, schedule};
use crate::http::ApiError;
use crate::services::Services;

/// Where the public keys are, below the issuer's URL.
const KEYS_PATH: &str = "/.well-known/jwks";

/// The routes of the public documents.
pub(crate) fn documents() -> Router<Services> {
    Router::new().route("/.well-known/openid-configuration", get(discovery)).route(KEYS_PATH, get(keys))
}

fn kept(document: Value) -> Response {
    let cache = format!("public, max-age={DOCUMENTS_KEPT_S}");
    ([(header::CACHE_CONTROL, cache)], Json(document)).into_response()
}

fn issuer(services: &Services) -> Result<&str, ApiError> {
    let none = "this coordinator issues no identity tokens: it has no `public_url`";
    let issuer = services.identity.0.issuer.as_deref();
    issuer.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "not_found", none))
}

async fn discovery(State(services): State<Services>) -> Result<Response, ApiError> {
    let issuer = issuer(&services)?;
    Ok(kept(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{KEYS_PATH}"),
        "subject_types_supported": ["public"],
        "response_types_supported": ["id_token"],
        "scopes_supported": ["openid"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": claims::NAMES,
    })))
}

async fn keys(State(services): State<Services>) -> Result<Response, ApiError> {
    issuer(&services)?;
    let unavailable = |error: keeper::RotateError| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
    };
    let (keys, _) = keeper::ready(&services).await.map_err(unavailable)?;
    let keys = keys.iter().map(|key| {
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.id, "n": key.modulus, "e": EXPONENT})
    });
    Ok(kept(json!({ "keys": keys.collect::<Vec<_>>() })))
}

/// The issuer and its keys, for administrators.
///
/// # Errors
/// When the driver is gone.
pub(crate) async fn keys_for_admins(services: &Services) -> Result<Value, ApiError> {
    let (keys, now) = keeper::published(services).await?;
    let signing = schedule::signing(&keys, now).map(|key| key.id.clone());
    let keys = keys.iter().map(|key| {
        let signs = signing.as_ref() == Some(&key.id);
        json!({"kid": key.id, "signs": signs, "signs_from_ms": key.signs_from.0})
    });
    Ok(json!({"issuer": services.identity.0.issuer, "keys": keys.collect::<Vec<_>>()}))
}
