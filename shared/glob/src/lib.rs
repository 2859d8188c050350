//! The pattern language of GitHub's `@actions/glob`, which `hashFiles`, the cache and artifacts share.
//!
//! Each line is a pattern; `#` starts a comment; `!` takes matches away again; patterns count in order. It is pure:
//! paths are lists of names from the root, and whoever uses it walks the files.
//!
//! Invariant: judging a path takes at most the product of both lengths, whatever the pattern.

mod pattern;
mod segment;

pub use pattern::{MAX_PATTERNS, Options, Pattern, PatternError, Verdict, judge, names, parse, search_paths};
pub use segment::Segment;
