//! Mappings that keep their order and, but for `env` on Linux, ignore the case of keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Value, eq_ignore_case, fold};

/// Up to this many entries a lookup walks the list; beyond, an index is kept.
const LINEAR_ENTRIES: usize = 8;

/// An ordered mapping.
#[derive(Debug, Clone, Default)]
pub struct Object {
    entries: Vec<(Arc<str>, Value)>,
    /// Folded (or, case-sensitive, plain) key to position; empty while the object is small.
    index: BTreeMap<Box<str>, usize>,
    case_sensitive: bool,
}

impl Object {
    /// An empty mapping whose keys ignore case.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty mapping whose keys respect case: `env` on Linux.
    pub fn case_sensitive() -> Self {
        Self { case_sensitive: true, ..Self::default() }
    }

    /// Adds an entry unless the key is there already; says whether it was added.
    pub fn insert_new(&mut self, key: Arc<str>, value: Value) -> bool {
        if self.position(&key).is_some() {
            return false;
        }
        self.push(key, value);
        true
    }

    /// Adds an entry or replaces the value of the one that is there.
    pub fn insert(&mut self, key: Arc<str>, value: Value) {
        match self.position(&key) {
            Some(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = value;
                }
            }
            None => self.push(key, value),
        }
    }

    fn push(&mut self, key: Arc<str>, value: Value) {
        self.entries.push((key, value));
        let count = self.entries.len();
        if count > LINEAR_ENTRIES {
            let from = if self.index.is_empty() { 0 } else { count - 1 };
            for at in from..count {
                if let Some((key, _)) = self.entries.get(at) {
                    self.index.insert(Self::index_key(self.case_sensitive, key), at);
                }
            }
        }
    }

    fn index_key(case_sensitive: bool, key: &str) -> Box<str> {
        if case_sensitive { key.into() } else { fold(key).into() }
    }

    fn position(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            return self.entries.iter().position(|(name, _)| {
                if self.case_sensitive { &**name == key } else { eq_ignore_case(name, key) }
            });
        }
        self.index.get(&*Self::index_key(self.case_sensitive, key)).copied()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).and_then(|at| self.entries.get(at)).map(|(_, value)| value)
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The values in order.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<(Arc<str>, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut object = Object::new();
        object.entries.reserve(entries.size_hint().0);
        for (key, value) in entries {
            object.insert_new(key, value);
        }
        object
    }
}
