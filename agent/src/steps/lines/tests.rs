#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn lines_of(chunks: &[&[u8]]) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let mut lines = Lines::default();
    for chunk in chunks {
        lines.push(Stream::Stdout, 7, chunk, &mut |line| out.push(line.into_owned()));
    }
    lines.finish(&mut |line| out.push(line.into_owned()));
    out
}

fn texts(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    lines_of(chunks).into_iter().map(|line| line.text.into_owned()).collect()
}

#[test]
fn line_ends() {
    assert_eq!(texts(&[b"a\nb\r\nc\rd\r\r\n\ne"]), [&b"a"[..], b"b", b"c\rd\r", b"", b"e"]);
    assert_eq!(texts(&[b"a\r", b"\nb"]), [b"a", b"b"]);
    assert_eq!(texts(&[b""]), Vec::<Vec<u8>>::new());
    assert_eq!(texts(&[b"\n"]), [b""]);
    assert_eq!(texts(&[b"a\r"]), [b"a\r"]);
}

#[test]
fn long_lines_are_cut_and_flagged() {
    let long = vec![b'x'; MAX_LINE_BYTES * 2 + 3];
    let lines = lines_of(&[&long, b"\nshort\n"]);
    let shape: Vec<_> = lines.iter().map(|line| (line.text.len(), line.continues, line.partial)).collect();
    assert_eq!(
        shape,
        [(MAX_LINE_BYTES, false, true), (MAX_LINE_BYTES, true, true), (3, true, false), (5, false, false)]
    );
}

#[test]
fn a_line_of_exactly_the_limit_is_whole_even_with_crlf() {
    let mut full = vec![b'x'; MAX_LINE_BYTES];
    assert_eq!(lines_of(&[&full, b"\n"]).len(), 1);
    if let Some(last) = full.last_mut() {
        *last = b'\r';
    }
    let lines = lines_of(&[&full, b"\n"]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].text.len(), MAX_LINE_BYTES - 1);
    // One byte more: the CR opens the second piece and is stripped there.
    let lines = lines_of(&[&vec![b'x'; MAX_LINE_BYTES], b"\r\n"]);
    assert_eq!(
        lines.iter().map(|line| (line.text.len(), line.partial)).collect::<Vec<_>>(),
        [(MAX_LINE_BYTES, true), (0, false)]
    );
}

#[test]
fn streams_do_not_mix() {
    let mut out = Vec::new();
    let mut lines = Lines::default();
    lines.push(Stream::Stdout, 1, b"ou", &mut |line| out.push(line.into_owned()));
    lines.push(Stream::Stderr, 2, b"err\n", &mut |line| out.push(line.into_owned()));
    lines.push(Stream::Stdout, 3, b"t\n", &mut |line| out.push(line.into_owned()));
    let seen: Vec<_> = out.iter().map(|line| (line.stream, line.time_ms, line.text.as_ref())).collect();
    assert_eq!(seen, [(Stream::Stderr, 2, &b"err"[..]), (Stream::Stdout, 3, b"out")]);
}

proptest! {
    #[test]
    fn chunking_does_not_matter(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400),
        cuts in proptest::collection::vec(0usize..400, 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(lines_of(&[&bytes]), lines_of(&chunks));
    }

    #[test]
    fn a_saved_state_goes_on_alike(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let mut out = Vec::new();
        let mut lines = Lines::default();
        lines.push(Stream::Stdout, 7, first, &mut |line| out.push(line.into_owned()));
        let saved = serde_json::to_string(&lines).unwrap();
        let mut lines: Lines = serde_json::from_str(&saved).unwrap();
        lines.push(Stream::Stdout, 7, second, &mut |line| out.push(line.into_owned()));
        lines.finish(&mut |line| out.push(line.into_owned()));
        prop_assert_eq!(out, lines_of(&[&bytes]));
    }
}
