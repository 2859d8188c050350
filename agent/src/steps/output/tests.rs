#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn run(secrets: &[&str], chunks: &[&[u8]]) -> Vec<Item<'static>> {
    let mut masks = Masks::new(secrets.iter().copied());
    let mut output = StepOutput::default();
    let mut items = Vec::new();
    let options = CommandOptions::default();
    for chunk in chunks {
        output
            .push(&options, &mut masks, Stream::Stdout, 5, chunk, &mut |item| items.push(item.into_owned()));
        output = serde_json::from_str(&serde_json::to_string(&output).unwrap()).unwrap();
    }
    output.finish(&options, &mut masks, &mut |item| items.push(item.into_owned()));
    items
}

fn texts(items: &[Item<'_>]) -> Vec<String> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Line { text, .. } => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn secrets_are_masked_in_lines_and_annotations() {
    let items = run(&["hunter2"], &[b"my hunt", b"er2\n::error title=hunter2::a hunter2\n"]);
    assert_eq!(texts(&items), ["my ***", "##[error]a ***"]);
    let Some(Item::Annotation(annotation)) = items.last() else { unreachable!() };
    assert_eq!((annotation.message.as_str(), annotation.title.as_str()), ("a ***", "***"));
}

#[test]
fn a_mask_counts_from_its_own_line() {
    let items = run(
        &[],
        &[b"value-1\n::echo::on\n::add-mask::value-1\nvalue-1\n::stop-commands::value-22\n::value-22::\n"],
    );
    assert_eq!(texts(&items), ["value-1", "::add-mask::***", "***", "::stop-commands::***", "::***::"]);
}

#[test]
fn a_secret_across_pieces_of_a_long_line_is_masked() {
    let mut line = vec![b'x'; MAX_LINE_BYTES - 3];
    line.extend_from_slice(b"hunter2 end\n");
    let items = run(&["hunter2"], &[&line]);
    let joined: String = texts(&items).concat();
    assert!(joined.ends_with("x*** end") && joined.len() == MAX_LINE_BYTES - 3 + "*** end".len());
    let partial: Vec<bool> =
        items.iter().map(|item| matches!(item, Item::Line { partial: true, .. })).collect();
    assert_eq!(partial, [true, false]);
}

#[test]
fn masking_never_makes_a_record_too_long() {
    let line: Vec<u8> = b"a ".repeat(MAX_LINE_BYTES / 2);
    let items = run(&["a"], &[&line]);
    assert_eq!(texts(&items).concat(), "*** ".repeat(MAX_LINE_BYTES / 2));
    let lengths: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Line { text, partial, .. } => (text.len(), *partial),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(lengths, [(MAX_LINE_BYTES, true), (MAX_LINE_BYTES, false)]);
}

#[test]
fn annotations_are_limited_by_level() {
    let chunk = b"::warning::w\n".repeat(MAX_PER_LEVEL + 5);
    let items = run(&[], &[&chunk, b"::error::e\n"]);
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Annotation(_))).count(), MAX_PER_LEVEL + 1);
    assert_eq!(texts(&items).len(), MAX_PER_LEVEL + 6);
}

#[test]
fn files_and_remarks() {
    let mut masks = Masks::new(["hunter2"]);
    let mut output = StepOutput::default();
    let mut items = Vec::new();
    let text = format!("{}\nhunter2\n", "y".repeat(super::super::env_files::MAX_SUMMARY_PIECE_BYTES));
    let outcome =
        super::super::env_files::process(super::super::env_files::EnvFile::StepSummary, text.as_bytes());
    output.outcome(&mut masks, 1, outcome, &mut |item| items.push(item.into_owned()));
    output.remark(&mut masks, 1, Level::Error, "Process completed with exit code 1.", &mut |item| {
        items.push(item.into_owned())
    });
    output.say(&masks, 1, "a\nhunter2", &mut |item| items.push(item.into_owned()));
    let summary: Vec<u8> = items
        .iter()
        .filter_map(|item| match item {
            Item::Summary(piece) => Some(piece.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert!(summary.ends_with(b"y\n***\n"));
    assert_eq!(texts(&items), ["##[error]Process completed with exit code 1.", "a", "***"]);
}

proptest! {
    #[test]
    fn chunking_and_saving_do_not_matter(
        bytes in proptest::collection::vec(
            prop_oneof![
                Just(b"::error::x\n".to_vec()), Just(b"::add-mask::ab\n".to_vec()), Just(b"::stop-commands::t\n".to_vec()),
                Just(b"::t::\n".to_vec()), "[ab\n\r:]{0,6}".prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..5),
            ], 0..25).prop_map(|parts| parts.concat()),
        cuts in proptest::collection::vec(0usize..200, 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(run(&["ba"], &[&bytes]), run(&["ba"], &chunks));
    }
}
