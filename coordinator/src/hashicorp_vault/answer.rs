//! What Vault answers: the fields at a path, of a key-value engine of either version or of one that generates credentials.

use serde_json::{Map, Value as Json};

use super::Fault;
use super::http::Answered;
use super::limits::WHY_MAX_CHARS;
use super::reference::VaultReference;

/// The fields that lie at this path.
///
/// # Errors
/// [`Fault`]: what Vault said instead.
pub(super) fn fields(path: &str, answered: Answered) -> Result<Map<String, Json>, Fault> {
    let Answered { status, mut body } = answered;
    if status == 404 && is_versioned(&body) {
        return Err(Fault::Refused(format!("the newest version at `{path}` was deleted")));
    }
    if status != 200 {
        return Err(fault(&format!("`{path}`"), status, &body));
    }
    let nothing = || Fault::Refused(format!("Vault has no fields at `{path}`"));
    // The second version of the key-value engine has a level more, beside what it knows of the version.
    let data = match is_versioned(&body) {
        true => body["data"]["data"].take(),
        false => body["data"].take(),
    };
    match data {
        Json::Object(fields) => Ok(fields),
        _ => Err(nothing()),
    }
}

fn is_versioned(body: &Json) -> bool {
    body.pointer("/data/metadata/version").is_some_and(Json::is_u64)
        && body.pointer("/data/data").is_some_and(|data| data.is_object() || data.is_null())
}

/// The value of a field: a text as it is, anything else as JSON.
///
/// # Errors
/// [`Fault::Refused`]: there is no such field, or nothing in it.
pub(super) fn value(fields: &Map<String, Json>, reference: &VaultReference) -> Result<String, Fault> {
    let (path, field) = (reference.path(), reference.field());
    let text = match fields.get(field) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => {
            return Err(Fault::Refused(format!("what lies at `{path}` has no field `{field}`")));
        }
        Some(other) => other.to_string(),
    };
    let most = crate::vault::MAX_VALUE_BYTES;
    match text.len() {
        0 => Err(Fault::Refused(format!("the field `{field}` at `{path}` is empty"))),
        bytes if bytes > most => Err(Fault::Refused(format!(
            "the field `{field}` at `{path}` has {bytes} bytes, more than {most}"
        ))),
        _ => Ok(text),
    }
}

/// What an answer that is no success says. `what` was asked for.
pub(super) fn fault(what: &str, status: u16, body: &Json) -> Fault {
    let said = body.get("errors").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let said: Vec<_> = said.iter().filter_map(Json::as_str).map(str::trim).collect();
    // Vault writes some of them over several lines.
    let said = said.join("; ").split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(WHY_MAX_CHARS).collect();
    let because = if said.is_empty() { String::new() } else { format!(": {said}") };
    match status {
        403 => Fault::Refused(format!("Vault does not let Slipway have {what} (403{because})")),
        404 => Fault::Refused(format!("Vault has nothing at {what} (404{because})")),
        400..=499 if !matches!(status, 412 | 429 | 472 | 473) => {
            Fault::Refused(format!("Vault refuses {what} ({status}{because})"))
        }
        300..=399 => Fault::Away(format!(
            "Vault sends Slipway elsewhere ({status}), which it does not follow: `address` has to be the active node's or a balancer's"
        )),
        _ => Fault::Away(format!("Vault cannot answer for {what} ({status}{because})")),
    }
}
