//! What a run's reports say, on its page: gates, coverage, findings (new ones first) and how many components there are.

use maud::{Markup, html};
use slipway_scheduler::RunId;
use slipway_workflow::settings::Severity;

use super::limits::{FILES_SHOWN, FINDINGS_SHOWN};
use super::run_failures::spot;
use super::words::{Mark, count, name};
use crate::reports::{Compared, Coverage, Judged, change, compare, gates, percent};
use crate::services::Services;

/// What there is to show.
#[derive(Debug, Default)]
pub(super) struct Shown {
    compared: Compared,
    gates: Vec<Judged>,
}

/// Reads it, of a run that has ended. What cannot be read is left out: the API says why.
pub(super) async fn of_run(services: &Services, run: RunId) -> Shown {
    let compared = compare(services, run).await.ok().flatten().unwrap_or_default();
    let gates = gates::of_run(services, run).await.unwrap_or_default();
    Shown { compared, gates }
}

pub(super) fn section(shown: &Shown) -> Markup {
    let Shown { compared, gates } = shown;
    let some = !compared.reports.is_empty() || !gates.is_empty();
    html! {
        div #reports {
            @if some {
                section aria-labelledby="reports-title" {
                    h2 #reports-title { "Reports" }
                    @if let Some((base, _)) = &compared.base {
                        p.hint { "Compared with " a href={ "/runs/" (base) } { "the newest run of the base branch" } "." }
                    }
                    @if !gates.is_empty() { (gate_list(gates)) }
                    @if let Some(found) = &compared.reports.coverage { (coverage(found, compared.base_hundredths())) }
                    (findings(compared))
                    @if let Some(components) = &compared.reports.components {
                        h3 { "Components" }
                        p { (count(components.len() as u64, "component", "components")) }
                    }
                }
            }
        }
    }
}

fn gate_list(gates: &[Judged]) -> Markup {
    html! {
        h3 { "Gates" }
        ul.errors {
            @for gate in gates {
                li {
                    (if gate.passed { Mark::Success.short() } else { Mark::Failure.short() })
                    strong { (name(&gate.gate)) } " " (name(&gate.title))
                    @for line in &gate.lines { div.hint { (name(line)) } }
                }
            }
        }
    }
}

fn coverage(found: &Coverage, base: Option<u32>) -> Markup {
    let (lines, covered) = found.totals();
    let mut files: Vec<_> = found.files.iter().filter(|(_, (lines, covered))| covered < lines).collect();
    files.sort_by_key(|(_, (lines, covered))| std::cmp::Reverse(lines - covered));
    html! {
        h3 { "Coverage" }
        p {
            @match found.hundredths() { Some(now) => strong { (percent(now)) }, None => "No lines" }
            " (" (covered) " of " (lines) " lines)"
            @if let (Some(now), Some(base)) = (found.hundredths(), base) { ", " (change(base, now)) " points" }
        }
        @if !files.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Files with lines that no test reached" {
                table {
                    thead { tr { th scope="col" { "File" } th scope="col" { "Lines" } th scope="col" { "Not reached" } } }
                    tbody {
                        @for (path, (lines, covered)) in files.iter().take(FILES_SHOWN) {
                            tr { th scope="row" { (name(path)) } td { (lines) } td { (lines - covered) } }
                        }
                    }
                }
            }
            @if files.len() > FILES_SHOWN {
                p.hint { "and " (count((files.len() - FILES_SHOWN) as u64, "more file", "more files")) }
            }
        }
    }
}

fn findings(compared: &Compared) -> Markup {
    let Some(found) = compared.findings() else { return html! {} };
    let of = |severity| found.iter().filter(|(finding, _)| finding.severity == severity).count();
    let worst = Severity::ALL.into_iter().rev().filter(|severity| of(*severity) > 0);
    let counts: Vec<String> = worst.map(|severity| format!("{} {}", of(severity), severity.word())).collect();
    html! {
        h3 { "Findings" }
        p { @if counts.is_empty() { "None" } @else { (counts.join(", ")) } }
        @if !found.is_empty() {
            ul.errors {
                @for (finding, new) in found.iter().take(FINDINGS_SHOWN) {
                    li {
                        @if *new { strong { "new " } }
                        (finding.severity.word()) ": " (name(finding.message.lines().next().unwrap_or_default()))
                        " " (spot(&finding.path, finding.line))
                        span.hint { " " (name(&finding.tool)) " " (name(&finding.rule)) }
                    }
                }
                @if found.len() > FINDINGS_SHOWN {
                    li.hint { "and " (count((found.len() - FINDINGS_SHOWN) as u64, "more finding", "more findings")) }
                }
            }
        }
    }
}
