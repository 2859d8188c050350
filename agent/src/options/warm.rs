//! How many containers and checkouts wait for jobs.

use super::{OptionsError, invalid};
use crate::limits::{READY_DEFAULT, READY_MAX, WARM_DEFAULT, WARM_MAX};

pub(super) fn warm(given: Option<usize>, slots: u32) -> Result<usize, OptionsError> {
    match given {
        None => Ok(WARM_DEFAULT.min(slots as usize)),
        Some(count) if count <= WARM_MAX => Ok(count),
        Some(count) => Err(invalid("--warm", format!("{count} is not between 0 and {WARM_MAX}"))),
    }
}

pub(super) fn ready_checkouts(given: Option<usize>) -> Result<usize, OptionsError> {
    match given {
        None => Ok(READY_DEFAULT),
        Some(count) if count <= READY_MAX => Ok(count),
        Some(count) => Err(invalid("--ready-checkouts", format!("{count} is not between 0 and {READY_MAX}"))),
    }
}
