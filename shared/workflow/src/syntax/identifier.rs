//! Ids of jobs and steps.

use std::collections::{BTreeMap, BTreeSet};

/// An id is shorter than this many characters.
pub const MAX_ID_CHARS: usize = 100;

/// Why an id can't be one, for people.
pub(crate) fn problem(id: &str) -> Option<String> {
    let mut bytes = id.bytes();
    let legal = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !legal {
        return Some(format!(
            "the id `{id}` is invalid: it must start with a letter or `_` and hold only letters, digits, `_` and `-`"
        ));
    }
    if id.len() >= MAX_ID_CHARS {
        return Some(format!("the id `{id}` is too long: it must be shorter than {MAX_ID_CHARS} characters"));
    }
    id.starts_with("__").then(|| format!("the id `{id}` is invalid: ids that start with `__` are reserved"))
}

/// Gives ids to steps that have none, as GitHub does: `__run`, `__run_2`, `__actions_checkout`.
#[derive(Debug, Default)]
pub struct StepIds {
    taken: BTreeSet<String>,
    /// The number to try next, by the stem of the id.
    next: BTreeMap<String, usize>,
}

impl StepIds {
    /// Notes an id that was written; says whether it was free (case does not matter).
    pub fn take(&mut self, id: &str) -> bool {
        self.taken.insert(id.to_ascii_lowercase())
    }

    /// A free id for a step that runs a script.
    pub fn for_run(&mut self) -> String {
        self.free("__run")
    }

    /// A free id for a step that waits for others or cancels one.
    pub fn for_control(&mut self, stem: &str) -> String {
        self.free(&format!("__{stem}"))
    }

    /// A free id for a step that uses `owner/name[/path]@ref`.
    pub fn for_action(&mut self, uses: &str) -> String {
        if let Some(image) = uses.strip_prefix("docker://") {
            return self.free(&legal(&format!("__{image}")));
        }
        let path = uses.split('@').next().unwrap_or_default();
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let base = match (parts.next(), parts.next()) {
            (Some(owner), Some(name)) if owner != "." && owner != "$" => format!("__{owner}_{name}"),
            _ => "__self".to_owned(),
        };
        self.free(&legal(&base))
    }

    fn free(&mut self, base: &str) -> String {
        // Where the last one with this stem was found: a job of thousands of steps must not try all before it again.
        let mut number = self.next.get(base).copied().unwrap_or(1);
        loop {
            let candidate = numbered(base, number);
            number += 1;
            if self.taken.insert(candidate.to_ascii_lowercase()) {
                self.next.insert(base.to_owned(), number);
                return candidate;
            }
        }
    }
}

/// `base`, `base_2`, `base_3` and so on, none of them too long.
fn numbered(base: &str, number: usize) -> String {
    let suffix = if number == 1 { String::new() } else { format!("_{number}") };
    let kept = MAX_ID_CHARS.saturating_sub(suffix.len());
    let mut candidate = match base.char_indices().nth(kept) {
        Some((at, _)) => base.get(..at).unwrap_or(base).to_owned(),
        None => base.to_owned(),
    };
    candidate.push_str(&suffix);
    candidate
}

fn legal(base: &str) -> String {
    base.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
