//! How much of a cache each owner may have.

/// Bounds by owner ([`Namespace::owner`]): the first one counts whose beginning the owner's name has. An owner without one
/// is bounded by the cache's alone.
///
/// [`Namespace::owner`]: crate::cache::key::Namespace::owner
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas(Vec<(String, u64)>);

impl Quotas {
    /// Owners whose names begin with `prefix` may have so many bytes, unless an earlier one of these says otherwise.
    #[must_use]
    pub fn with(mut self, prefix: &str, max_bytes: u64) -> Self {
        self.0.push((prefix.to_owned(), max_bytes));
        self
    }

    /// The bound of this owner.
    #[must_use]
    pub fn of(&self, owner: &str) -> Option<u64> {
        self.0.iter().find(|(prefix, _)| owner.starts_with(prefix)).map(|(_, max_bytes)| *max_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_counts() {
        let quotas = Quotas::default().with("r-a", 1).with("r-", 2);
        assert_eq!((quotas.of("r-ab"), quotas.of("r-b"), quotas.of("shared")), (Some(1), Some(2), None));
    }
}
