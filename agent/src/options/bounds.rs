//! What one job may use of the machine.

use super::{OptionsError, invalid, sizes};
use crate::docker::container::Limits;
use crate::limits::{DEFAULT_PIDS, LEAST_DEFAULT_PIDS};

pub(super) fn limits(
    memory: Option<String>,
    cpus: Option<f64>,
    pids: Option<i64>,
    slots: u32,
) -> Result<Limits, OptionsError> {
    let memory_bytes = memory.map(|text| sizes::memory_of("--job-memory", &text)).transpose()?;
    let cpu_millis = cpus.map(|cpus| sizes::processors("--job-cpus", cpus)).transpose()?;
    let pids = pids.unwrap_or_else(|| default_pids(slots));
    if pids < 16 {
        return Err(invalid("--job-pids", format!("{pids} is too few for any job; at least 16")));
    }
    Ok(Limits { memory_bytes, cpu_millis, pids })
}

/// Half of what the kernel has, shared by the slots: jobs that fork without end leave the machine room to end them.
fn default_pids(slots: u32) -> i64 {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse::<i64>().ok()
    };
    let kernel = ["pid_max", "threads-max"].into_iter().filter_map(read).min().unwrap_or(i64::MAX);
    (kernel / 2 / i64::from(slots)).clamp(LEAST_DEFAULT_PIDS, DEFAULT_PIDS)
}
