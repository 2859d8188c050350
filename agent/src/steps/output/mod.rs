//! From a step's raw output to what may leave the machine: lines, commands and masks in one pipeline.
//!
//! Invariant: what comes out depends only on the bytes, the options and the masks given, in order, so whoever reads a
//! spool again gets the same items; and no text in an [`Item`] but [`Item::Effect`]'s holds a secret. The state is
//! serialisable (it may hold unmasked text, as the spool does).

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::annotations::{Annotation, Level, MAX_PER_LEVEL};
use super::commands::{CommandOptions, Commands, Effect, LineOutcome};
use super::lines::{Line, Lines, MAX_LINE_BYTES, Stream};
use super::mask::{MaskStream, Masks};
use super::matchers::Matchers;

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The step, on standard output.
    Stdout,
    /// The step, on standard error.
    Stderr,
    /// Slipway.
    System,
}

/// What the runner does with a step's output, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A line for the log, masked.
    Line {
        /// Who wrote it.
        source: Source,
        /// Unix time in milliseconds.
        time_ms: u64,
        /// At most [`MAX_LINE_BYTES`], without a line end.
        text: Cow<'a, [u8]>,
        /// The line goes on in the next item of the same source.
        partial: bool,
    },
    /// An annotation, masked; at most [`MAX_PER_LEVEL`] of a level.
    Annotation(Annotation),
    /// A piece of the summary, masked; at most [`super::env_files::MAX_SUMMARY_PIECE_BYTES`].
    Summary(Vec<u8>),
    /// For [`super::state::JobState::apply`]. Not masked. Masks are applied already when it comes.
    Effect(Effect),
}

impl Item<'_> {
    /// The same with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Item<'static> {
        match self {
            Self::Line { source, time_ms, text, partial } => {
                Item::Line { source, time_ms, text: Cow::Owned(text.into_owned()), partial }
            }
            Self::Annotation(annotation) => Item::Annotation(annotation),
            Self::Summary(text) => Item::Summary(text),
            Self::Effect(effect) => Item::Effect(effect),
        }
    }
}

/// The output of one step under interpretation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutput {
    lines: Lines,
    commands: Commands,
    stdout: MaskStream,
    stderr: MaskStream,
    /// Annotations so far: notices, warnings, errors.
    annotations: [usize; 3],
    /// Problem matchers; they outlive the step.
    #[serde(default)]
    matchers: Matchers,
    /// Reads their files.
    #[serde(skip)]
    files: MatcherFiles,
}

/// Reads a problem matcher's file, which is named as the step sees it.
#[derive(Clone, Default)]
pub struct MatcherFiles(Option<Arc<ReadFile>>);

type ReadFile = dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync;

impl MatcherFiles {
    /// Reads with this function.
    pub fn new(read: impl Fn(&str) -> Result<Vec<u8>, String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.as_ref().map_or_else(|| Err("there are no files here".to_owned()), |read| read(path))
    }
}

impl std::fmt::Debug for MatcherFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MatcherFiles")
    }
}

impl PartialEq for MatcherFiles {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for MatcherFiles {}

impl StepOutput {
    /// Another step's output comes: only the matchers stay.
    pub fn next_step(&mut self) {
        self.restart();
        self.annotations = [0; 3];
    }

    /// Another process's output comes, of the same step: the count of annotations goes on, too.
    pub fn restart(&mut self) {
        let mut matchers = std::mem::take(&mut self.matchers);
        matchers.restart();
        *self =
            Self { annotations: self.annotations, matchers, files: self.files.clone(), ..Self::default() };
    }

    /// Where files of problem matchers are read from now on.
    pub fn read_matchers_from(&mut self, files: MatcherFiles) {
        self.files = files;
    }

    /// Takes a chunk of the spool.
    pub fn push(
        &mut self,
        options: &CommandOptions,
        masks: &mut Masks,
        stream: Stream,
        time_ms: u64,
        chunk: &[u8],
        emit: &mut impl FnMut(Item<'_>),
    ) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(stream, time_ms, chunk, &mut |line| self.line(options, masks, &line, emit));
        self.lines = lines;
    }

    /// The step has ended: gives out its unterminated lines.
    pub fn finish(&mut self, options: &CommandOptions, masks: &mut Masks, emit: &mut impl FnMut(Item<'_>)) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(&mut |line| self.line(options, masks, &line, emit));
    }

    /// Takes what an environment file asked for ([`super::env_files::process`]), or the runner's own
    /// [`LineOutcome`].
    pub fn outcome(
        &mut self,
        masks: &mut Masks,
        time_ms: u64,
        outcome: LineOutcome,
        emit: &mut impl FnMut(Item<'_>),
    ) {
        add_masks(masks, &outcome.effects);
        for text in outcome.texts {
            emit_line(Source::System, time_ms, masks.mask(&text), false, emit);
        }
        self.effects(masks, outcome.effects, emit);
    }

    /// A message of the runner's own, shown with its tag and annotated: `Process completed with exit code 1.`
    pub fn remark(
        &mut self,
        masks: &mut Masks,
        time_ms: u64,
        level: Level,
        message: &str,
        emit: &mut impl FnMut(Item<'_>),
    ) {
        let mut outcome = LineOutcome::default();
        outcome.remark(level, message);
        self.outcome(masks, time_ms, outcome, emit);
    }

    /// A line of the runner's own; one of several lines becomes several.
    pub fn say(&mut self, masks: &Masks, time_ms: u64, text: &str, emit: &mut impl FnMut(Item<'_>)) {
        for line in text.split('\n') {
            emit_line(Source::System, time_ms, masks.mask(line.as_bytes()), false, emit);
        }
    }

    fn line(
        &mut self,
        options: &CommandOptions,
        masks: &mut Masks,
        line: &Line<'_>,
        emit: &mut impl FnMut(Item<'_>),
    ) {
        let source = match line.stream {
            Stream::Stdout => Source::Stdout,
            Stream::Stderr => Source::Stderr,
        };
        if self.matchers.is_empty() && self.commands.passes(line) {
            emit_line(source, line.time_ms, masks.mask(&line.text), false, emit);
            return;
        }
        let mut outcome = self.commands.interpret(line, options);
        let whole = !line.partial && !line.continues;
        // A line that is no command comes out as it went in.
        if whole
            && outcome.effects.is_empty()
            && outcome.texts.first().map(Vec::as_slice) == Some(line.text.as_ref())
            && let Some(annotation) = self.matchers.look(&line.text, &options.workspace)
        {
            let tag = format!("##[{}]", annotation.level.name());
            outcome.texts = vec![[tag.as_bytes(), &line.text].concat()];
            outcome.effects.push(Effect::Annotate(annotation));
        }
        self.matcher_effects(&mut outcome);
        add_masks(masks, &outcome.effects);
        let stream = match line.stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        for text in outcome.texts {
            if line.partial || line.continues {
                let masked = stream.push(masks, &text, !line.partial);
                // While a long secret is held back there may be nothing to say yet.
                if !masked.is_empty() || !line.partial {
                    emit_line(source, line.time_ms, masked.into(), line.partial, emit);
                }
            } else {
                emit_line(source, line.time_ms, masks.mask(&text), false, emit);
            }
        }
        self.effects(masks, outcome.effects, emit);
    }

    /// Does what commands ask for about matchers; what can't be done is a warning.
    fn matcher_effects(&mut self, outcome: &mut LineOutcome) {
        let mut problems = Vec::new();
        for effect in &outcome.effects {
            let (path, result) = match effect {
                Effect::AddMatchers(path) => {
                    (path, self.files.read(path).and_then(|file| self.matchers.add(&file)))
                }
                Effect::RemoveMatchers(path) => {
                    (path, self.files.read(path).and_then(|file| self.matchers.remove_file(&file)))
                }
                Effect::RemoveMatcher(owner) => {
                    self.matchers.remove(owner);
                    continue;
                }
                _ => continue,
            };
            problems
                .extend(result.err().map(|why| format!("The problem matcher {path} can't be used: {why}")));
        }
        for problem in problems {
            outcome.remark(Level::Warning, &problem);
        }
    }

    fn effects(&mut self, masks: &Masks, effects: Vec<Effect>, emit: &mut impl FnMut(Item<'_>)) {
        for effect in effects {
            match effect {
                Effect::Annotate(annotation) => self.annotate(masks, annotation, emit),
                Effect::Summary(text) => summary(masks, &text, emit),
                Effect::AddMask(_)
                | Effect::AddMatchers(_)
                | Effect::RemoveMatcher(_)
                | Effect::RemoveMatchers(_) => {}
                other => emit(Item::Effect(other)),
            }
        }
    }

    fn annotate(&mut self, masks: &Masks, annotation: Annotation, emit: &mut impl FnMut(Item<'_>)) {
        let slot = match annotation.level {
            Level::Notice => 0,
            Level::Warning => 1,
            Level::Error => 2,
        };
        let Some(count) = self.annotations.get_mut(slot).filter(|count| **count < MAX_PER_LEVEL) else {
            return;
        };
        *count += 1;
        emit(Item::Annotation(Annotation {
            message: masks.mask_str(&annotation.message),
            title: masks.mask_str(&annotation.title),
            file: masks.mask_str(&annotation.file),
            ..annotation
        }));
    }
}

/// Masks count from the very line that adds them: with commands echoed, that line shows the value.
fn add_masks(masks: &mut Masks, effects: &[Effect]) {
    for effect in effects {
        if let Effect::AddMask(value) = effect {
            masks.add(value);
        }
    }
}

/// Masking may make a line longer than a record takes; it is cut again.
fn emit_line(
    source: Source,
    time_ms: u64,
    text: Cow<'_, [u8]>,
    partial: bool,
    emit: &mut impl FnMut(Item<'_>),
) {
    if text.len() <= MAX_LINE_BYTES {
        emit(Item::Line { source, time_ms, text, partial });
        return;
    }
    let mut pieces = text.chunks(MAX_LINE_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let partial = partial || pieces.peek().is_some();
        emit(Item::Line { source, time_ms, text: piece.into(), partial });
    }
}

/// Masked line by line, as GitHub does, and cut where lines end if possible.
fn summary(masks: &Masks, text: &[u8], emit: &mut impl FnMut(Item<'_>)) {
    const MAX: usize = super::env_files::MAX_SUMMARY_PIECE_BYTES;
    let mut piece = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let masked = masks.mask(line);
        for part in masked.chunks(MAX) {
            if piece.len() + part.len() > MAX {
                emit(Item::Summary(std::mem::take(&mut piece)));
            }
            piece.extend_from_slice(part);
        }
    }
    if !piece.is_empty() {
        emit(Item::Summary(piece));
    }
}

#[cfg(test)]
mod tests;
