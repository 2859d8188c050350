//! How many containers wait for jobs.

use super::{OptionsError, invalid};
use crate::limits::{WARM_DEFAULT, WARM_MAX};

pub(super) fn warm(given: Option<usize>, slots: u32) -> Result<usize, OptionsError> {
    match given {
        None => Ok(WARM_DEFAULT.min(slots as usize)),
        Some(count) if count <= WARM_MAX => Ok(count),
        Some(count) => Err(invalid("--warm", format!("{count} is not between 0 and {WARM_MAX}"))),
    }
}
