//! Where a followed run is shown: the contract's objects, plain lines, or a live view.
//!
//! Invariant: in JSON mode standard output carries objects only. A reader that goes away ends the showing, not the
//! run: its result is still the exit code.

use serde_json::json;
use uuid::Uuid;

use super::board::Board;
use super::transcript::{Looks, Transcript};
use crate::client::types::Event;
use crate::output::live::{Live, window};
use crate::output::{self, Out};

/// Log text that makes a frame before its time, in bytes.
const FRAME_LIMIT_BYTES: usize = 64 * 1024;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The contract's objects, one a line.
    Json,
    /// Lines, also where nobody watches.
    Plain,
    /// Logs above, the jobs' states below.
    Live,
}

/// A followed run on standard output.
pub struct Screen<'a> {
    out: &'a mut Out,
    mode: Mode,
    transcript: Transcript,
    live: Live,
    gone: bool,
}

impl<'a> Screen<'a> {
    /// `json` wins; else a terminal gets the live view. `verbose` shows the runner's repetition of scripts too.
    pub fn new(out: &'a mut Out, json: bool, verbose: bool) -> Self {
        let mode = match (json, out.terminal) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Live,
            (false, false) => Mode::Plain,
        };
        let transcript = Transcript::new(Looks { colours: out.colours, prefix: true, verbose });
        Screen { out, mode, transcript, live: Live::default(), gone: false }
    }

    /// Shows an event that the board has taken in; `raw` is its line.
    pub fn event(&mut self, raw: &str, event: &Event, board: &Board, now_ms: u64) {
        match self.mode {
            // The contract names four kinds of objects; what else the coordinator tells is not for scripts yet.
            Mode::Json if matches!(event, Event::Annotation { .. } | Event::Other) => {}
            Mode::Json => self.write(&format!("{raw}\n")),
            Mode::Plain => {
                for line in self.transcript.lines(event, board) {
                    self.write(&format!("{line}\n"));
                }
            }
            Mode::Live => {
                for line in self.transcript.lines(event, board) {
                    self.live.log(&line);
                }
                if self.live.pending_bytes() > FRAME_LIMIT_BYTES {
                    self.tick(board, now_ms);
                }
            }
        }
    }

    /// Draws the live view anew.
    pub fn tick(&mut self, board: &Board, now_ms: u64) {
        if self.mode == Mode::Live {
            let (columns, rows) = window();
            let frame = self.live.frame(&board.status_lines(now_ms), columns, rows);
            self.write(&frame);
        }
    }

    /// Tells scripts that a job cannot start, in the objects with which a run that had begun would have told it. Its
    /// instance has no id yet: the job's stands for it, as where a job cannot be evaluated.
    pub fn unfit(&mut self, job: &str, cause: &str, message: &str) {
        if self.mode == Mode::Json {
            let run = Uuid::now_v7();
            let job = json!({"type": "job", "job": job, "instance": job, "name": job, "result": "failure",
                             "attempt": 1, "cause": cause, "message": message});
            let run = json!({"type": "run", "run": run, "result": "failure", "cause": cause});
            self.write(&format!("{job}\n{run}\n"));
        }
    }

    /// Says something beside the log.
    pub fn note(&mut self, message: &str) {
        match self.mode {
            Mode::Live => self.live.log(&output::escape::paragraph(message)),
            Mode::Json | Mode::Plain => output::note(message),
        }
    }

    /// Ends the live view and shows the summary; `None`: the run has no end to tell. `hint` is what to do next.
    pub fn finish(&mut self, board: &Board, ended: Option<(&str, &str)>, hint: Option<&str>) {
        let rest = self.live.finish();
        self.write(&rest);
        if let Some((run, result)) = ended
            && self.mode != Mode::Json
        {
            let summary = board.summary(run, result, self.out.colours);
            self.write(&summary);
            if let Some(hint) = hint {
                self.write(&format!("{hint}\n"));
            }
        }
    }

    fn write(&mut self, text: &str) {
        if !self.gone && !text.is_empty() {
            self.gone = self.out.text(text).is_err();
        }
    }
}
