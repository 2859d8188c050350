//! Items of a step's output as records.

use slipway_proto::v1;
use slipway_proto::v1::record::Record as Kind;
use slipway_wire::records::RecordsBuffer;

use crate::steps::annotations::{Annotation, Level};
use crate::steps::commands::Effect;
use crate::steps::outcome::StepResult;
use crate::steps::output::{Item, Source};

/// Adds the record of an item, if it has one: an effect is applied. `now_ms` is for items without a time.
pub(super) fn push(
    records: &mut RecordsBuffer,
    effects: &mut Vec<Effect>,
    step: u32,
    now_ms: u64,
    item: Item<'_>,
) {
    let kind = match item {
        Item::Line { source, time_ms, text, partial } => {
            let stream = match source {
                Source::Stdout => v1::Stream::Stdout,
                Source::Stderr => v1::Stream::Stderr,
                Source::System => v1::Stream::System,
            };
            return records.push_line(time_ms, step, stream, &text, partial);
        }
        Item::Effect(effect) => return effects.push(effect),
        Item::Annotation(annotation) => Kind::Annotation(wire_annotation(annotation)),
        Item::Summary(markdown) => {
            Kind::Summary(v1::Summary { markdown: markdown.into(), ..Default::default() })
        }
    };
    records.push_message(&v1::Record { time_ms: now_ms, step, record: Some(kind) });
}

fn wire_annotation(annotation: Annotation) -> v1::Annotation {
    let level = match annotation.level {
        Level::Notice => v1::annotation::Level::Notice,
        Level::Warning => v1::annotation::Level::Warning,
        Level::Error => v1::annotation::Level::Error,
    };
    v1::Annotation {
        level: level.into(),
        message: annotation.message,
        title: annotation.title,
        file: annotation.file,
        line: annotation.line,
        end_line: annotation.end_line,
        column: annotation.column,
        end_column: annotation.end_column,
    }
}

/// A step's result on the wire.
pub(super) fn result(result: StepResult) -> v1::Result {
    match result {
        StepResult::Success => v1::Result::Success,
        StepResult::Failure => v1::Result::Failure,
        StepResult::Cancelled => v1::Result::Cancelled,
        StepResult::Skipped => v1::Result::Skipped,
    }
}
