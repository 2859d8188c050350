//! The live view on a terminal: logs scroll above, a few status lines stay below.
//!
//! Invariant: a frame first wipes exactly the lines the last one drew, and no status line is as wide as the window,
//! so none ever wraps. It makes text only; who owns the terminal writes it. The cursor is never hidden and no mode
//! is changed: a killed process leaves a usable terminal.

use std::fmt::Write;

use super::escape::fit;

/// Frames of the spinner.
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// What waits to be shown and what is on the screen.
#[derive(Debug, Default)]
pub struct Live {
    pending: String,
    drawn: usize,
}

impl Live {
    /// Adds a finished line for the scrolling part; it is shown with the next frame.
    pub fn log(&mut self, line: &str) {
        self.pending.push_str(line);
        self.pending.push('\n');
    }

    /// How much text waits for the next frame, in bytes.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The next frame for a window of this size: at most half of it holds status lines.
    pub fn frame(&mut self, status: &[String], columns: usize, rows: usize) -> String {
        let mut frame = self.wipe();
        let room = (rows / 2).max(1);
        let width = columns.saturating_sub(1).max(1);
        let shown = if status.len() > room { room - 1 } else { status.len() };
        for line in &status[..shown] {
            // Writing to a String cannot fail.
            let _ = writeln!(frame, "{}\u{1b}[K", fit(line, width));
        }
        self.drawn = shown;
        if shown < status.len() {
            let _ = writeln!(frame, "{}\u{1b}[K", fit(&format!("… {} more", status.len() - shown), width));
            self.drawn += 1;
        }
        frame
    }

    /// The last frame: what waits, and no status lines any more.
    pub fn finish(&mut self) -> String {
        self.wipe()
    }

    fn wipe(&mut self) -> String {
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\r\u{1b}[{}A\u{1b}[J", self.drawn);
        }
        self.drawn = 0;
        text.push_str(&std::mem::take(&mut self.pending));
        text
    }
}

/// The spinner at this time.
pub fn spinner(elapsed_ms: u64) -> char {
    SPINNER[(elapsed_ms / 150) as usize % SPINNER.len()]
}

/// The terminal's columns and rows; 80 by 24 where it does not say.
pub fn window() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
