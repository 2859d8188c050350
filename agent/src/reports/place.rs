//! Names in reports as people know them: masked, cut, and paths as they are in the repository.

use crate::limits::REPORTS_NAME_MAX_BYTES;

/// What masks a whole text and cuts the result to so many bytes: in this order, or half a secret would come out at the cut.
pub type Clean<'a> = &'a dyn Fn(&str, usize) -> String;

/// How names are made.
pub struct Named<'a> {
    /// Masks and cuts.
    pub clean: Clean<'a>,
    /// The workspace's path for the job's steps.
    pub workspace: &'a str,
}

impl Named<'_> {
    /// A text of at most so many bytes.
    #[must_use]
    pub fn text(&self, text: &str, max_bytes: usize) -> String {
        (self.clean)(text, max_bytes)
    }

    /// A name.
    #[must_use]
    pub fn name(&self, text: &str) -> String {
        (self.clean)(text, REPORTS_NAME_MAX_BYTES)
    }

    /// A path, below the workspace if it is there.
    #[must_use]
    pub fn path(&self, text: &str) -> String {
        let text = text.strip_prefix(self.workspace).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        self.name(text.strip_prefix("./").unwrap_or(text))
    }

    /// A path from a URI.
    #[must_use]
    pub fn uri(&self, text: &str) -> String {
        let path = text.strip_prefix("file://").unwrap_or(text);
        self.path(&decoded(path))
    }
}

/// Without percent signs before two digits; what is not UTF-8 then stays as it was.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, more @ ..] = rest {
        let mut byte = [0];
        match more.get(..2) {
            Some(digits) if *first == b'%' && hex::decode_to_slice(digits, &mut byte).is_ok() => {
                bytes.push(byte[0]);
                rest = more.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
