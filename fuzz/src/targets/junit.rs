//! A test report. However damaged it is, texts are within their bounds, a known secret never comes out, no more cases come than
//! there is room for, and what is wrong is told with a place that the file has.

use slipway_agent::limits::{JUNIT_MESSAGE_MAX_BYTES, REPORTS_NAME_MAX_BYTES};
use slipway_agent::reports::{ReportError, Room, cut, parse};
use slipway_agent::steps::mask::Masks;

const SECRET: &str = "correct horse battery";

/// Less than some inputs have.
const ROOM: Room = Room { cases: 500, text_bytes: 64 * 1024 };

pub(super) const CORPUS: &[&[u8]] = &[
    include_bytes!("../../../agent/src/reports/fixtures/pytest.xml"),
    include_bytes!("../../../agent/src/reports/fixtures/jest-junit.xml"),
    include_bytes!("../../../agent/src/reports/fixtures/cargo-nextest.xml"),
    include_bytes!("../../../agent/src/reports/fixtures/surefire.xml"),
    include_bytes!("../../../agent/src/reports/fixtures/gotestsum.xml"),
    include_bytes!("../../../agent/src/reports/fixtures/phpunit.xml"),
    include_bytes!("../../../agent/src/reports/fixtures/googletest.xml"),
    b"<testsuite name='s'><testcase name='correct horse battery' time='1'><failure>correct horse battery</failure></testcase></testsuite>",
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"<testsuites>",
    b"</testsuites>",
    b"<testsuite name='s'>",
    b"</testsuite>",
    b"<testcase name='c' classname='k' time='0.1' file='f' line='1'>",
    b"<testcase/>",
    b"</testcase>",
    b"<failure message='m'>",
    b"</failure>",
    b"<error>",
    b"</error>",
    b"<skipped/>",
    b"<flakyFailure>",
    b"</flakyFailure>",
    b"<rerunFailure/>",
    b"<system-out>",
    b"</system-out>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml version='1.0' encoding='ISO-8859-1'?>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&b;",
    b"&lt;",
    b"&#0;",
    b"&#x10ffff;",
    b"&#xd800;",
    b"&",
    b"time='NaN'",
    b"time='-1'",
    b"time='1e999'",
    b"time='1,234.5'",
    b"correct horse battery",
    b"correct horse",
    b" battery",
    b"'",
    b"\"",
    b"<",
    b">",
    b"/>",
    b"\0",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
];

pub(super) fn run(input: &[u8]) {
    let masks = Masks::new([SECRET]);
    let clean = |text: &str, max_bytes| cut(masks.mask_str(text), max_bytes);
    match parse(input, ROOM, &clean) {
        Ok(parsed) => {
            assert!(parsed.cases.len() <= ROOM.cases, "{} cases", parsed.cases.len());
            let text_bytes: usize = parsed.cases.iter().map(slipway_agent::reports::Case::text_bytes).sum();
            assert!(text_bytes <= ROOM.text_bytes, "{text_bytes} bytes of texts");
            for case in &parsed.cases {
                let names = [&case.suite, &case.class, &case.name, &case.file];
                assert!(names.iter().all(|name| name.len() <= REPORTS_NAME_MAX_BYTES), "a long name");
                assert!(case.message.len() <= JUNIT_MESSAGE_MAX_BYTES, "a long message");
                assert!(names.iter().all(|name| !name.contains(SECRET)), "a secret came out in a name");
                assert!(!case.message.contains(SECRET), "a secret came out in a message");
            }
        }
        Err(ReportError::Broken { line, column, .. }) => {
            let lines = 1 + input.iter().filter(|byte| **byte == b'\n').count();
            assert!((1..=lines).contains(&line), "line {line} of {lines}");
            assert!((1..=input.len() + 1).contains(&column), "column {column}");
        }
        Err(ReportError::Other(_)) => {}
    }
}
