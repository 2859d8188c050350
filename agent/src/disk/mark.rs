//! Marks on a disk: how much of it has to be free.

use std::str::FromStr;

use serde::Deserialize;

use super::decide::Level;
use super::space::Space;
use crate::docker::options::bytes;
use crate::limits::{DISK_INODES_FULL_PERCENT, DISK_INODES_LOW_PERCENT};

const GIB: u64 = 1 << 30;

/// How much of a disk has to be free.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Mark {
    /// Nothing: the mark is never passed.
    Off,
    /// So many bytes.
    Bytes(u64),
    /// This share in percent, and not more than so many bytes, for large disks.
    Share {
        /// Above 0 and below 100.
        percent: f64,
        /// In bytes.
        most: u64,
    },
}

impl Mark {
    /// Bytes that have to be free of a disk of this size.
    #[must_use]
    pub fn of(self, size_bytes: u64) -> u64 {
        match self {
            Self::Off => 0,
            Self::Bytes(bytes) => bytes,
            Self::Share { percent, most } => ((size_bytes as f64 * percent / 100.0) as u64).min(most),
        }
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a size such as 5GiB, a share such as 5% nor `off`");
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            let possible = percent > 0.0 && percent < 100.0;
            return if possible { Ok(Self::Share { percent, most: u64::MAX }) } else { Err(wrong()) };
        }
        bytes(text).and_then(|bytes| u64::try_from(bytes).ok()).map(Self::Bytes).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Mark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The two marks of an agent's disks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marks {
    /// Below it no new job is taken.
    pub low: Mark,
    /// Below it the job that uses most is ended.
    pub full: Mark,
}

impl Default for Marks {
    /// A twentieth of the disk, at most 10 GiB, and a hundredth, at most 1 GiB.
    fn default() -> Self {
        Self {
            low: Mark::Share { percent: 5.0, most: 10 * GIB },
            full: Mark::Share { percent: 1.0, most: GIB },
        }
    }
}

impl Marks {
    /// Marks that are never passed.
    pub const OFF: Self = Self { low: Mark::Off, full: Mark::Off };

    /// How full a disk is. A mark that was passed stands a quarter higher until there is so much room again: one that is just
    /// met would be passed with every file.
    #[must_use]
    pub fn level(&self, before: Level, space: &Space) -> Level {
        let below = |mark: Mark, inodes_percent: u64, passed: bool| {
            let higher = |value: u64| if passed { value.saturating_add(value / 4) } else { value };
            let bytes = higher(mark.of(space.size_bytes));
            let inodes = higher(space.inodes.saturating_mul(inodes_percent) / 100);
            mark != Mark::Off && (space.free_bytes < bytes || space.inodes_free < inodes)
        };
        if below(self.full, DISK_INODES_FULL_PERCENT, before == Level::Full) {
            Level::Full
        } else if below(self.low, DISK_INODES_LOW_PERCENT, before >= Level::Low) {
            Level::Low
        } else {
            Level::Roomy
        }
    }

    /// Bytes that are missing until a full disk is none any more.
    #[must_use]
    pub fn missing(&self, space: &Space) -> u64 {
        let mark = self.full.of(space.size_bytes);
        mark.saturating_add(mark / 4).saturating_sub(space.free_bytes)
    }
}
