//! Labels: what a job asks for (`runs-on`) and what an agent offers. A job fits an agent that has *all* its labels.
//!
//! Labels compare without case; they are kept in lower case, sorted and without repeats, so that equal sets are equal
//! values and share one queue.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of labels in normal form. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSet(Arc<Vec<String>>);

impl LabelSet {
    /// The set of these labels, in any case and order.
    pub fn new<I>(labels: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut set: Vec<String> = labels.into_iter().map(|label| label.as_ref().to_lowercase()).collect();
        set.sort_unstable();
        set.dedup();
        Self(Arc::new(set))
    }

    /// The labels in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none. An empty set fits every agent, so a job's set is never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this label, in any case, is in the set.
    #[must_use]
    pub fn contains(&self, label: &str) -> bool {
        let label = label.to_lowercase();
        self.0.binary_search(&label).is_ok()
    }

    /// This set and these labels.
    #[must_use]
    pub fn with(&self, labels: &[String]) -> Self {
        if labels.is_empty() {
            return self.clone();
        }
        Self::new(self.iter().chain(labels.iter().map(String::as_str)))
    }

    /// Makes this set share its memory with the one before, if they are equal, and be the one before for the next: those of a
    /// matrix are, and each was read or evaluated by itself.
    pub(crate) fn share(&mut self, before: &mut Self) {
        if self == before {
            self.clone_from(before);
        } else {
            before.clone_from(self);
        }
    }

    /// Whether `offered` has every label of this set.
    #[must_use]
    pub fn fits(&self, offered: &Self) -> bool {
        Arc::ptr_eq(&self.0, &offered.0) || self.missing_from(offered).next().is_none()
    }

    /// The labels of this set that `offered` lacks, in order.
    pub fn missing_from<'a>(&'a self, offered: &'a Self) -> impl Iterator<Item = &'a str> {
        // Both sides are sorted: one walk.
        let mut others = offered.0.iter().peekable();
        self.0.iter().map(String::as_str).filter(move |label| {
            while others.next_if(|other| other.as_str() < *label).is_some() {}
            others.peek().is_none_or(|other| other.as_str() != *label)
        })
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter()).finish()
    }
}

impl<S: AsRef<str>> FromIterator<S> for LabelSet {
    fn from_iter<I: IntoIterator<Item = S>>(labels: I) -> Self {
        Self::new(labels)
    }
}

impl Serialize for LabelSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_order_do_not_matter() {
        let set = LabelSet::new(["self-hosted", "Linux", "X64", "linux"]);
        assert_eq!(set, LabelSet::new(["x64", "LINUX", "Self-Hosted"]));
        assert_eq!(set.len(), 3);
        assert!(set.contains("LiNuX"));
    }

    #[test]
    fn a_job_fits_where_all_its_labels_are() {
        let agent = LabelSet::new(["self-hosted", "linux", "x64", "gpu"]);
        for (job, missing) in [
            (vec!["linux"], vec![]),
            (vec!["linux", "gpu", "self-hosted", "x64"], vec![]),
            (vec!["arm64", "linux"], vec!["arm64"]),
            (vec!["a", "gpu", "z"], vec!["a", "z"]),
            (vec![], vec![]),
        ] {
            let job = LabelSet::new(job);
            assert_eq!(job.missing_from(&agent).collect::<Vec<_>>(), missing);
            assert_eq!(job.fits(&agent), missing.is_empty());
        }
    }
}
