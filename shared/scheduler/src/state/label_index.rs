//! Which sets of labels an agent offers, without looking at those that it does not: a *set-trie* (Savnik 2013).
//!
//! Each set is a path of its labels in order. The sets that are subsets of another one are found by following only labels of
//! that one, so sets with a label that the agent lacks cost nothing, however many there are.

use std::collections::BTreeMap;

use crate::label::LabelSet;

/// The label sets that something waits with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LabelIndex {
    /// The set that ends here.
    here: Option<LabelSet>,
    next: BTreeMap<String, LabelIndex>,
}

impl LabelIndex {
    pub(crate) fn insert(&mut self, labels: &LabelSet) {
        let mut node = self;
        for label in labels.iter() {
            node = node.next.entry(label.to_owned()).or_default();
        }
        node.here = Some(labels.clone());
    }

    pub(crate) fn remove(&mut self, labels: &LabelSet) {
        let path: Vec<&str> = labels.iter().collect();
        self.prune(&path);
    }

    /// Removes the set at the end of the path, and the nodes that lead nowhere then.
    fn prune(&mut self, path: &[&str]) {
        let Some((label, rest)) = path.split_first() else {
            self.here = None;
            return;
        };
        let Some(next) = self.next.get_mut(*label) else { return };
        next.prune(rest);
        if next.here.is_none() && next.next.is_empty() {
            self.next.remove(*label);
        }
    }

    /// The sets of which `offered` has every label, in order.
    pub(crate) fn fitting<'a>(&'a self, offered: &LabelSet) -> Vec<&'a LabelSet> {
        let offered: Vec<&str> = offered.iter().collect();
        let mut found = Vec::new();
        self.collect(&offered, &mut found);
        found
    }

    fn collect<'a>(&'a self, offered: &[&str], found: &mut Vec<&'a LabelSet>) {
        found.extend(&self.here);
        if self.next.len() < offered.len() {
            for (label, next) in &self.next {
                if let Ok(at) = offered.binary_search(&label.as_str()) {
                    next.collect(offered.get(at + 1..).unwrap_or_default(), found);
                }
            }
        } else {
            for (at, label) in offered.iter().enumerate() {
                if let Some(next) = self.next.get(*label) {
                    next.collect(offered.get(at + 1..).unwrap_or_default(), found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_look_at_every_set_finds_and_forgets_what_is_removed() {
        // Every set of up to four of five labels, by the bits of its number.
        let labels = ["a", "arm64", "linux", "x64", "z"];
        let set = |bits: u32| {
            LabelSet::new(labels.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, it)| it))
        };
        let mut index = LabelIndex::default();
        let held: Vec<_> = (1..32u32).filter(|bits| bits % 3 != 0).map(set).collect();
        held.iter().for_each(|labels| index.insert(labels));
        for offered in (0..32).map(set) {
            let mut expected: Vec<_> = held.iter().filter(|labels| labels.fits(&offered)).collect();
            let mut found = index.fitting(&offered);
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{offered:?}");
        }
        held.iter().for_each(|labels| index.remove(labels));
        assert_eq!(index, LabelIndex::default());
    }
}
