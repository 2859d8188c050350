//! What an agent is told about its disk.

use super::{Arguments, File, OptionsError, invalid};
use crate::disk::DiskOptions;
use crate::disk::mark::{Mark, Marks};
use crate::docker::options::bytes;
use crate::limits::IMAGES_KEPT_BYTES;

/// The least that a job's limit may be, in bytes: its folder holds a spool and programs, whatever it does.
const JOB_MIN_BYTES: u64 = 64 << 20;

pub(super) fn disk(given: &Arguments, file: &File) -> Result<DiskOptions, OptionsError> {
    let default = Marks::default();
    let low = given.disk_low.or(file.disk_low).unwrap_or(default.low);
    let full = given.disk_full.or(file.disk_full).unwrap_or(default.full);
    // With the default beside it, or of another kind, it depends on the disk: the higher one then stands for both.
    let wrong = match (low, full) {
        (Mark::Bytes(low), Mark::Bytes(full)) => full > low,
        (Mark::Share { percent: low, .. }, Mark::Share { percent: full, .. }) => full > low,
        _ => false,
    };
    if wrong {
        return Err(invalid(
            "--disk-full",
            "it is above --disk-low: jobs would end before new ones are kept away",
        ));
    }
    let job_bytes = match given.job_disk.as_ref().or(file.job_disk.as_ref()).map(String::as_str) {
        None | Some("off") => None,
        Some(text) => {
            let size = bytes(text).and_then(|bytes| u64::try_from(bytes).ok());
            Some(size.ok_or_else(|| {
                invalid("--job-disk", format!("`{text}` is neither a size such as 50GiB nor `off`"))
            })?)
        }
    };
    if job_bytes.is_some_and(|bytes| bytes < JOB_MIN_BYTES) {
        return Err(invalid(
            "--job-disk",
            format!("it is too little for any job; at least {} MiB", JOB_MIN_BYTES >> 20),
        ));
    }
    let images_bytes = match given.keep_images.as_ref().or(file.keep_images.as_ref()).map(String::as_str) {
        None => Some(IMAGES_KEPT_BYTES),
        Some("off") => None,
        Some(text) => {
            let size = bytes(text).and_then(|bytes| u64::try_from(bytes).ok());
            Some(size.ok_or_else(|| {
                invalid("--keep-images", format!("`{text}` is neither a size such as 20GiB nor `off`"))
            })?)
        }
    };
    Ok(DiskOptions { marks: Marks { low, full }, job_bytes, images_bytes })
}
