//! What follows from how full disks are and what jobs use of them. Pure: nobody measures anything here.

/// How full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// There is room.
    #[default]
    Roomy,
    /// Too little for new jobs.
    Low,
    /// Too little for those that run.
    Full,
}

/// What a job uses of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The name of its folder.
    pub job: String,
    /// In bytes.
    pub bytes: u64,
}

/// The job that ends so that others can go on: the one that uses most. None where not even all of them together use what is missing:
/// then somebody else has filled the disk, and ending jobs would only lose their work.
#[must_use]
pub fn most(uses: &[Use], missing_bytes: u64) -> Option<&Use> {
    let all = uses.iter().map(|one| one.bytes).fold(0, u64::saturating_add);
    let most = uses.iter().max_by(|a, b| a.bytes.cmp(&b.bytes).then_with(|| b.job.cmp(&a.job)))?;
    (most.bytes > 0 && all >= missing_bytes).then_some(most)
}

/// When what jobs use is measured again: after some time, and as soon as so much of the disk has gone that one of them may have passed its
/// limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    last: Option<(u64, u64)>,
}

/// The share of a job's limit by which a disk's room has to shrink before jobs are measured early.
const EARLY_SHARE: u64 = 16;

impl Measured {
    /// Whether it is time. `free_bytes` is the disk's room now; times are milliseconds of any clock that only goes on.
    #[must_use]
    pub fn is_due(&self, now_ms: u64, free_bytes: u64, limit_bytes: u64, every_ms: u64) -> bool {
        let Some((at_ms, free_before)) = self.last else { return true };
        let gone = free_before.saturating_sub(free_bytes);
        gone >= (limit_bytes / EARLY_SHARE).max(1) || now_ms.saturating_sub(at_ms) >= every_ms
    }

    /// It was measured now.
    pub fn note(&mut self, now_ms: u64, free_bytes: u64) {
        self.last = Some((now_ms, free_bytes));
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
