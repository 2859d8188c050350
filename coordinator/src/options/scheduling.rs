//! Who goes first when agents are scarce, and how often a fleet failure is tried again: `[[share]]`, `[[priority]]` and
//! `[retry]` of the configuration file. [docs/SCHEDULING.md](../../../docs/SCHEDULING.md) and `docs/FAILURES.md` describe them.
//!
//! All of it is checked when the coordinator starts. A run's share and priority are journaled with it, so a change here counts
//! for runs that come after it.

use std::collections::BTreeMap;

use serde::Deserialize;
use slipway_scheduler::FleetCause;
use slipway_scheduler::command::{RunMeta, Standing};
use slipway_scheduler::limits::{
    ATTEMPTS_MAX, BACKOFF_MS_MAX, LEASE_MS_MAX, LEASE_MS_MIN, PRIORITY_MAX, PRIORITY_MIN, SHARE_BYTES_MAX,
    WEIGHT_MAX,
};
use slipway_scheduler::policy::{RetryRule, Rules};
use slipway_workflow::filter::Patterns;
use slipway_workflow::syntax::nearest;

use super::{OptionsError, wrong};

/// Shares or rules beyond this are a mistake.
const RULES_MAX: usize = 1_000;

/// Shares, priorities and retries; checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// How fleet failures are retried.
    pub retry: Rules,
    shares: Vec<Share>,
    priorities: Vec<PriorityRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    name: String,
    repositories: Vec<RepositoryPattern>,
    weight: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PriorityRule {
    repository: Option<RepositoryPattern>,
    event: Option<String>,
    git_ref: Option<Patterns>,
    value: i8,
}

/// `owner/name` or `owner/*`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepositoryPattern {
    owner: String,
    /// `None`: all of the owner's.
    name: Option<String>,
}

fn lease_ms(seconds: u64) -> Result<u64, OptionsError> {
    let range = LEASE_MS_MIN / 1_000..=LEASE_MS_MAX / 1_000;
    if range.contains(&seconds) {
        return Ok(seconds * 1_000);
    }
    Err(wrong("--lease-seconds", format!("`{seconds}` is not from {} to {}", range.start(), range.end())))
}

/// `[[share]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareSetting {
    name: String,
    repositories: Vec<String>,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

/// `[[priority]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrioritySetting {
    repository: Option<String>,
    event: Option<String>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    value: i64,
}

/// `[retry]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RetrySetting {
    attempts: Option<u32>,
    #[serde(flatten)]
    causes: BTreeMap<String, CauseSetting>,
}

/// `[retry.CAUSE]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CauseSetting {
    attempts: Option<u32>,
    first_wait_s: Option<u64>,
}

impl Scheduling {
    /// Checks what the file says.
    ///
    /// # Errors
    /// The entry, what is wrong with it, and what to write.
    pub(super) fn from_settings(
        shares: Vec<ShareSetting>,
        priorities: Vec<PrioritySetting>,
        retry: &RetrySetting,
        lease_seconds: Option<u64>,
    ) -> Result<Self, OptionsError> {
        if shares.len() > RULES_MAX || priorities.len() > RULES_MAX {
            return Err(wrong("[[share]], [[priority]]", format!("there are more than {RULES_MAX}")));
        }
        let shares = shares.into_iter().map(share).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeMap::new();
        for share in &shares {
            for pattern in &share.repositories {
                let text = pattern.to_string();
                if let Some(other) = seen.insert(text.clone(), &share.name) {
                    return Err(wrong(
                        "[[share]]",
                        format!(
                            "`{text}` is in `{other}` and in `{}`; a repository has one share",
                            share.name
                        ),
                    ));
                }
            }
        }
        let mut names: Vec<String> = shares.iter().map(|share| share.name.to_lowercase()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            let reason = format!("there are two of the name `{twice}`; put their repositories into one");
            return Err(wrong("[[share]]", reason));
        }
        let priorities = priorities.into_iter().map(priority).collect::<Result<_, _>>()?;
        let mut retry = rules(retry)?;
        if let Some(seconds) = lease_seconds {
            retry.lease_ms = lease_ms(seconds)?;
        }
        Ok(Self { retry, shares, priorities })
    }

    /// Where a run stands beside others. `wanted`: the priority that whoever started it gave.
    #[must_use]
    pub fn standing(&self, meta: &RunMeta, wanted: Option<i8>) -> Standing {
        // A repository by its own name goes before all of its owner.
        let exact = |share: &&Share| share.fits(&meta.repository, true);
        let whole = |share: &&Share| share.fits(&meta.repository, false);
        let share = self.shares.iter().find(exact).or_else(|| self.shares.iter().find(whole));
        let rule = || self.priorities.iter().find(|rule| rule.fits(meta));
        let priority = wanted.or_else(|| rule().map(|rule| rule.value)).unwrap_or_default();
        Standing {
            share: share.map(|share| share.name.clone()),
            weight: share.map_or(1, |share| share.weight),
            priority: priority.clamp(PRIORITY_MIN, PRIORITY_MAX),
        }
    }
}

impl Share {
    fn fits(&self, repository: &str, exact: bool) -> bool {
        self.repositories.iter().any(|pattern| pattern.is_exact() == exact && pattern.fits(repository))
    }
}

impl PriorityRule {
    fn fits(&self, meta: &RunMeta) -> bool {
        let short = ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| meta.git_ref.strip_prefix(prefix));
        self.repository.as_ref().is_none_or(|pattern| pattern.fits(&meta.repository))
            && self.event.as_ref().is_none_or(|event| *event == meta.event_name)
            && self.git_ref.as_ref().is_none_or(|patterns| {
                patterns.matches(&meta.git_ref) || short.is_some_and(|short| patterns.matches(short))
            })
    }
}

impl RepositoryPattern {
    pub(super) fn parse(place: &'static str, text: &str) -> Result<Self, OptionsError> {
        match text.to_lowercase().split_once('/') {
            Some((owner, name)) if is_name(owner) && (name == "*" || is_name(name)) => {
                let name = (name != "*").then(|| name.to_owned());
                Ok(Self { owner: owner.to_owned(), name })
            }
            _ => Err(wrong(place, format!("`{text}` is no repository; write OWNER/NAME or OWNER/*"))),
        }
    }

    /// Whether it names one repository.
    pub(super) fn is_exact(&self) -> bool {
        self.name.is_some()
    }

    pub(super) fn fits(&self, repository: &str) -> bool {
        let repository = repository.to_lowercase();
        let Some((owner, name)) = repository.split_once('/') else { return false };
        owner == self.owner && self.name.as_ref().is_none_or(|wanted| wanted == name)
    }
}

impl std::fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name.as_deref().unwrap_or("*"))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '*', ' '])
}

fn share(setting: ShareSetting) -> Result<Share, OptionsError> {
    let ShareSetting { name, repositories, weight } = setting;
    let refuse = |reason: String| Err(wrong("[[share]]", reason));
    // The names of repositories' own shares have slashes.
    if name.trim().is_empty() || name.len() > SHARE_BYTES_MAX || name.contains('/') {
        return refuse(format!(
            "`{name}` is no name; write some words of at most {SHARE_BYTES_MAX} bytes without `/`"
        ));
    }
    if repositories.is_empty() {
        return refuse(format!("`{name}` has no repositories"));
    }
    if !(1..=WEIGHT_MAX).contains(&weight) {
        return refuse(format!("the weight of `{name}` is {weight}; it is from 1 to {WEIGHT_MAX}"));
    }
    let patterns = repositories.iter().map(|text| RepositoryPattern::parse("[[share]]", text));
    Ok(Share { repositories: patterns.collect::<Result<_, _>>()?, name, weight })
}

fn priority(setting: PrioritySetting) -> Result<PriorityRule, OptionsError> {
    let PrioritySetting { repository, event, git_ref, value } = setting;
    if repository.is_none() && event.is_none() && git_ref.is_none() {
        return Err(wrong("[[priority]]", "needs `repository`, `event` or `ref`: what it is for"));
    }
    let range = i64::from(PRIORITY_MIN)..=i64::from(PRIORITY_MAX);
    let Some(value) = i8::try_from(value).ok().filter(|_| range.contains(&value)) else {
        let reason = format!("`value` is {value}; it is from {PRIORITY_MIN} to {PRIORITY_MAX}");
        return Err(wrong("[[priority]]", reason));
    };
    let git_ref = git_ref.map(|text| {
        let mut patterns = Patterns::default();
        match patterns.add(&text) {
            Ok(()) => Ok(patterns),
            Err(problem) => Err(wrong("[[priority]]", format!("`ref`: the pattern `{text}` {problem}"))),
        }
    });
    let repository = repository.map(|text| RepositoryPattern::parse("[[priority]]", &text));
    Ok(PriorityRule { repository: repository.transpose()?, event, git_ref: git_ref.transpose()?, value })
}

fn rules(setting: &RetrySetting) -> Result<Rules, OptionsError> {
    let refuse = |reason: String| Err(wrong("[retry]", reason));
    let limit = 1..=ATTEMPTS_MAX;
    let mut rules = Rules::default();
    if let Some(attempts) = setting.attempts {
        if !limit.contains(&attempts) {
            return refuse(format!("`attempts` is {attempts}; it is from 1 to {ATTEMPTS_MAX}"));
        }
        rules.attempts = attempts;
    }
    for (name, wanted) in &setting.causes {
        let Some(cause) = FleetCause::from_name(name) else {
            let known = FleetCause::ALL.map(FleetCause::as_str);
            let told = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            return refuse(format!("there is no cause `{name}`; {told}"));
        };
        let RetryRule { attempts, backoff_ms } = rules.retry(cause);
        let attempts = wanted.attempts.unwrap_or(attempts);
        if !limit.contains(&attempts) {
            return refuse(format!("`{name}.attempts` is {attempts}; it is from 1 to {ATTEMPTS_MAX}"));
        }
        let backoff_ms = wanted.first_wait_s.map_or(backoff_ms, |seconds| seconds.saturating_mul(1_000));
        if backoff_ms > BACKOFF_MS_MAX {
            let (seconds, most) = (backoff_ms / 1_000, BACKOFF_MS_MAX / 1_000);
            return refuse(format!("`{name}.first_wait_s` is {seconds}; it is at most {most}"));
        }
        rules.set_retry(cause, RetryRule { attempts, backoff_ms });
    }
    Ok(rules)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
