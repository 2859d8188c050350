//! A map for large values. A copy of it shares them until one side changes one: a copy of the whole state for a snapshot costs a
//! pointer a value, while the scheduler goes on.
//!
//! Values have their own place in memory for another reason too: where keys only rise a tree's nodes stay half empty.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shelf<K, V>(BTreeMap<K, Arc<V>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V: Clone> Shelf<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// The value, to be changed; one that a copy of the map shares is copied before.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key).map(Arc::make_mut)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, Arc::new(value));
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<Arc<V>> {
        self.0.remove(key)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.values().map(AsRef::as_ref)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Shelf<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key, Arc::new(value))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_had_while_the_original_changes() {
        let mut shelf: Shelf<u32, String> =
            [(1, "one".to_owned()), (2, "two".to_owned())].into_iter().collect();
        let copy = shelf.clone();
        if let Some(value) = shelf.get_mut(&1) {
            value.push('!');
        }
        shelf.remove(&2);
        shelf.insert(3, "three".to_owned());
        assert_eq!(shelf.values().collect::<Vec<_>>(), ["one!", "three"]);
        assert_eq!(copy.values().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!((shelf.len(), copy.len()), (2, 2));
    }

    #[test]
    fn values_are_shared_until_they_change() {
        let mut shelf: Shelf<u32, u64> = [(1, 10), (2, 20)].into_iter().collect();
        let copy = shelf.clone();
        if let Some(value) = shelf.get_mut(&1) {
            *value += 1;
        }
        let shared = |key| Arc::ptr_eq(&shelf.0[key], &copy.0[key]);
        assert!(!shared(&1));
        assert!(shared(&2));
    }
}
