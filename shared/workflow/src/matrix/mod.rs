//! `strategy.matrix`: the cross product of its vectors, without what `exclude` matches, with what `include` adds.
//!
//! Follows the runner's `MatrixBuilder`: in key order, the last vector varies fastest; excludes come before includes;
//! an include item that matches a surviving combination only adds to it, and never changes a vector's value; one that
//! matches none becomes a combination of its own.

mod name;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

use std::sync::Arc;

use crate::syntax::{Dynamic, DynamicKind};
use crate::value::{Object, Value, eq_ignore_case, loose_equals};

pub use name::{MAX_NAME_UTF16, job_name, truncate};

/// Most instances of one job, as on GitHub.
pub const MAX_INSTANCES: usize = 256;
/// Most combinations looked at before `exclude`.
pub const MAX_COMBINATIONS: usize = 65_536;
/// Most comparisons of combinations with `include` and `exclude` items: keeps time bounded.
pub const MAX_COMPARISONS: usize = 4_000_000;

/// Why a matrix can't be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// Not a mapping.
    #[error("the matrix must be a mapping, not {0}")]
    NotAMapping(&'static str),
    /// A vector that is no list.
    #[error("`matrix.{0}` must be a list, not {1}")]
    NotAList(String, &'static str),
    /// A vector without values.
    #[error("`matrix.{0}` is an empty list; a matrix vector needs at least one value")]
    EmptyVector(String),
    /// `include` or `exclude` holds something that is no mapping.
    #[error("`matrix.{0}` must be a list of mappings")]
    NotMappings(&'static str),
    /// An item without keys.
    #[error("an item of `matrix.{0}` is empty")]
    EmptyItem(&'static str),
    /// `exclude` names a key that no vector has.
    #[error("`matrix.exclude` names `{0}`, which is no key of the matrix")]
    UnknownExcludeKey(String),
    /// Too many instances.
    #[error("the matrix makes more than {MAX_INSTANCES} jobs")]
    TooMany,
    /// Too much work.
    #[error("the matrix is too large to expand; at most {MAX_COMBINATIONS} combinations are looked at")]
    TooLarge,
    /// Nothing at all.
    #[error("the matrix makes no job; it needs a vector or an `include`")]
    Nothing,
}

/// One combination.
#[derive(Debug, Clone)]
pub struct Combination {
    /// The `matrix` context.
    pub values: Value,
    /// Texts for the job's name: scalar values but for those that `include` added.
    pub segments: Vec<String>,
}

/// What can be said of one entry of a matrix before expressions are evaluated.
pub(crate) fn check_entry(name: &str, vector: &Dynamic) -> Option<String> {
    match &vector.kind {
        DynamicKind::Template(template) if template.as_expression().is_some() => None,
        DynamicKind::Sequence(items) if items.is_empty() && !is_filter(name) => {
            Some(MatrixError::EmptyVector(name.to_owned()).to_string())
        }
        DynamicKind::Sequence(_) => None,
        DynamicKind::Literal(value) => Some(MatrixError::NotAList(name.to_owned(), value.kind()).to_string()),
        DynamicKind::Template(_) => Some(MatrixError::NotAList(name.to_owned(), "text").to_string()),
        DynamicKind::Mapping(_) | DynamicKind::Computed(_) => {
            Some(MatrixError::NotAList(name.to_owned(), "a mapping").to_string())
        }
    }
}

pub(crate) fn is_filter(name: &str) -> bool {
    name.eq_ignore_ascii_case("include") || name.eq_ignore_ascii_case("exclude")
}

struct Vector<'a> {
    name: &'a Arc<str>,
    values: &'a [Value],
}

/// An item of `include`.
struct Include<'a> {
    filter: Vec<(&'a Arc<str>, &'a Value)>,
    extra: Vec<(&'a Arc<str>, &'a Value)>,
    matched: bool,
}

/// Expands an evaluated matrix.
///
/// # Errors
/// What is wrong with it, or that it is too large. When all is excluded the list is empty.
pub fn expand(matrix: &Value) -> Result<Vec<Combination>, MatrixError> {
    let Value::Object(matrix) = matrix else {
        return Err(MatrixError::NotAMapping(matrix.kind()));
    };
    let vectors = vectors(matrix)?;
    let excludes = excludes(matrix, &vectors)?;
    let mut includes = includes(matrix, &vectors)?;

    let product = if vectors.is_empty() {
        0
    } else {
        vectors
            .iter()
            .try_fold(1_usize, |product, vector| product.checked_mul(vector.values.len()))
            .filter(|product| *product <= MAX_COMBINATIONS)
            .ok_or(MatrixError::TooLarge)?
    };
    let comparisons = product.saturating_mul(excludes.len() + includes.len());
    if comparisons > MAX_COMPARISONS {
        return Err(MatrixError::TooLarge);
    }

    let mut combinations = Vec::new();
    for index in 0..product {
        let picked = pick(&vectors, index, product);
        if excludes.iter().any(|filter| matches(filter, &picked)) {
            continue;
        }
        if combinations.len() == MAX_INSTANCES {
            return Err(MatrixError::TooMany);
        }
        combinations.push(combine(&picked, &mut includes));
    }
    for include in includes.iter().filter(|include| !include.matched) {
        if combinations.len() == MAX_INSTANCES {
            return Err(MatrixError::TooMany);
        }
        let pairs = || include.filter.iter().chain(&include.extra);
        let segments = pairs().flat_map(|(_, value)| name::segments(value)).collect();
        let values = Value::object(pairs().map(|(key, value)| (Arc::clone(key), (*value).clone())));
        combinations.push(Combination { values, segments });
    }
    if vectors.is_empty() && includes.is_empty() {
        return Err(MatrixError::Nothing);
    }
    Ok(combinations)
}

fn vectors(matrix: &Object) -> Result<Vec<Vector<'_>>, MatrixError> {
    matrix
        .iter()
        .filter(|(name, _)| !is_filter(name))
        .map(|(name, value)| match value {
            Value::Array(array) if array.items.is_empty() => Err(MatrixError::EmptyVector(name.to_string())),
            Value::Array(array) => Ok(Vector { name, values: &array.items }),
            other => Err(MatrixError::NotAList(name.to_string(), other.kind())),
        })
        .collect()
}

fn items<'a>(matrix: &'a Object, key: &'static str) -> Result<Vec<&'a Object>, MatrixError> {
    match matrix.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(array)) => array
            .items
            .iter()
            .map(|item| match item {
                Value::Object(object) if object.is_empty() => Err(MatrixError::EmptyItem(key)),
                Value::Object(object) => Ok(&**object),
                _ => Err(MatrixError::NotMappings(key)),
            })
            .collect(),
        Some(_) => Err(MatrixError::NotMappings(key)),
    }
}

type Filter<'a> = Vec<(&'a Arc<str>, &'a Value)>;

fn excludes<'a>(matrix: &'a Object, vectors: &[Vector<'_>]) -> Result<Vec<Filter<'a>>, MatrixError> {
    items(matrix, "exclude")?
        .into_iter()
        .map(|item| {
            for (key, _) in item.iter() {
                if !vectors.iter().any(|vector| eq_ignore_case(vector.name, key)) {
                    return Err(MatrixError::UnknownExcludeKey(key.to_string()));
                }
            }
            Ok(item.iter().collect())
        })
        .collect()
}

fn includes<'a>(matrix: &'a Object, vectors: &[Vector<'_>]) -> Result<Vec<Include<'a>>, MatrixError> {
    Ok(items(matrix, "include")?
        .into_iter()
        .map(|item| {
            let (filter, extra) = item
                .iter()
                .partition(|(key, _)| vectors.iter().any(|vector| eq_ignore_case(vector.name, key)));
            Include { filter, extra, matched: false }
        })
        .collect())
}

fn pick<'a>(vectors: &[Vector<'a>], index: usize, product: usize) -> Vec<(&'a Arc<str>, &'a Value)> {
    let mut block = product;
    vectors
        .iter()
        .filter_map(|vector| {
            block /= vector.values.len();
            let value = vector.values.get((index / block) % vector.values.len())?;
            Some((vector.name, value))
        })
        .collect()
}

/// Adds what matching `include` items bring; of several that bring one key the last counts.
fn combine(picked: &[(&Arc<str>, &Value)], includes: &mut [Include<'_>]) -> Combination {
    let mut extra = Object::new();
    for include in includes.iter_mut().filter(|include| matches(&include.filter, picked)) {
        include.matched = true;
        for (key, value) in &include.extra {
            extra.insert(Arc::clone(key), (*value).clone());
        }
    }
    let mut values = Object::new();
    for (key, value) in picked {
        values.insert_new(Arc::clone(key), (*value).clone());
    }
    for (key, value) in extra.iter() {
        values.insert_new(Arc::clone(key), value.clone());
    }
    let segments = picked.iter().flat_map(|(_, value)| name::segments(value)).collect();
    Combination { values: Value::Object(Arc::new(values)), segments }
}

/// Whether every leaf of a filter equals what stands there in the combination.
fn matches(filter: &[(&Arc<str>, &Value)], picked: &[(&Arc<str>, &Value)]) -> bool {
    filter.iter().all(|(key, wanted)| {
        picked
            .iter()
            .find(|(name, _)| eq_ignore_case(name, key))
            .is_some_and(|(_, value)| leaf_matches(wanted, value))
    })
}

/// A leaf that is missing in the combination is null, as an expression that looks for it gives.
fn leaf_matches(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Object(wanted) => {
            wanted.iter().all(|(key, wanted)| leaf_matches(wanted, value.get(key).unwrap_or(&Value::Null)))
        }
        Value::Array(wanted) => wanted.items.iter().enumerate().all(|(at, wanted)| {
            let found = match value {
                Value::Array(array) => array.items.get(at),
                other => other.get(&at.to_string()),
            };
            leaf_matches(wanted, found.unwrap_or(&Value::Null))
        }),
        _ => loose_equals(value, wanted),
    }
}
