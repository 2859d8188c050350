//! Figures for `/metrics`, in Prometheus' text format.
//!
//! A few counters and histograms that parts of the coordinator count up; what can be read from the state (queues,
//! leases, agents) is read when somebody asks and not counted twice.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts up.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it was set to; 0 at first.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of a histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some((_, bucket)) = BOUNDS_US.iter().zip(&self.buckets).find(|(bound, _)| us <= **bound) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Entries appended to the journal.
    pub journal_records: Counter,
    /// Transactions that appended them.
    pub journal_batches: Counter,
    /// The last position that this leader appended.
    pub journal_end: Gauge,
    /// The last position that the projections have.
    pub history_position: Gauge,
    /// How often writing the projections failed.
    pub history_failures: Counter,
    /// How long an append took.
    pub journal_append: Histogram,
    /// Leases granted.
    pub leases_granted: Counter,
    /// Bytes of record batches that were taken.
    pub record_bytes: Counter,
    /// Records that were taken.
    pub records: Counter,
    /// Record batches refused because their lease was over.
    pub records_stale: Counter,
    /// Blobs that were removed because no run names them.
    pub blobs_collected: Counter,
    /// Their bytes.
    pub blob_bytes_collected: Counter,
    /// Webhook deliveries that were accepted.
    pub deliveries: Counter,
    /// Reports that the forge took.
    pub reports_told: Counter,
    /// Reports that it did not take: later, or never.
    pub reports_failed: Counter,
    /// Reports that are not as they should be yet.
    pub reports_behind: Gauge,
    /// Missed deliveries that the forge was asked for.
    pub redeliveries: Counter,
    /// Calls that had no or a wrong token or signature.
    pub unauthorized: Counter,
    /// How long planning a job took.
    pub planning: Histogram,
}

/// A page in Prometheus' text format.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A number that only rises.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// Numbers that only rise, one for each set of labels; nothing while there are none.
    pub fn counters(&mut self, name: &str, help: &str, values: &[(String, u64)]) {
        if !values.is_empty() {
            self.head(name, "counter", help);
            self.values(name, values);
        }
    }

    /// A number that goes up and down, for each set of labels (written `a="b"`, or empty).
    pub fn gauge(&mut self, name: &str, help: &str, values: &[(String, u64)]) {
        self.head(name, "gauge", help);
        self.values(name, values);
    }

    fn values(&mut self, name: &str, values: &[(String, u64)]) {
        for (labels, value) in values {
            let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(self.0, "{name}{braces} {value}");
        }
    }

    /// Durations, in seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, bucket) in BOUNDS_US.iter().zip(&histogram.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1e6);
        }
        let count = histogram.count.load(Ordering::Relaxed);
        let sum = histogram.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ =
            write!(self.0, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n");
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

/// A label's value with what the format does not allow escaped.
#[must_use]
pub fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_wants_it() {
        let histogram = Histogram::default();
        for us in [50, 700, 9_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let mut page = Page::default();
        page.counter("slipway_x_total", "X.", 3);
        page.gauge("slipway_y", "Y.", &[(format!("l=\"{}\"", escape_label("a\"b")), 2)]);
        page.histogram("slipway_z_seconds", "Z.", &histogram);
        let text = page.finish();
        for line in [
            "# TYPE slipway_x_total counter",
            "slipway_x_total 3",
            "slipway_y{l=\"a\\\"b\"} 2",
            "slipway_z_seconds_bucket{le=\"0.0001\"} 1",
            "slipway_z_seconds_bucket{le=\"0.001\"} 2",
            "slipway_z_seconds_bucket{le=\"+Inf\"} 3",
            "slipway_z_seconds_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
