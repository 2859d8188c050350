//! Names with text values, in the order in which the names first came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How names compare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// Every difference counts: environment variables.
    #[default]
    Exact,
    /// Upper and lower case are the same: outputs. The first spelling stays.
    IgnoreCase,
}

/// A small ordered map; a name that is set again keeps its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Values {
    names: Names,
    entries: Vec<(String, String)>,
    /// Folded name to place in `entries`.
    index: BTreeMap<String, usize>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    names: Names,
    entries: Vec<(String, String)>,
}

impl Values {
    /// An empty map.
    pub fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.index.get(&self.fold(name)).and_then(|place| self.entries.get_mut(*place)) {
            Some((_, old)) => value.clone_into(old),
            None => {
                self.index.insert(self.fold(name), self.entries.len());
                self.entries.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = *self.index.get(&self.fold(name))?;
        self.entries.get(place).map(|(_, value)| value.as_str())
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As .NET's ordinal comparison without case: each character's upper case, where that is one character.
    fn fold(&self, name: &str) -> String {
        match self.names {
            Names::Exact => name.to_owned(),
            Names::IgnoreCase => name
                .chars()
                .map(|character| {
                    let mut upper = character.to_uppercase();
                    match (upper.next(), upper.next()) {
                        (Some(one), None) => one,
                        _ => character,
                    }
                })
                .collect(),
        }
    }
}

impl From<Stored> for Values {
    fn from(stored: Stored) -> Self {
        let mut values = Self::new(stored.names);
        for (name, value) in &stored.entries {
            values.set(name, value);
        }
        values
    }
}

impl From<Values> for Stored {
    fn from(values: Values) -> Self {
        Self { names: values.names, entries: values.entries }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Values {
    /// With [`Names::Exact`].
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut values = Self::default();
        for (name, value) in pairs {
            values.set(name.as_ref(), value.as_ref());
        }
        values
    }
}
