//! Processors and memory that the agent shares among its jobs, and jobs that take more than the others.

use std::collections::BTreeMap;

use serde::Deserialize;
use slipway_proto::v1;

use super::{OptionsError, checked_name, invalid};
use crate::docker::container::Limits;
use crate::docker::options::bytes;
use crate::limits::{CPUS_MAX, CPUS_MIN, SIZES_MAX};

/// Processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Processors, in thousandths of one.
    pub cpu_millis: i64,
    /// Memory, in bytes.
    pub memory_bytes: i64,
}

impl Amount {
    const fn fits(self, other: Self) -> bool {
        self.cpu_millis <= other.cpu_millis && self.memory_bytes <= other.memory_bytes
    }

    fn to_wire(self) -> v1::Resources {
        let amount = |value: i64| u64::try_from(value).unwrap_or_default();
        v1::Resources { cpu_millis: amount(self.cpu_millis), memory_bytes: amount(self.memory_bytes) }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mebibytes = self.memory_bytes >> 20;
        write!(f, "{} processors and {mebibytes} MiB", self.cpu_millis as f64 / 1_000.0)
    }
}

/// What there is, and what jobs take of it beside a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// All of it.
    pub total: Amount,
    /// What every job takes.
    pub each: Amount,
    /// What a job takes that asks for this label, in lower case. Never less than the others take.
    pub by_label: BTreeMap<String, Amount>,
}

impl Sizes {
    /// For the coordinator.
    #[must_use]
    pub fn to_wire(&self) -> v1::Sizing {
        v1::Sizing {
            total: Some(self.total.to_wire()),
            each: Some(self.each.to_wire()),
            sizes: self.by_label.iter().map(|(label, size)| (label.clone(), size.to_wire())).collect(),
        }
    }

    /// What a job with these labels may use if one of them has a size: the greatest of those, as the coordinator counts it.
    pub(crate) fn limits<'a>(&self, labels: impl IntoIterator<Item = &'a str>, usual: Limits) -> Limits {
        let sizes = labels.into_iter().filter_map(|label| self.by_label.get(&label.to_lowercase()));
        let greatest = sizes.copied().reduce(|one, other| Amount {
            cpu_millis: one.cpu_millis.max(other.cpu_millis),
            memory_bytes: one.memory_bytes.max(other.memory_bytes),
        });
        match greatest {
            Some(Amount { cpu_millis, memory_bytes }) => {
                Limits { cpu_millis: Some(cpu_millis), memory_bytes: Some(memory_bytes), ..usual }
            }
            None => usual,
        }
    }
}

/// `cpus = 4`, `memory = "16g"`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAmount {
    cpus: f64,
    memory: String,
}

/// What was given about it.
pub(super) struct Given {
    pub(super) cpus: Option<f64>,
    pub(super) memory: Option<String>,
    /// `LABEL=CPUS:MEMORY`
    pub(super) sizes: Vec<String>,
    pub(super) written: BTreeMap<String, WrittenAmount>,
}

/// Checks it. None when nothing was given: only slots count then.
pub(super) fn sizes(given: Given, limits: Limits, slots: u32) -> Result<Option<Sizes>, OptionsError> {
    let Given { cpus, memory, sizes, written } = given;
    if cpus.is_none() && memory.is_none() && sizes.is_empty() && written.is_empty() {
        return Ok(None);
    }
    let total = Amount {
        cpu_millis: match cpus {
            Some(cpus) => processors("--cpus", cpus)?,
            None => machine_processors(),
        },
        memory_bytes: match memory {
            Some(text) => memory_of("--memory", &text)?,
            None => machine_memory().ok_or_else(|| {
                invalid("--memory", "this machine does not say how much it has: give --memory")
            })?,
        },
    };
    let share = |total: i64| (total / i64::from(slots)).max(1);
    let each = Amount {
        cpu_millis: limits.cpu_millis.unwrap_or(share(total.cpu_millis)),
        memory_bytes: limits.memory_bytes.unwrap_or(share(total.memory_bytes)),
    };
    if !each.fits(total) {
        let message =
            format!("each job takes {each} (--job-cpus, --job-memory), and there are {total} in all");
        return Err(invalid("--cpus", message));
    }
    let mut by_label = BTreeMap::new();
    let written = written.into_iter().map(|(label, WrittenAmount { cpus, memory })| {
        Ok((
            label,
            Amount { cpu_millis: processors("--size", cpus)?, memory_bytes: memory_of("--size", &memory)? },
        ))
    });
    for size in written.chain(sizes.iter().map(|text| parse(text))) {
        let (label, size) = size?;
        let label = checked_name("--size", label)?.to_lowercase();
        if !size.fits(total) {
            let message = format!("`{label}` takes {size}, and there are {total} in all (--cpus, --memory)");
            return Err(invalid("--size", message));
        }
        if !each.fits(size) {
            let message = format!(
                "`{label}` has {size}, which is less than every job takes: {each}; let those take less with --job-cpus and \
                 --job-memory, or with more --slots"
            );
            return Err(invalid("--size", message));
        }
        by_label.insert(label, size);
    }
    if by_label.len() > SIZES_MAX {
        return Err(invalid("--size", format!("{} sizes are more than {SIZES_MAX}", by_label.len())));
    }
    Ok(Some(Sizes { total, each, by_label }))
}

/// `large=4:16g`
fn parse(text: &str) -> Result<(String, Amount), OptionsError> {
    let wrong = || invalid("--size", format!("`{text}` is not LABEL=CPUS:MEMORY, such as large=4:16g"));
    let (label, size) = text.rsplit_once('=').ok_or_else(wrong)?;
    let (cpus, memory) = size.split_once(':').ok_or_else(wrong)?;
    let cpus: f64 = cpus.trim().parse().map_err(|_| wrong())?;
    let amount =
        Amount { cpu_millis: processors("--size", cpus)?, memory_bytes: memory_of("--size", memory)? };
    Ok((label.to_owned(), amount))
}

/// In thousandths.
pub(super) fn processors(flag: &'static str, cpus: f64) -> Result<i64, OptionsError> {
    match (CPUS_MIN..=CPUS_MAX).contains(&cpus) {
        true => Ok((cpus * 1_000.0) as i64),
        false => Err(invalid(flag, format!("{cpus} is not between {CPUS_MIN} and {CPUS_MAX}"))),
    }
}

/// In bytes.
pub(super) fn memory_of(flag: &'static str, text: &str) -> Result<i64, OptionsError> {
    bytes(text).ok_or_else(|| invalid(flag, format!("`{text}` is not a size such as 8g")))
}

fn machine_processors() -> i64 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    i64::try_from(count).unwrap_or(1).saturating_mul(1_000)
}

fn machine_memory() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}
