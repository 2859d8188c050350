//! A regular expression of a file: linear in what it is asked about, whatever it says.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The longest text of one, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// The most memory of one that is compiled, in bytes: `(a{1000}){1000}` is short too.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A regular expression (Rust's `regex`: no look-around, no back-references).
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles one.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("it is longer than {MAX_PATTERN_BYTES} bytes"));
        }
        let compiled = RegexBuilder::new(text).size_limit(MAX_COMPILED_BYTES).build();
        compiled.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large when compiled".to_owned(),
            // Its text is a picture of several lines; the last one says what is wrong.
            error => {
                let text = error.to_string();
                text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is somewhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.as_str()).finish()
    }
}
