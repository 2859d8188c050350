//! Reports of coverage and findings. However damaged one is, nothing panics, texts are within their bounds, a known secret never
//! comes out, no file has more lines reached than it has, and what is wrong is told with a place that the file has.

use slipway_agent::limits::{FINDING_MESSAGE_MAX_BYTES, REPORTS_NAME_MAX_BYTES};
use slipway_agent::reports::place::Named;
use slipway_agent::reports::{ReportError, cobertura, cut, lcov, sarif, sbom};
use slipway_agent::steps::mask::Masks;

const SECRET: &str = "correct horse battery";

pub(super) const LCOV_CORPUS: &[&[u8]] = &[
    include_bytes!("../../../agent/src/reports/fixtures/lcov.info"),
    include_bytes!("../../../agent/src/reports/fixtures/coverage-py.info"),
    b"TN:correct horse battery\nSF:correct horse battery\nDA:1,1\nend_of_record\nSF:b\nLF:3\nLH:2\nend_of_record\n",
];

pub(super) const LCOV_DICTIONARY: &[&[u8]] = &[
    b"TN:",
    b"SF:",
    b"DA:",
    b"LF:",
    b"LH:",
    b"BRDA:1,0,0,-",
    b"FN:1,f",
    b"end_of_record\n",
    b"\n",
    b"\r\n",
    b"#",
    b",",
    b"-1",
    b"1e999",
    b"NaN",
    b"4294967296",
    b"18446744073709551615",
    b"10000000",
    b"correct horse battery",
    b"correct horse",
    b" battery",
    b"\0",
    b"\xff",
    b"\xf0\x9f\x98\x80",
];

pub(super) const COBERTURA_CORPUS: &[&[u8]] = &[
    include_bytes!("../../../agent/src/reports/fixtures/coverage-py.xml"),
    b"<coverage><packages><package><classes><class filename='correct horse battery'><lines><line number='1' hits='0'/></lines></class></classes></package></packages></coverage>",
];

pub(super) const COBERTURA_DICTIONARY: &[&[u8]] = &[
    b"<coverage>",
    b"</coverage>",
    b"<packages>",
    b"</packages>",
    b"<class filename='a'>",
    b"</class>",
    b"<class/>",
    b"<line number='1' hits='1'/>",
    b"<line/>",
    b"<methods>",
    b"<source>",
    b"</source>",
    b"<source>/a</source>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&b;",
    b"&amp;",
    b"&#0;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"hits='-1'",
    b"hits='NaN'",
    b"number='99999999999'",
    b"correct horse battery",
    b"correct horse",
    b"\0",
    b"\xff",
    b"<",
    b">",
    b"'",
];

pub(super) const SARIF_CORPUS: &[&[u8]] = &[
    include_bytes!("../../../agent/src/reports/fixtures/bandit.sarif"),
    br#"{"runs":[{"tool":{"driver":{"name":"correct horse battery","rules":[{"id":"r","properties":{"security-severity":"9.8"}}]}},
        "results":[{"ruleIndex":0,"message":{"text":"correct horse battery"},"partialFingerprints":{"a":"b"},
        "locations":[{"physicalLocation":{"artifactLocation":{"uri":"file:///a%20b"},"region":{"startLine":1}}}]}]}]}"#,
];

pub(super) const SBOM_CORPUS: &[&[u8]] = &[
    include_bytes!("../../../agent/src/reports/fixtures/cyclonedx-py.cdx.json"),
    include_bytes!("../../../agent/src/reports/fixtures/npm.spdx.json"),
    br#"{"bomFormat":"CycloneDX","components":[{"name":"correct horse battery","group":"g","version":"1","purl":"pkg:x/correct horse battery",
        "licenses":[{"license":{"id":"MIT"}},{"license":{"name":"correct horse battery"}},{"expression":"MIT OR (Apache-2.0 WITH x)"}],"components":[{"name":"n"}]}]}"#,
    br#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"n","versionInfo":"1","licenseConcluded":"NOASSERTION","licenseDeclared":"correct horse battery",
        "externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:x/n@1"}]}]}"#,
];

pub(super) const SARIF_DICTIONARY: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"\"runs\"",
    b"\"results\"",
    b"\"rules\"",
    b"\"ruleIndex\":-1",
    b"\"ruleIndex\":99999999999999999999",
    b"\"message\":{\"text\":\"m\"}",
    b"\"locations\":[{}]",
    b"\"startLine\":4294967296",
    b"\"suppressions\":[{}]",
    b"\"security-severity\":\"NaN\"",
    b"%",
    b"%ff",
    b"%2",
    b"\\ud800",
    b"\\u0000",
    b"correct horse battery",
    b"correct horse",
    b"\xff",
    b"\xef\xbb\xbf",
];

pub(super) const SBOM_DICTIONARY: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"\"components\"",
    b"\"packages\"",
    b"\"licenses\":[{}]",
    b"\"expression\":\"(((\"",
    b"\"licenseDeclared\":\"NONE\"",
    b"\"bomFormat\":\"CycloneDX\"",
    b"\"spdxVersion\":\"SPDX-2.3\"",
    b" OR ",
    b" AND ",
    b"\\ud800",
    b"\\u0000",
    b"correct horse battery",
    b"correct horse",
    b"\xff",
    b"\xef\xbb\xbf",
];

fn with_names(check: impl FnOnce(&Named<'_>)) {
    let masks = Masks::new([SECRET]);
    let clean = |text: &str, max_bytes| cut(masks.mask_str(text), max_bytes);
    check(&Named { clean: &clean, workspace: "/home/runner/work/n/n" });
}

fn name(text: &str) {
    assert!(text.len() <= REPORTS_NAME_MAX_BYTES, "a long name");
    assert!(!text.contains(SECRET), "a secret came out in a name");
}

/// The place of what is wrong is in the file.
fn place(input: &[u8], error: &ReportError) {
    if let ReportError::Broken { line, column, .. } = error {
        let lines = 1 + input.iter().filter(|byte| **byte == b'\n').count();
        assert!((1..=lines).contains(line), "line {line} of {lines}");
        assert!((1..=input.len() + 1).contains(column), "column {column}");
    }
}

pub(super) fn lcov(input: &[u8]) {
    with_names(|named| covered(input, lcov::parse(input, &|path| named.path(path))));
}

pub(super) fn cobertura(input: &[u8]) {
    with_names(|named| covered(input, cobertura::parse(input, &|path| named.path(path))));
}

fn covered(input: &[u8], found: Result<Vec<slipway_proto::v1::FileCoverage>, ReportError>) {
    match found {
        Ok(files) => {
            for file in &files {
                name(&file.path);
                assert!(file.covered <= file.lines && file.lines > 0, "{file:?}");
            }
        }
        Err(error) => place(input, &error),
    }
}

pub(super) fn sarif(input: &[u8]) {
    with_names(|named| match sarif::parse(input, named) {
        Ok((findings, _)) => {
            let prints: std::collections::BTreeSet<&str> =
                findings.iter().map(|one| one.fingerprint.as_str()).collect();
            assert_eq!(prints.len(), findings.len(), "fingerprints tell findings apart");
            for one in &findings {
                [&one.tool, &one.rule, &one.path, &one.fingerprint].into_iter().for_each(|text| name(text));
                assert!(one.message.len() <= FINDING_MESSAGE_MAX_BYTES, "a long message");
                assert!(!one.message.contains(SECRET), "a secret came out in a message");
            }
        }
        Err(error) => place(input, &error),
    });
}

pub(super) fn sbom(input: &[u8]) {
    with_names(|named| match sbom::parse(input, named) {
        Ok((components, _)) => {
            for one in &components {
                [&one.name, &one.version, &one.purl]
                    .into_iter()
                    .chain(&one.licences)
                    .for_each(|text| name(text));
            }
        }
        Err(error) => place(input, &error),
    });
}
