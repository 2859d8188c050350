//! Times and kinds of agents in words, and what is said of an instance that is not tried again.

use std::collections::BTreeMap;
use std::fmt;

use crate::label::LabelSet;
use crate::outcome::{FleetCause, GateVerdict, Outcome};
use crate::state::Instance;
use crate::time::Timestamp;

/// Labels that name an architecture: written as GitHub writes them, in capitals.
const ARCHITECTURES: [&str; 4] = ["x64", "arm64", "x86", "arm"];

/// The kind of agent that these labels ask for: the architecture and whatever else is not on every agent.
pub(super) fn kind(labels: &LabelSet) -> String {
    let words = labels.iter().filter(|label| !matches!(*label, "self-hosted" | "linux"));
    let words: Vec<_> = words
        .map(|label| if ARCHITECTURES.contains(&label) { label.to_uppercase() } else { label.to_owned() })
        .collect();
    if words.is_empty() { labels.iter().collect::<Vec<_>>().join(" ") } else { words.join(" ") }
}

/// A time that something will take, in seconds, as people say it.
pub(super) struct Span(pub(super) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..60 => write!(f, "{} s", seconds.max(1)),
            seconds @ ..7_200 => write!(f, "{} min", seconds.div_ceil(60)),
            seconds @ ..172_800 => write!(f, "{} h", seconds.div_ceil(3_600)),
            seconds => write!(f, "{} days", seconds.div_ceil(86_400)),
        }
    }
}

/// Processors, in thousandths of one, as people say them.
pub(super) struct Processors(pub(super) u64);

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0 == 1_000 { "processor" } else { "processors" };
        write!(f, "{} {noun}", self.0 as f64 / 1_000.0)
    }
}

/// Memory in bytes, as people say it.
pub(super) struct Gibibytes(pub(super) u64);

impl fmt::Display for Gibibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.saturating_mul(10).div_ceil(1 << 30);
        write!(f, "{} GiB", tenths as f64 / 10.0)
    }
}

/// A time of day in UTC.
pub(super) struct Clock(pub(super) Timestamp);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0 / 1_000 % 86_400;
        write!(f, "{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}

/// A day and a time of day in UTC.
pub(super) struct Moment(pub(super) Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{}", moment.strftime("%Y-%m-%d %H:%M:%S UTC"))
    }
}

/// A text as an argument for a shell.
pub(super) struct Argument<'a>(pub(super) &'a str);

impl fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || "-_./@:+".contains(c);
        if !self.0.is_empty() && !self.0.starts_with('-') && self.0.chars().all(plain) {
            return f.write_str(self.0);
        }
        let dashes = if self.0.starts_with('-') { "-- " } else { "" };
        write!(f, "{dashes}'{}'", self.0.replace('\'', r"'\''"))
    }
}

/// An instance that the fleet failed for good: how often it was tried, and what failed how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaveUp {
    /// Attempts in all.
    pub attempts: usize,
    /// What of the fleet failed, and how often.
    pub causes: BTreeMap<FleetCause, u32>,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |count: u32| if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let causes: Vec<_> =
            self.causes.iter().map(|(cause, count)| format!("{cause} {}", times(*count))).collect();
        let noun = if self.attempts == 1 { "attempt" } else { "attempts" };
        write!(f, "given up after {} {noun}: {}", self.attempts, causes.join(", "))
    }
}

/// Why an instance that the fleet failed is not tried again; `None` when its end is not the fleet's.
#[must_use]
pub fn gave_up(instance: &Instance) -> Option<GaveUp> {
    instance.cause()?;
    let mut causes = BTreeMap::new();
    for end in instance.attempts().iter().filter_map(|attempt| attempt.end) {
        if let Outcome::Fleet { cause } = end.outcome {
            *causes.entry(cause).or_default() += 1;
        }
    }
    Some(GaveUp { attempts: instance.attempts().len(), causes })
}

/// Why an instance ended at its environment's gate; `None` when it did not.
#[must_use]
pub fn gate_refusal(instance: &Instance) -> Option<String> {
    let (gate, review) = (instance.gate()?, instance.review()?);
    let environment = &gate.environment;
    match review.verdict {
        GateVerdict::Approved => None,
        GateVerdict::Rejected if review.comment.is_empty() => {
            Some(format!("{} rejected `{environment}`", review.actor))
        }
        GateVerdict::Rejected => {
            Some(format!("{} rejected `{environment}`: {}", review.actor, review.comment))
        }
        GateVerdict::Expired => {
            Some(format!("nobody approved `{environment}` within {}", Span(gate.expires_ms / 1_000)))
        }
    }
}
