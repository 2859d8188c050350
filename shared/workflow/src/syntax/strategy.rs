//! `jobs.<id>.strategy`.

use crate::expression::availability::STRATEGY;
use crate::matrix;
use crate::yaml::{Key, Node, NodeKind};

use super::dynamic::{Dynamic, DynamicKind};
use super::model::{Matrix, Strategy};
use super::reader::{Keys, Reader};

const STRATEGY_KEYS: Keys = Keys { of: "`strategy`", known: &["matrix", "fail-fast", "max-parallel"] };

impl Reader<'_, '_> {
    pub(super) fn strategy(&mut self, node: &Node) -> Option<Strategy> {
        if let NodeKind::String(text) = &node.kind
            && text.contains("${{")
        {
            let whole = Some(self.templated(node, "strategy", &STRATEGY)?);
            return Some(Strategy { whole, ..Strategy::at(node.position) });
        }
        let entries = self.mapping(node, "strategy")?;
        let mut strategy = Strategy::at(node.position);
        for (key, value) in entries {
            match &*key.text {
                "matrix" => strategy.matrix = self.matrix(key, value),
                "fail-fast" => strategy.fail_fast = self.boolean(value, "fail-fast", &STRATEGY),
                "max-parallel" => {
                    strategy.max_parallel = self.number_from(value, "max-parallel", 0.0, &STRATEGY)
                }
                _ => self.unknown_key(key, &STRATEGY_KEYS),
            }
        }
        Some(strategy)
    }

    fn matrix(&mut self, key: &Key, node: &Node) -> Option<Matrix> {
        let position = key.position;
        let value = self.dynamic(node, &STRATEGY)?;
        match &value.kind {
            DynamicKind::Template(template) if template.as_expression().is_some() => {}
            DynamicKind::Computed(_) => {}
            DynamicKind::Mapping(entries) => {
                for (name, vector) in entries {
                    if let Some(problem) = matrix::check_entry(name, vector) {
                        self.report.error(vector.position, "matrix", problem);
                        return None;
                    }
                }
            }
            _ => {
                self.wrong_type(node, "matrix", "a mapping or an expression that gives one");
                return None;
            }
        }
        if !is_plain(&value)
            && let Some(literal) = value.literal()
            && let Err(error) = matrix::expand(&literal)
        {
            self.report.error(position, "matrix", error.to_string());
            return None;
        }
        Some(Matrix { value, position })
    }
}

/// Whether a matrix has nothing but a few lists: then nothing can be wrong with it, and it need not be expanded to see that.
fn is_plain(matrix: &Dynamic) -> bool {
    let DynamicKind::Mapping(entries) = &matrix.kind else { return false };
    let mut combinations = 1_usize;
    for (name, vector) in entries {
        let DynamicKind::Sequence(values) = &vector.kind else { return false };
        combinations = combinations.saturating_mul(values.len());
        if matrix::is_filter(name) || values.is_empty() {
            return false;
        }
    }
    !entries.is_empty() && combinations <= matrix::MAX_INSTANCES
}
