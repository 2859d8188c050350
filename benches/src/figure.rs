//! One measured figure beside its baseline, as the contract prints it.

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

/// A figure. `ratio` is `value / baseline_value`: both were measured in the same run, on the same machine, so the ratio
/// says something where the value alone does not.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub metric: String,
    /// The figure, in `unit`.
    pub value: f64,
    /// Its unit: `ms`, `per_s`, `files_per_s`, …
    pub unit: &'static str,
    /// What the baseline is.
    pub baseline: &'static str,
    /// The baseline's figure, in the same unit.
    pub baseline_value: f64,
    /// `value / baseline_value`.
    pub ratio: f64,
}

impl Figure {
    /// A figure and its baseline, in one unit.
    #[must_use]
    pub fn new(
        metric: impl Into<String>,
        unit: &'static str,
        value: f64,
        baseline: &'static str,
        baseline_value: f64,
    ) -> Self {
        Self { metric: metric.into(), value, unit, baseline, baseline_value, ratio: value / baseline_value }
    }

    /// Prints it: a JSON object a line, or a line for people.
    ///
    /// # Errors
    /// When the figure can't be written as JSON (it is not a finite number), or nobody reads the output any more.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else {
            writeln!(
                out,
                "{:<52} {:>12.3} {:<12} {:<44} {:>12.3}   ratio {:>8.3}",
                self.metric, self.value, self.unit, self.baseline, self.baseline_value, self.ratio
            )?;
        }
        Ok(())
    }
}

/// Times of one thing done many times.
#[derive(Debug, Default)]
pub struct Samples {
    sorted: bool,
    millis: Vec<f64>,
}

impl Samples {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { sorted: false, millis: Vec::new() }
    }

    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.sorted = false;
        self.millis.push(time.as_secs_f64() * 1_000.0);
    }

    /// The time that the given share (0 to 1) of the samples does not pass, in milliseconds; NaN without samples.
    pub fn quantile_ms(&mut self, share: f64) -> f64 {
        if !self.sorted {
            self.millis.sort_by(f64::total_cmp);
            self.sorted = true;
        }
        let last = self.millis.len().saturating_sub(1);
        let index = ((last as f64) * share.clamp(0.0, 1.0)).round() as usize;
        self.millis.get(index).copied().unwrap_or(f64::NAN)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.millis.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.millis.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred_samples() {
        let mut samples = Samples::default();
        for ms in (1..=101).rev() {
            samples.add(Duration::from_millis(ms));
        }
        assert_eq!(samples.len(), 101);
        assert!((samples.quantile_ms(0.5) - 51.0).abs() < 1e-9);
        assert!((samples.quantile_ms(0.99) - 100.0).abs() < 1e-9);
        assert!((samples.quantile_ms(1.0) - 101.0).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_value_over_baseline() {
        assert!((Figure::new("x", "ms", 3.0, "y", 6.0).ratio - 0.5).abs() < 1e-9);
    }
}
