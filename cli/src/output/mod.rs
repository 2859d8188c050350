//! What people and scripts see: standard output, tables, and text made safe for a terminal.
//!
//! Everything a command says on standard output goes through [`Out`], so a closed pipe never panics and colours
//! are decided in one place.

pub mod escape;
pub mod live;
pub mod style;
pub mod table;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};

use crate::failure::Failure;

/// Standard output, and what it can show.
#[derive(Debug)]
pub struct Out {
    stream: std::io::Stdout,
    /// Colours are wanted and possible.
    pub colours: bool,
    /// A person's terminal, not a pipe or a file.
    pub terminal: bool,
}

impl Out {
    /// Looks at the process's standard output and at `NO_COLOR` (<https://no-color.org>).
    pub fn stdout() -> Self {
        let stream = std::io::stdout();
        let terminal = stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Out { stream, colours: terminal && !refused, terminal }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] once nobody reads any more.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.raw(&[line.as_bytes(), b"\n"])
    }

    /// Writes a JSON value as one line.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] once nobody reads any more.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::usage(format!("cannot write this as JSON: {error}")))?;
        self.line(&text)
    }

    /// Writes text as it is and flushes.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] once nobody reads any more.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.raw(&[text.as_bytes()])
    }

    fn raw(&mut self, parts: &[&[u8]]) -> Result<(), Failure> {
        let mut lock = self.stream.lock();
        for part in parts {
            lock.write_all(part).map_err(|_| Failure::ReaderGone)?;
        }
        lock.flush().map_err(|_| Failure::ReaderGone)
    }
}

/// Says something to the person on standard error; nobody listening is fine.
pub fn note(message: &str) {
    let _ = writeln!(std::io::stderr(), "{}", escape::paragraph(message));
}
