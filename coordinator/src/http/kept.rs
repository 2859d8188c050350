//! Which secret or variable a request is about.

use serde::Deserialize;

use super::error::ApiError;
use crate::house::{Address, Scope, checked_name};

/// The longest name of a repository or environment, in bytes; GitHub's limit of an environment's name.
const PLACE_BYTES_MAX: usize = 255;

/// Whose it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) repository: Option<String>,
    pub(crate) environment: Option<String>,
}

/// The secret or variable (`what`) of this name and place.
///
/// # Errors
/// They are none.
pub(crate) fn address(what: &str, name: &str, place: Place) -> Result<Address, ApiError> {
    let checked = |what: &str, text: String| {
        let bad = text.is_empty() || text.len() > PLACE_BYTES_MAX || text.chars().any(char::is_control);
        match bad {
            false => Ok(text),
            true => {
                Err(ApiError::bad_request(format!("`{what}` is empty, too long, or has control characters")))
            }
        }
    };
    let scope = match (place.repository, place.environment) {
        (None, None) => Scope::Server,
        (Some(repository), None) => Scope::Repository { repository: checked("repository", repository)? },
        (Some(repository), Some(environment)) => Scope::Environment {
            repository: checked("repository", repository)?,
            environment: checked("environment", environment)?,
        },
        (None, Some(_)) => {
            return Err(ApiError::bad_request("`environment` is one of a repository: give `repository` too"));
        }
    };
    Ok(Address { name: checked_name(what, name).map_err(ApiError::bad_request)?, scope })
}
