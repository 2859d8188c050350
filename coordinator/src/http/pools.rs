//! `/api/v1/pools`.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_scheduler::Timestamp;

use super::door::Asker;
use super::enrolment::checked_labels;
use super::error::ApiError;
use super::extract::Path;
use crate::house::{HouseCommand, PoolRule};
use crate::services::Services;
use crate::view;

/// The longest name of a pool, in bytes.
const NAME_BYTES_MAX: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    arch: Option<String>,
    labels: Option<Vec<String>>,
    min: u32,
    max: u32,
}

pub(super) async fn list(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let view::Pools { mut pools, unplaced } = services.driver.query(view::pools).await?;
    services.scalers.show(&mut pools);
    Ok(Json(json!({"pools": pools, "unplaced": unplaced})))
}

fn checked_name(name: String) -> Result<String, ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(name),
        false => Err(ApiError::bad_request(format!(
            "`{}` cannot be a pool's name: it has 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`",
            name.escape_debug()
        ))),
    }
}

fn checked_arch(arch: &str) -> Result<&'static str, ApiError> {
    match arch.to_ascii_lowercase().as_str() {
        "x64" | "amd64" | "x86_64" => Ok("X64"),
        "arm64" | "aarch64" => Ok("ARM64"),
        _ => Err(ApiError::bad_request(format!("`{}` is neither X64 nor ARM64", arch.escape_debug()))),
    }
}

pub(super) async fn set(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(name): Path<String>,
    body: Result<Json<Rule>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Rule { arch, labels, min, max }) = body?;
    let name = checked_name(name)?;
    let labels = labels.map(checked_labels).transpose()?;
    let known = name.clone();
    let known = services.driver.query(move |view| {
        view.ledger.house().pools().find(|pool| pool.name.eq_ignore_ascii_case(&known)).cloned()
    });
    let known = known.await?;
    let arch = match (arch, &known) {
        (Some(arch), _) => checked_arch(&arch)?.to_owned(),
        (None, Some(known)) => known.arch.clone(),
        // The pools that are there by themselves have their architecture's name.
        (None, None) => checked_arch(&name)
            .map_err(|_| {
                ApiError::bad_request(format!(
                    "there is no pool `{name}` yet: say its architecture, X64 or ARM64"
                ))
            })?
            .to_owned(),
    };
    let labels = labels.or(known.map(|known| known.labels)).unwrap_or_default();
    let rule = PoolRule { name: name.clone(), arch, labels, min, max, at: Timestamp(0) };
    services.driver.house(HouseCommand::SetPool(rule), origin).await?;
    let mut pools = services.driver.query(view::pools).await?.pools;
    services.scalers.show(&mut pools);
    Ok(Json(json!(pools.into_iter().find(|pool| pool.name.eq_ignore_ascii_case(&name)))))
}

pub(super) async fn remove(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    services.driver.house(HouseCommand::RemovePool { name: name.clone() }, origin).await?;
    Ok(Json(json!({"name": name, "removed": true})))
}
