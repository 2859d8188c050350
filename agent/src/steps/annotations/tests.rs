use super::*;

fn annotate(properties: &[(&str, &str)]) -> (Annotation, usize) {
    let properties: Properties = properties.iter().copied().collect();
    let mut debug = Vec::new();
    let annotation = Annotation::from_command(Level::Error, &properties, "m", "/w/r", &mut debug);
    (annotation, debug.len())
}

#[test]
fn places_follow_githubs_rules() {
    // (properties, (line, end line, column, end column), remarks)
    type Case = (&'static [(&'static str, &'static str)], (u32, u32, u32, u32), usize);
    let cases: [Case; 11] = [
        (&[], (0, 0, 0, 0), 0),
        (&[("line", "3")], (3, 3, 0, 0), 0),
        (&[("line", "3"), ("endLine", "5")], (3, 5, 0, 0), 0),
        (&[("line", "3"), ("col", "4"), ("endColumn", "9")], (3, 3, 4, 9), 0),
        (&[("LINE", " 3 "), ("Col", "4")], (3, 3, 4, 4), 0),
        (&[("endLine", "5")], (5, 5, 0, 0), 1),
        (&[("line", "3"), ("endColumn", "9")], (3, 3, 9, 9), 1),
        (&[("col", "4")], (0, 0, 0, 0), 1),
        (&[("line", "3"), ("endLine", "5"), ("col", "4")], (3, 5, 0, 0), 1),
        (&[("line", "5"), ("endLine", "3")], (0, 0, 0, 0), 1),
        (&[("line", "x"), ("col", "-1")], (0, 0, 0, 0), 0),
    ];
    for (properties, expected, remarks) in cases {
        let (found, count) = annotate(properties);
        assert_eq!((found.line, found.end_line, found.column, found.end_column), expected, "{properties:?}");
        assert_eq!(count, remarks, "{properties:?}");
    }
}

#[test]
fn files_become_relative_to_the_workspace() {
    for (file, expected) in [
        ("src/a.rs", "src/a.rs"),
        ("/w/r/src/a.rs", "src/a.rs"),
        ("/w/rest/a.rs", "/w/rest/a.rs"),
        ("/w/r", "/w/r"),
        ("", ""),
    ] {
        assert_eq!(annotate(&[("file", file)]).0.file, expected);
    }
}

#[test]
fn messages_are_bounded() {
    let long = "ä".repeat(MAX_MESSAGE_CHARS + 5);
    assert_eq!(Annotation::plain(Level::Notice, &long).message.chars().count(), MAX_MESSAGE_CHARS);
    assert!(!Annotation::plain(Level::Notice, " \n").is_shown());
}
