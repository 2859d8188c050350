//! Rows of a log as HTML: lines with their numbers, annotations, and groups that fold.
//!
//! A line that a workflow command wrote and the annotation that it made are one row. A group folds where all of it is at
//! hand; else its lines stand there as they are.

use maud::{Markup, PreEscaped, html};
use slipway_proto::v1::{Record, record};

use super::ansi;
use super::outline::{Level, Place};
use super::run_failures::spot;
use super::words::{clock, name};

const GROUP: &str = "##[group]";
const END_GROUP: &str = "##[endgroup]";

/// What else begins a line that GitHub's runner wrote for a command, and the class of such a line.
const MARKERS: [(&str, &str); 5] = [
    ("##[error]", "note error"),
    ("##[warning]", "note warning"),
    ("##[notice]", "note notice"),
    ("##[debug]", "sys"),
    ("##[command]", "sys"),
];

/// A row: a piece of a line, or an annotation.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) step: u32,
    pub(super) place: Place,
    time_ms: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Line { text: String, class: &'static str },
    Annotation(Note),
}

#[derive(Debug)]
struct Note {
    level: Level,
    title: String,
    message: String,
    file: String,
    line: u32,
}

/// The row of a record, if it is one; moves the place behind it.
pub(super) fn row(record: Record, place: &mut Place) -> Option<Row> {
    let at = *place;
    place.record += 1;
    let what = match record.record? {
        record::Record::Line(line) => {
            place.line += u64::from(!line.partial);
            let class = match line.stream {
                2 => "err",
                3 => "sys",
                _ => "out",
            };
            What::Line { text: String::from_utf8_lossy(&line.text).into_owned(), class }
        }
        record::Record::Annotation(found) => What::Annotation(Note {
            level: Level::from_wire(found.level),
            title: found.title,
            message: found.message,
            file: found.file,
            line: found.line,
        }),
        _ => return None,
    };
    Some(Row { step: record.step, place: at, time_ms: record.time_ms, what })
}

impl Row {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.what {
            What::Line { text, .. } => Some(text),
            What::Annotation(_) => None,
        }
    }
}

/// The rows as items of a list. The number of a line in pieces stands at its first one; `marked` is where the first error is.
pub(super) fn items(rows: &[Row], marked: Option<Place>) -> Markup {
    let (mut html, mut left, mut last_line) = (String::new(), rows, 0);
    while let Some((first, rest)) = left.split_first() {
        if let Some((title, inside)) = group(first, rest) {
            left = rest.get(inside.len() + 1..).unwrap_or_default();
            last_line = first.place.line;
            let open = inside.iter().any(|row| is_marked(row, marked));
            let inside = flat(inside, marked, &mut last_line);
            html.push_str(&folding(first, title, &inside, open).0);
        } else {
            let until = rest.iter().position(starts_group).map_or(left.len(), |at| at + 1);
            let (some, others) = left.split_at(until);
            left = others;
            html.push_str(&flat(some, marked, &mut last_line).0);
        }
    }
    PreEscaped(html)
}

fn folding(first: &Row, title: &str, inside: &Markup, open: bool) -> Markup {
    let number = first.place.line;
    html! {
        li.group id={ "L" (number) } {
            details open[open] {
                summary { span.num { (number) } i { (clock(first.time_ms)) } span { (ansi::render(title)) } }
                ol { (inside) }
            }
        }
    }
}

fn starts_group(row: &Row) -> bool {
    row.text().is_some_and(|text| text.starts_with(GROUP))
}

/// The title of a group that begins with this row, and the rows in it, if its end is among the rest.
fn group<'a>(first: &'a Row, rest: &'a [Row]) -> Option<(&'a str, &'a [Row])> {
    let title = first.text()?.strip_prefix(GROUP)?;
    let end = rest.iter().position(|row| starts_group(row) || row.text() == Some(END_GROUP))?;
    let ended = rest.get(end)?.text() == Some(END_GROUP);
    ended.then(|| (title, rest.get(..end).unwrap_or_default()))
}

fn is_marked(row: &Row, marked: Option<Place>) -> bool {
    marked.is_some_and(|place| place.record == row.place.record)
}

fn flat(rows: &[Row], marked: Option<Place>, last_line: &mut u64) -> Markup {
    let (mut html, mut left) = (String::new(), rows);
    while let Some((row, rest)) = left.split_first() {
        let noted = rest.first().filter(|next| is_note_of(row, next));
        left = if noted.is_some() { rest.get(1..).unwrap_or_default() } else { rest };
        let marked = is_marked(row, marked) || noted.is_some_and(|noted| is_marked(noted, marked));
        let item = match &row.what {
            What::Line { text, class } => {
                let number = (row.place.line > *last_line).then_some(row.place.line);
                *last_line = row.place.line;
                line(row, number, (text, class), noted, marked)
            }
            What::Annotation(note) => annotation(row, note, marked),
        };
        html.push_str(&item.0);
    }
    PreEscaped(html)
}

fn annotation(row: &Row, note: &Note, marked: bool) -> Markup {
    html! {
        li class={ "note " (note.level.word()) } id=[marked.then_some("error")] {
            span.num {}
            i { (clock(row.time_ms)) }
            span {
                strong { (note.level.word()) ": " }
                @if !note.title.is_empty() { (name(&note.title)) ": " }
                (ansi::render(&note.message)) " " (spot(&note.file, note.line))
            }
        }
    }
}

/// Whether an annotation is what the line before it says.
fn is_note_of(row: &Row, next: &Row) -> bool {
    match (&row.what, &next.what) {
        (What::Line { text, .. }, What::Annotation(note)) => {
            let said = text.strip_prefix("##[").and_then(|text| text.split_once(']'));
            said.is_some_and(|(level, message)| {
                level == note.level.word() && note.message.starts_with(message)
            })
        }
        _ => false,
    }
}

fn line(
    row: &Row,
    number: Option<u64>,
    (text, class): (&str, &str),
    noted: Option<&Row>,
    marked: bool,
) -> Markup {
    let marker =
        MARKERS.iter().find_map(|(marker, class)| Some((text.strip_prefix(marker)?, *marker, *class)));
    let (text, marker, class) = marker.unwrap_or((text, "", class));
    let word = marker.trim_matches(['#', '[', ']']);
    html! {
        li class=(class) id=[number.map(|number| format!("L{number}"))] {
            @match number {
                Some(number) => a href={ "#L" (number) } { (number) },
                None => span.num aria-hidden="true" { "…" },
            }
            i { (clock(row.time_ms)) }
            // So that a link to the first error leads here.
            span id=[marked.then_some("error")] {
                @if class.starts_with("note") { strong { (word) ": " } }
                (ansi::render(text))
                @if let Some(What::Annotation(note)) = noted.map(|noted| &noted.what) { " " (spot(&note.file, note.line)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_proto::v1;

    use super::*;

    fn line(text: &str, partial: bool) -> Record {
        let line = v1::LogLine { text: text.to_owned().into_bytes().into(), stream: 1, partial };
        Record { time_ms: 0, step: 0, record: Some(record::Record::Line(line)) }
    }

    #[test]
    fn lines_have_their_numbers_and_stay_text() {
        let mut place = Place { record: 1, line: 1 };
        let annotation = v1::Annotation {
            level: 3,
            message: "<b>broken".to_owned(),
            file: "<i>.rs".to_owned(),
            line: 7,
            ..v1::Annotation::default()
        };
        let annotation = Record { time_ms: 0, step: 0, record: Some(record::Record::Annotation(annotation)) };
        let records = [line("<script>", true), line("\u{1b}[31mred", false), annotation, line("end", false)];
        let rows: Vec<Row> = records.into_iter().filter_map(|record| row(record, &mut place)).collect();
        assert_eq!(place, Place { record: 5, line: 3 });
        let html = items(&rows, Some(Place { record: 3, line: 2 })).0;
        assert_eq!(html.matches("id=\"L").count(), 2, "{html}");
        for part in [
            "<li class=\"out\" id=\"L1\"><a href=\"#L1\">1</a><i>00:00:00.000</i><span>&lt;script&gt;</span>",
            "…</span><i>00:00:00.000</i><span><span class=\"f1\">red</span></span>",
            "<li class=\"note error\" id=\"error\">",
            "&lt;b&gt;broken",
            "&lt;i&gt;.rs",
            "<li class=\"out\" id=\"L2\">",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }

    fn rows(lines: &[&str]) -> Vec<Row> {
        let mut place = Place { record: 1, line: 1 };
        lines.iter().filter_map(|text| row(line(text, false), &mut place)).collect()
    }

    #[test]
    fn a_whole_group_folds_and_half_a_one_stands_there() {
        let whole = rows(&["a", "##[group]<b>Title", "in", "##[endgroup]", "after", "##[group]half", "end"]);
        let html = items(&whole, None).0;
        let folded = "<li class=\"group\" id=\"L2\"><details><summary><span class=\"num\">2</span>";
        assert!(html.contains(folded), "{html}");
        assert_eq!((html.matches("<details").count(), html.matches("</details>").count()), (1, 1), "{html}");
        for part in ["&lt;b&gt;Title", "id=\"L3\"", "id=\"L5\"", "id=\"L6\"", "##[group]half", "id=\"L7\""] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("endgroup"), "{html}");
        let opened = items(&whole, Some(Place { record: 3, line: 3 })).0;
        assert!(opened.contains("<details open>") && opened.contains("id=\"error\""), "{opened}");
        assert_eq!(items(&[], None).0, "");
    }

    #[test]
    fn a_line_of_a_command_and_its_annotation_are_one_row() {
        let annotation = |message: &str| {
            let note = v1::Annotation {
                level: 3,
                message: message.to_owned(),
                file: "a.rs".to_owned(),
                ..v1::Annotation::default()
            };
            Record { time_ms: 0, step: 0, record: Some(record::Record::Annotation(note)) }
        };
        let mut place = Place { record: 1, line: 1 };
        let records = [
            line("##[error]broken", false),
            annotation("broken\nbadly"),
            line("##[error]x", false),
            annotation("other"),
        ];
        let rows: Vec<Row> = records.into_iter().filter_map(|record| row(record, &mut place)).collect();
        let html = items(&rows, Some(Place { record: 2, line: 2 })).0;
        assert_eq!(html.matches("<li").count(), 3, "{html}");
        assert!(
            html.contains("<span id=\"error\"><strong>error: </strong>broken <span class=\"spot\"><bdi>a.rs"),
            "{html}"
        );
    }
}
