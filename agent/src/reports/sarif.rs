//! Findings in SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format").
//!
//! Of each run its results that fail: not those that pass or do not apply, nor those that somebody suppressed or that are gone
//! since a baseline. How grave one is follows from its rule's `security-severity` as GitHub's code scanning reads it, or
//! else from its level.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use slipway_proto::v1;
use slipway_proto::v1::finding::Severity;

use super::ReportError;
use super::json::{Some as Capped, read};
use super::place::Named;
use crate::limits::{FINDING_MESSAGE_MAX_BYTES, REPORTS_LIST_MAX, SARIF_RULES_MAX, SARIF_RUNS_MAX};

#[derive(Deserialize)]
struct Document {
    runs: Option<Capped<Run, SARIF_RUNS_MAX>>,
}

#[derive(Deserialize)]
struct Run {
    #[serde(default)]
    tool: Tool,
    #[serde(default)]
    results: Capped<Found, REPORTS_LIST_MAX>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tool {
    driver: Part,
    extensions: Capped<Part, SARIF_RUNS_MAX>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    name: String,
    rules: Capped<Rule, SARIF_RULES_MAX>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    id: String,
    default_configuration: Configuration,
    properties: Properties,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Properties {
    #[serde(rename = "security-severity")]
    security_severity: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Found {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: RuleReference,
    kind: Option<String>,
    level: Option<String>,
    message: Message,
    locations: Capped<Location, 1>,
    fingerprints: BTreeMap<String, String>,
    partial_fingerprints: BTreeMap<String, String>,
    suppressions: Capped<Suppression, SARIF_RUNS_MAX>,
    baseline_state: Option<String>,
    properties: Properties,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RuleReference {
    id: Option<String>,
    index: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    text: String,
    markdown: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Artifact {
    uri: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Region {
    start_line: u32,
    end_line: u32,
    start_column: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Suppression {
    status: Option<String>,
}

/// The findings of a report, and how many results were beyond what is looked at.
pub type Findings = (Vec<v1::Finding>, u64);

/// Reads one.
///
/// # Errors
/// [`ReportError`]; nothing is taken from one that breaks off.
pub fn parse(bytes: &[u8], named: &Named<'_>) -> Result<Findings, ReportError> {
    let document: Document = read(bytes)?;
    let runs = document.runs.ok_or_else(|| ReportError::Other("it has no `runs`".to_owned()))?;
    let (mut findings, mut left_out) = (Vec::new(), 0);
    // The same finding more than once in a file has a number of its own.
    let mut seen: HashMap<String, u32> = HashMap::new();
    for run in runs.kept {
        left_out += run.results.left_out;
        let rules = Rules::of(&run.tool);
        for found in run.results.kept {
            if !counts(&found) {
                continue;
            }
            let mut finding = finding(&run.tool, &rules, &found, named);
            let times = seen.entry(finding.fingerprint.clone()).or_default();
            *times += 1;
            if *times > 1 {
                finding.fingerprint = format!("{}-{times}", finding.fingerprint);
            }
            findings.push(finding);
        }
    }
    Ok((findings, left_out))
}

/// Whether it is something to look after.
fn counts(found: &Found) -> bool {
    let fails = found.kind.as_deref().is_none_or(|kind| matches!(kind, "fail" | "open" | "review"));
    let mut suppressions = found.suppressions.kept.iter();
    let suppressed = suppressions.any(|one| one.status.as_deref().is_none_or(|status| status == "accepted"));
    fails && !suppressed && found.baseline_state.as_deref() != Some("absent")
}

/// The rules of a run.
struct Rules<'a> {
    in_order: &'a [Rule],
    by_id: HashMap<&'a str, &'a Rule>,
}

impl<'a> Rules<'a> {
    fn of(tool: &'a Tool) -> Self {
        let parts = std::iter::once(&tool.driver).chain(&tool.extensions.kept);
        let all = parts.flat_map(|part| &part.rules.kept);
        Self { in_order: &tool.driver.rules.kept, by_id: all.map(|rule| (rule.id.as_str(), rule)).collect() }
    }

    fn find(&self, found: &Found) -> (Option<&'a Rule>, String) {
        let index = found.rule_index.or(found.rule.index).and_then(|index| usize::try_from(index).ok());
        let at = index.and_then(|index| self.in_order.get(index));
        let id = found.rule_id.as_deref().or(found.rule.id.as_deref());
        let id = id.or(at.map(|rule| rule.id.as_str())).unwrap_or_default();
        // `a/b` may be a sub-rule of `a`.
        let outer = id.rsplit_once('/').map_or(id, |(outer, _)| outer);
        (self.by_id.get(id).or_else(|| self.by_id.get(outer)).copied(), id.to_owned())
    }
}

fn finding(tool: &Tool, rules: &Rules<'_>, found: &Found, named: &Named<'_>) -> v1::Finding {
    let (rule, id) = rules.find(found);
    let place = found.locations.kept.first().map(|location| &location.physical_location);
    let path = place.map_or_else(String::new, |place| named.uri(&place.artifact_location.uri));
    let region = place.map(|place| &place.region);
    let text = [&found.message.text, &found.message.markdown].into_iter().find(|text| !text.is_empty());
    let message = named.text(text.unwrap_or(&id), FINDING_MESSAGE_MAX_BYTES);
    let (tool, id) = (named.name(&tool.driver.name), named.name(&id));
    let given = [&found.fingerprints, &found.partial_fingerprints].into_iter().find(|all| !all.is_empty());
    let own = given.map_or_else(
        || message.clone(),
        |all| all.iter().map(|(name, value)| format!("{name}={value}\n")).collect(),
    );
    let digest = Sha256::digest([tool.as_str(), id.as_str(), path.as_str(), own.as_str()].join("\0"));
    v1::Finding {
        fingerprint: hex::encode(digest.get(..16).unwrap_or_default()),
        severity: severity(found, rule).into(),
        line: region.map_or(0, |region| region.start_line),
        end_line: region.map_or(0, |region| region.end_line),
        column: region.map_or(0, |region| region.start_column),
        tool,
        rule: id,
        message,
        path,
    }
}

fn severity(found: &Found, rule: Option<&Rule>) -> Severity {
    let of = |properties: &Properties| {
        let value = properties.security_severity.as_ref()?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|score| *score > 0.0)
    };
    if let Some(score) = of(&found.properties).or_else(|| of(&rule?.properties)) {
        return match score {
            score if score >= 9.0 => Severity::Critical,
            score if score >= 7.0 => Severity::High,
            score if score >= 4.0 => Severity::Medium,
            _ => Severity::Low,
        };
    }
    let level = found.level.as_deref().or_else(|| rule?.default_configuration.level.as_deref());
    match level {
        Some("error") => Severity::High,
        Some("note" | "none") => Severity::Low,
        // The standard's own default is `warning`.
        _ => Severity::Medium,
    }
}
