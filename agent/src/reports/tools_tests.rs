//! What tools wrote of the same three tests or the same few lines, as they wrote it; only folders and hosts have other names.

#![allow(clippy::unwrap_used)]

use super::place::Named;
use super::*;

const ROOM: Room = Room { cases: 100, text_bytes: 1 << 20 };
const WORKSPACE: &str = "/home/runner/work/add/add";

fn plain(text: &str, max_bytes: usize) -> String {
    cut(text.to_owned(), max_bytes)
}

/// Name and outcome of each case, and the first line of a message.
fn cases(text: &str) -> Vec<String> {
    let parsed = parse(text.as_bytes(), ROOM, &plain).unwrap();
    let line = |case: &Case| match case.message.trim().lines().next() {
        Some(first) => format!("{} {}: {first}", case.name, case.outcome.word()),
        None => format!("{} {}", case.name, case.outcome.word()),
    };
    parsed.cases.iter().map(line).collect()
}

macro_rules! tool {
    ($name:ident, $file:literal, $wanted:expr) => {
        #[test]
        fn $name() {
            assert_eq!(cases(include_str!(concat!("fixtures/tools/", $file))), $wanted);
        }
    };
}

// Bats 1.8.2
tool!(
    bats,
    "bats.xml",
    ["adds passed", "fails failed: (in test file add.bats, line 2)", "skips skipped: later"]
);
// behave 1.3
tool!(
    behave,
    "behave.xml",
    ["adds passed", "fails failed: Failing step: Given 1 and 1 is 3 ... failed in 0.000s"]
);
// CTest 3.25.1
tool!(ctest, "ctest.xml", ["adds passed", "fails failed", "skips skipped"]);
// cucumber-js
tool!(cucumber, "cucumber.xml", ["adds passed", "fails failed: 1 and 1 is 2"]);
// GoogleTest 1.12
tool!(
    googletest,
    "googletest.xml",
    ["Adds passed", "Fails failed: t.cc:3", "Skips skipped: t.cc:4", "DISABLED_Rests skipped"]
);
// gotestsum 1.8.2 with Go 1.19
tool!(
    gotestsum,
    "gotestsum.xml",
    [
        "TestFails failed: Failed",
        "TestSkips skipped: === RUN   TestSkips",
        "TestAdds/one_and_one passed",
        "TestAdds passed"
    ]
);
// Node 20's own runner
tool!(node, "node.xml", ["adds passed", "fails failed: 3 == 2", "skips skipped: later"]);
// nose2
tool!(
    nose2,
    "nose2.xml",
    ["test_adds passed", "test_fails failed: test failure", "test_skips skipped: test skipped: later"]
);
// TAP::Formatter::JUnit: of what is skipped it says nothing but in the output.
tool!(perl, "perl-tap.xml", ["1 - adds passed", "2 - fails failed: not ok 2 - fails", "3 passed"]);
// PHPUnit 9.6.7
tool!(
    phpunit,
    "phpunit.xml",
    [
        "testAdds passed",
        "testFails failed: AddTest::testFails",
        "testSkips skipped",
        "testBreaks error: AddTest::testBreaks"
    ]
);
// Robot Framework 7
tool!(robot, "robot.xml", ["Adds passed", "Fails failed: 2 != 3", "Skips skipped: later"]);
// rspec_junit_formatter with RSpec 3.12
tool!(rspec, "rspec.xml", ["Sum adds passed", "Sum fails failed: expected: 3", "Sum skips skipped"]);
// unittest-xml-reporting
tool!(
    unittest_xml,
    "unittest-xml.xml",
    ["test_adds passed", "test_fails failed: 2 != 3", "test_skips skipped: later"]
);
// Vitest 3
tool!(
    vitest,
    "vitest.xml",
    ["adds passed", "fails failed: expected 2 to be 3 // Object.is equality", "skips skipped"]
);

#[test]
fn coverage() {
    let covered = |found: Result<Vec<slipway_proto::v1::FileCoverage>, ReportError>| {
        let line =
            |file: slipway_proto::v1::FileCoverage| format!("{} {}/{}", file.path, file.covered, file.lines);
        found.unwrap().into_iter().map(line).collect::<Vec<_>>()
    };
    let named = Named { clean: &plain, workspace: WORKSPACE };
    let lcov = |text: &str| covered(lcov::parse(text.as_bytes(), &|path| named.path(path)));
    let cobertura = |text: &str| covered(cobertura::parse(text.as_bytes(), &|path| named.path(path)));
    // nyc 17 (Istanbul), c8 10 (V8) and gcovr 8.8 with GCC 12.
    assert_eq!(lcov(include_str!("fixtures/tools/nyc.info")), ["lib.cjs 1/1", "use.cjs 1/1"]);
    assert_eq!(cobertura(include_str!("fixtures/tools/nyc.xml")), ["lib.cjs 1/1", "use.cjs 1/1"]);
    assert_eq!(lcov(include_str!("fixtures/tools/c8.info")), ["lib.cjs 1/1", "use.cjs 1/1"]);
    assert_eq!(lcov(include_str!("fixtures/tools/gcovr.info")), ["sign.c 4/5"]);
    assert_eq!(cobertura(include_str!("fixtures/tools/gcovr.xml")), ["sign.c 4/5"]);
}
