//! What a repository asks of commits (`commits` of `.slipway.yml`), as a report on each commit that comes: judged once, from what the
//! forge says of messages and signatures, and journaled like gates.
//!
//! Whether a signature is good, the forge knows: it has its people's keys.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_kit::backoff::Backoff;
use slipway_workflow::settings::{CommitRules, Pattern};

use super::desired::{Key, Wanted};
use super::told::ReportEvent;
use super::{Commit, Commits, Conclusion, Forge, ForgeError, Place, Stage, words};
use crate::driver::View;
use crate::reports::Judged;
use crate::services::Services;

/// Names the judgement.
const GATE: &str = "commits";

/// Commits that are looked at of one push or pull request; one of more breaks the rules.
pub(crate) const COMMITS_MAX: usize = 1_000;

/// Commits that a report names.
const NAMED_MAX: usize = 20;

/// The longest line about one of them, in characters.
const LINE_MAX_CHARS: usize = 300;

/// How often a forge that does not answer is asked, and the waits between.
const TRIES: u32 = 8;
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// The longest wait that a forge can ask for here; then it is a try like the others.
const HOLD_MAX: Duration = Duration::from_secs(5 * 60);

/// What a repository asks of commits, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// A regular expression for the first line of each message.
    pub message: Option<String>,
    /// Whether each has to have a signature that the forge verified.
    pub signed: bool,
    /// Whether what breaks a rule starts nothing.
    pub block: bool,
}

impl From<&CommitRules> for Rules {
    fn from(rules: &CommitRules) -> Self {
        let message = rules.message.as_ref().map(|pattern| pattern.as_str().to_owned());
        Self { message, signed: rules.signed, block: rules.block }
    }
}

/// Which commits are to be held against which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The rules, as they stood when the event came.
    pub rules: Rules,
    /// A commit or branch: what it has is not looked at.
    pub base: String,
    /// The newest commit.
    pub head: String,
}

/// How a report is named: `slipway / commits (push)`.
pub(crate) fn name(check: &str, event: &str) -> String {
    format!("{check} / {GATE} ({event})")
}

/// The reports of these commits' rules that were not told to their end.
pub(super) fn unsettled(view: View<'_>, check: &str, places: &BTreeSet<Place>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for place in places {
        let Some(commit) = view.ledger.told().of_commit(place) else { continue };
        for (event, ruled) in &commit.rules {
            if ruled.report.is_some_and(|report| report.settled) {
                continue;
            }
            let judged = ruled.judged.as_ref();
            let lines = judged.iter().flat_map(|judged| &judged.lines);
            let lines = lines.map(|line| format!("- {}", words::plain(line))).collect::<Vec<_>>();
            wanted.push(Wanted {
                key: Key::Rules(place.clone(), event.clone(), ruled.generation),
                place: place.clone(),
                name: name(check, event),
                stage: match judged {
                    None => Stage::Running,
                    Some(judged) if judged.passed => Stage::Done(Conclusion::Success),
                    Some(_) => Stage::Done(Conclusion::Failure),
                },
                started_ms: None,
                finished_ms: None,
                title: words::cut(judged.map_or("Looking at commits", |judged| &judged.title), 200),
                notes: vec![asked(&ruled.question.rules), lines.join("\n")],
                page: String::from("/"),
                source: None,
                buttons: Vec::new(),
                told: ruled.report,
                deploys: None,
                was_held: false,
                only_if_there: false,
            });
        }
    }
    wanted
}

/// The rules, for people.
fn asked(rules: &Rules) -> String {
    let message = rules.message.as_ref().map(|pattern| {
        format!("the first line of each message matches `{}` (merges excepted)", pattern.replace('`', "'"))
    });
    let signed = rules.signed.then(|| "each commit has a signature that is verified".to_owned());
    let both = message.into_iter().chain(signed).collect::<Vec<_>>().join(", and ");
    let block = if rules.block { " Nothing is started for commits that break this." } else { "" };
    format!("`commits` of `.slipway.yml` asks that {both}.{block}")
}

/// Questions of these commits that nobody answered yet.
pub(super) fn open(view: View<'_>, places: &BTreeSet<Place>) -> Vec<(Place, String, Question)> {
    let mut found = Vec::new();
    for place in places {
        let rules = view.ledger.told().of_commit(place).into_iter().flat_map(|commit| &commit.rules);
        let open = rules.filter(|(_, ruled)| ruled.judged.is_none());
        found.extend(open.map(|(event, ruled)| (place.clone(), event.clone(), ruled.question.clone())));
    }
    found
}

/// Answers a question and has the answer journaled.
pub(super) async fn answer(services: Services, place: Place, event: String, question: Question) -> Place {
    let judged = judge(&services, &place.repository, &question).await;
    // A driver that is gone leaves it to the next leader.
    let _ = services.driver.report(ReportEvent::RulesJudged { place: place.clone(), event, judged }).await;
    place
}

/// Holds commits against rules. What the forge does not tell breaks them: a rule that nobody looked at is not kept.
pub(crate) async fn judge(services: &Services, repository: &str, question: &Question) -> Judged {
    let failed = |why: String| {
        let title = "The commits could not be looked at".to_owned();
        Judged::new(GATE, false, title, vec![why])
    };
    let Some(forge) = services.forge.as_deref() else {
        return failed("no GitHub App and no token is configured; see docs/GITHUB.md".to_owned());
    };
    match patiently(forge, repository, question).await {
        Ok(commits) => held_against(&question.rules, &commits),
        Err(error) => failed(error.to_string()),
    }
}

async fn patiently(forge: &dyn Forge, repository: &str, question: &Question) -> Result<Commits, ForgeError> {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        let error = match forge.commits(repository, &question.base, &question.head).await {
            Err(error @ (ForgeError::Later { .. } | ForgeError::Uncertain(_))) => error,
            done => return done,
        };
        let wait = backoff.next_wait();
        if backoff.failures() >= TRIES {
            return Err(error);
        }
        let asked = match &error {
            ForgeError::Later { wait: Some(asked), .. } => (*asked).min(HOLD_MAX),
            _ => Duration::ZERO,
        };
        tracing::warn!(repository, %error, "commits cannot be looked at now; they are asked for again");
        tokio::time::sleep(wait.max(asked)).await;
    }
}

/// A pure function.
fn held_against(rules: &Rules, commits: &Commits) -> Judged {
    // It was compiled when the file was read.
    let pattern = rules.message.as_deref().map(Pattern::new).transpose();
    let pattern = match pattern {
        Ok(pattern) => pattern,
        Err(why) => return Judged::new(GATE, false, "The rule is not valid".to_owned(), vec![why]),
    };
    let mut broken: Vec<String> =
        commits.list.iter().filter_map(|commit| wrong(rules, pattern.as_ref(), commit)).collect();
    let bad = broken.len();
    if broken.len() > NAMED_MAX {
        broken.truncate(NAMED_MAX);
        broken.push(format!("and {} more", bad - NAMED_MAX));
    }
    let looked_at = commits.list.len();
    if commits.total > looked_at {
        broken.push(format!("only {looked_at} of {} commits were looked at", commits.total));
        return Judged::new(GATE, false, format!("{} commits are too many", commits.total), broken);
    }
    let title = match (bad, looked_at) {
        (0, 0) => "No commit is new".to_owned(),
        (0, 1) => "1 commit keeps the rules".to_owned(),
        (0, all) => format!("{all} commits keep the rules"),
        (bad, 1) => format!("{bad} of 1 commit breaks the rules"),
        (1, all) => format!("1 of {all} commits breaks the rules"),
        (bad, all) => format!("{bad} of {all} commits break the rules"),
    };
    Judged::new(GATE, bad == 0, title, broken)
}

/// What is wrong with a commit.
fn wrong(rules: &Rules, pattern: Option<&Pattern>, commit: &Commit) -> Option<String> {
    let subject = commit.message.lines().next().unwrap_or_default();
    let mut why = Vec::new();
    // Whoever merges does not write the message.
    if let Some(pattern) = pattern.filter(|pattern| !commit.is_merge && !pattern.is_match(subject)) {
        why.push(format!("its message does not match {}", pattern.as_str()));
    }
    if let (true, Err(reason)) = (rules.signed, &commit.verified) {
        why.push(format!("its signature is not verified ({reason})"));
    }
    if why.is_empty() {
        return None;
    }
    let short = commit.sha.get(..8).unwrap_or(&commit.sha);
    let line = format!("{short} \u{201c}{subject}\u{201d} by {}: {}", commit.author, why.join(", and "));
    Some(line.chars().filter(|character| !character.is_control()).take(LINE_MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(message: &str, is_merge: bool, verified: bool) -> Commit {
        Commit {
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            message: message.to_owned(),
            author: "octo".to_owned(),
            is_merge,
            verified: if verified { Ok(()) } else { Err("unsigned".to_owned()) },
        }
    }

    fn rules(message: Option<&str>, signed: bool) -> Rules {
        Rules { message: message.map(str::to_owned), signed, block: false }
    }

    #[test]
    fn each_commit_is_held_against_each_rule() {
        let both = rules(Some("^(feat|fix): ."), true);
        let of = |list: Vec<Commit>| {
            let total = list.len();
            held_against(&both, &Commits { list, total })
        };
        let good = of(vec![commit("fix: it\n\nmore", false, true), commit("Merge branch", true, true)]);
        assert_eq!((good.passed, good.title.as_str()), (true, "2 commits keep the rules"));
        let bad = of(vec![commit("fix: it", false, true), commit("It\u{1b} is", false, false)]);
        assert_eq!((bad.passed, bad.title.as_str()), (false, "1 of 2 commits breaks the rules"));
        assert_eq!(
            bad.lines,
            [
                "01234567 \u{201c}It is\u{201d} by octo: its message does not match ^(feat|fix): ., and its signature is \
              not verified (unsigned)"
            ]
        );
        assert_eq!(of(Vec::new()).title, "No commit is new");
        assert!(!of(vec![commit("Merge branch", true, false)]).passed, "a merge is signed like others");
    }

    #[test]
    fn what_was_not_looked_at_breaks_the_rules_and_only_some_are_named() {
        let many = Commits { list: vec![commit("a", false, true); NAMED_MAX + 2], total: NAMED_MAX + 2 };
        let judged = held_against(&rules(Some("b"), false), &many);
        assert_eq!(judged.title, "22 of 22 commits break the rules");
        assert_eq!((judged.lines.len(), judged.lines.last().map(String::as_str)), (21, Some("and 2 more")));
        let more = Commits { list: vec![commit("b", false, true)], total: 2 };
        let judged = held_against(&rules(Some("b"), false), &more);
        assert_eq!((judged.passed, judged.title.as_str()), (false, "2 commits are too many"));
    }
}
