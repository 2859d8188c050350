//! What environments ask of the jobs that name them: `[[environment]]` of the configuration file.
//! [docs/ENVIRONMENTS.md](../../../docs/ENVIRONMENTS.md) describes it.
//!
//! All of it is checked when the coordinator starts. What it comes to for a job is journaled when the job is planned, so a change
//! here counts for jobs that are planned after it.

use std::collections::BTreeSet;

use serde::Deserialize;
use slipway_scheduler::command::{Gate, RunMeta};
use slipway_scheduler::limits::{
    ENVIRONMENT_CHARS_MAX, GATE_EXPIRES_MS, GATE_WAIT_MS_MAX, REVIEWER_BYTES_MAX, REVIEWERS_MAX,
};
use slipway_workflow::filter::Patterns;

use super::scheduling::RepositoryPattern;
use super::{OptionsError, wrong};

/// Tables beyond this are a mistake.
const ENVIRONMENTS_MAX: usize = 1_000;

/// Patterns of one list beyond this are a mistake.
const PATTERNS_MAX: usize = 200;

/// The longest wait timer, in minutes: GitHub's.
const WAIT_MINUTES_MAX: u64 = GATE_WAIT_MS_MAX / 60_000;

/// The rules of all environments; checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environments {
    list: Vec<Environment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Environment {
    /// In lower case.
    name: String,
    repository: Option<RepositoryPattern>,
    approval: bool,
    reviewers: Vec<String>,
    prevent_self_review: bool,
    wait_ms: u64,
    one_at_a_time: bool,
    refs: Option<Refs>,
}

/// What one environment asks, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRule {
    /// The environment, in lower case.
    pub name: String,
    /// Where, `owner/name` or `owner/*`; `None`: everywhere.
    pub repository: Option<String>,
    /// Whether somebody has to approve.
    pub approval: bool,
    /// Who may; empty: whoever has the role.
    pub reviewers: Vec<String>,
    /// Whether whoever started the run may not.
    pub prevent_self_review: bool,
    /// The wait timer, in milliseconds.
    pub wait_ms: u64,
    /// Whether each deployment waits for its turn.
    pub one_at_a_time: bool,
    /// The only branches and tags that may use it.
    pub refs: Option<String>,
}

/// The only branches and tags that may use an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refs {
    branches: Patterns,
    tags: Patterns,
    /// For people.
    told: String,
}

/// `[[environment]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSetting {
    name: String,
    repository: Option<String>,
    approval: Option<bool>,
    #[serde(default)]
    reviewers: Vec<String>,
    #[serde(default)]
    prevent_self_review: bool,
    #[serde(default)]
    wait_minutes: u64,
    #[serde(default)]
    one_at_a_time: bool,
    branches: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

impl Environments {
    /// Checks what the file says.
    ///
    /// # Errors
    /// The table, the field, what is wrong with it, and what to write.
    pub fn from_settings(settings: Vec<EnvironmentSetting>) -> Result<Self, OptionsError> {
        if settings.len() > ENVIRONMENTS_MAX {
            return Err(wrong("[[environment]]", format!("there are more than {ENVIRONMENTS_MAX}")));
        }
        let list = settings.into_iter().map(environment).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        for environment in &list {
            let place = environment.repository.as_ref().map(ToString::to_string);
            if !seen.insert((environment.name.clone(), place.clone())) {
                let place = place.map_or_else(String::new, |place| format!(" for `{place}`"));
                let reason = format!("there are two of the name `{}`{place}", environment.name);
                return Err(wrong("[[environment]]", reason));
            }
        }
        Ok(Self { list })
    }

    /// What an environment asks of a job of this run; `None`: nothing. `started_by`: who asked for the run.
    ///
    /// # Errors
    /// The run's branch or tag may not use it; for people.
    pub fn gate(&self, name: &str, meta: &RunMeta, started_by: &[&str]) -> Result<Option<Gate>, String> {
        let Some(found) = self.find(name, &meta.repository) else { return Ok(None) };
        if let Some(refs) = found.refs.as_ref().filter(|refs| !refs.have(&meta.git_ref)) {
            let used = match meta.git_ref.as_str() {
                "" => "a run without branch or tag".to_owned(),
                git_ref => format!("`{git_ref}`"),
            };
            return Err(format!("the environment `{name}` is not for {used}; it is for {}", refs.told));
        }
        if !found.approval && found.wait_ms == 0 {
            return Ok(None);
        }
        let started_by = started_by.iter().filter(|person| found.prevent_self_review && !person.is_empty());
        let barred: BTreeSet<&str> = started_by.copied().collect();
        Ok(Some(Gate {
            environment: name.to_owned(),
            approval: found.approval,
            reviewers: found.reviewers.clone(),
            barred: barred.into_iter().map(str::to_owned).collect(),
            wait_ms: found.wait_ms,
            expires_ms: GATE_EXPIRES_MS,
        }))
    }

    /// Whether a job of this repository waits for its turn at an environment.
    #[must_use]
    pub fn is_one_at_a_time(&self, name: &str, repository: &str) -> bool {
        self.find(name, repository).is_some_and(|found| found.one_at_a_time)
    }

    /// All rules, as the file has them.
    pub fn rules(&self) -> impl Iterator<Item = EnvironmentRule> {
        self.list.iter().map(|it| EnvironmentRule {
            name: it.name.clone(),
            repository: it.repository.as_ref().map(ToString::to_string),
            approval: it.approval,
            reviewers: it.reviewers.clone(),
            prevent_self_review: it.prevent_self_review,
            wait_ms: it.wait_ms,
            one_at_a_time: it.one_at_a_time,
            refs: it.refs.as_ref().map(|refs| refs.told.clone()),
        })
    }

    /// The rules of an environment in a repository: those that name it go before those of its owner, and these before those
    /// for all.
    fn find(&self, name: &str, repository: &str) -> Option<&Environment> {
        let name = name.to_lowercase();
        let fitting = self.list.iter().filter(|environment| environment.name == name);
        let fitting = fitting.filter(|it| it.repository.as_ref().is_none_or(|place| place.fits(repository)));
        fitting.max_by_key(|it| it.repository.as_ref().map_or(0, |place| 1 + u8::from(place.is_exact())))
    }
}

impl Refs {
    fn have(&self, git_ref: &str) -> bool {
        let (branch, tag) = (git_ref.strip_prefix("refs/heads/"), git_ref.strip_prefix("refs/tags/"));
        branch.is_some_and(|name| self.branches.matches(name))
            || tag.is_some_and(|name| self.tags.matches(name))
    }
}

fn environment(setting: EnvironmentSetting) -> Result<Environment, OptionsError> {
    let EnvironmentSetting {
        name,
        repository,
        reviewers,
        prevent_self_review,
        wait_minutes,
        one_at_a_time,
        ..
    } = setting;
    let refuse = |reason: String| wrong("[[environment]]", format!("`{name}`: {reason}"));
    if name.trim().is_empty() || name.chars().count() > ENVIRONMENT_CHARS_MAX {
        let reason = format!("`name`: `{name}` is no name; write at most {ENVIRONMENT_CHARS_MAX} characters");
        return Err(wrong("[[environment]]", reason));
    }
    if wait_minutes > WAIT_MINUTES_MAX {
        return Err(refuse(format!("`wait_minutes` is {wait_minutes}; it is from 0 to {WAIT_MINUTES_MAX}")));
    }
    let approval = setting.approval.unwrap_or(!reviewers.is_empty());
    for (field, given) in [("reviewers", !reviewers.is_empty()), ("prevent_self_review", prevent_self_review)]
    {
        if given && !approval {
            return Err(refuse(format!("`{field}` means something only with `approval = true`")));
        }
    }
    if reviewers.len() > REVIEWERS_MAX {
        return Err(refuse(format!("`reviewers` has more than {REVIEWERS_MAX} names")));
    }
    let no_name = |name: &&String| name.trim().is_empty() || name.len() > REVIEWER_BYTES_MAX;
    if let Some(wrong) = reviewers.iter().find(no_name) {
        return Err(refuse(format!(
            "`reviewers`: `{wrong}` is no name of at most {REVIEWER_BYTES_MAX} bytes"
        )));
    }
    let refs = match (setting.branches, setting.tags) {
        (None, None) => None,
        (branches, tags) => Some(refs(branches.unwrap_or_default(), tags.unwrap_or_default(), &refuse)?),
    };
    let repository = repository.map(|text| RepositoryPattern::parse("[[environment]]", &text));
    Ok(Environment {
        repository: repository.transpose()?,
        approval,
        reviewers,
        prevent_self_review,
        wait_ms: wait_minutes * 60_000,
        one_at_a_time,
        refs,
        name: name.to_lowercase(),
    })
}

fn refs(
    branches: Vec<String>,
    tags: Vec<String>,
    refuse: &dyn Fn(String) -> OptionsError,
) -> Result<Refs, OptionsError> {
    if branches.is_empty() && tags.is_empty() {
        return Err(refuse("`branches` and `tags` are empty, so nothing could ever use it".to_owned()));
    }
    let patterns = |field: &str, texts: &[String]| {
        if texts.len() > PATTERNS_MAX {
            return Err(refuse(format!("`{field}` has more than {PATTERNS_MAX} patterns")));
        }
        let mut patterns = Patterns::default();
        for text in texts {
            let wrong = |problem| refuse(format!("`{field}`: the pattern `{text}` {problem}"));
            patterns.add(text).map_err(wrong)?;
        }
        Ok(patterns)
    };
    let named = |word: &str, texts: &[String]| match texts {
        [] => format!("no {word}"),
        [only] => format!("the {word} {only}"),
        several => format!("the {word} {}", several.join(", ")),
    };
    let told = format!("{} and {}", named("branches", &branches), named("tags", &tags));
    Ok(Refs { branches: patterns("branches", &branches)?, tags: patterns("tags", &tags)?, told })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_scheduler::command::Trust;

    use super::super::{Flags, Options};
    use super::*;

    fn load(text: &str) -> Result<Environments, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let flags = Flags { config: Some(path), data_dir: Some("/data".into()), ..Flags::default() };
        Options::load(flags).map(|options| options.environments).map_err(|error| error.to_string())
    }

    fn meta(repository: &str, git_ref: &str) -> RunMeta {
        RunMeta {
            repository: repository.into(),
            forge: "github.com".into(),
            workflow_file: "ci.yml".into(),
            workflow_name: "CI".into(),
            event_name: "push".into(),
            git_ref: git_ref.into(),
            sha: String::new(),
            actor: "ada".into(),
            trust: Trust::Trusted,
            traceparent: None,
            run_number: 1,
            run_attempt: 1,
        }
    }

    const MAIN: &str = "refs/heads/main";

    #[test]
    fn the_nearest_table_says_what_an_environment_asks() {
        let environments = load(
            "[[environment]]\nname = 'Production'\napproval = true\n\
             [[environment]]\nname = 'production'\nrepository = 'Acme/*'\nwait_minutes = 5\n\
             [[environment]]\nname = 'production'\nrepository = 'acme/toy'\n\
             [[environment]]\nname = 'staging'\nreviewers = ['alice']\nprevent_self_review = true\none_at_a_time = true\n",
        )
        .unwrap();
        assert!(environments.is_one_at_a_time("Staging", "octo/hello"));
        assert!(!environments.is_one_at_a_time("production", "octo/hello"));
        assert!(!environments.is_one_at_a_time("elsewhere", "octo/hello"));
        let gate = |name, repository| {
            environments.gate(name, &meta(repository, MAIN), &["ada", "eve", "", "ada"]).unwrap()
        };
        let asked = |name, repository| gate(name, repository).map(|gate| (gate.approval, gate.wait_ms));
        assert_eq!(asked("PRODUCTION", "octo/hello"), Some((true, 0)));
        assert_eq!(asked("production", "acme/shop"), Some((false, 300_000)));
        assert_eq!(asked("production", "ACME/toy"), None);
        assert_eq!(asked("elsewhere", "octo/hello"), None);
        let staging = gate("staging", "").unwrap();
        assert_eq!((staging.approval, staging.expires_ms), (true, 30 * 24 * 3_600_000));
        assert_eq!(staging.reviewers, ["alice"]);
        assert_eq!(staging.barred, ["ada", "eve"]);
        assert!(gate("production", "octo/hello").unwrap().barred.is_empty());
    }

    #[test]
    fn only_the_branches_and_tags_that_are_named_may_use_it() {
        let environments = load(
            "[[environment]]\nname = 'production'\nbranches = ['main', 'release/*']\ntags = ['v*']\n\
             [[environment]]\nname = 'tags'\ntags = ['v*', '!v0*']\n",
        )
        .unwrap();
        for (name, git_ref, fits) in [
            ("production", MAIN, true),
            ("production", "refs/heads/release/1", true),
            ("production", "refs/heads/release/1/2", false),
            ("production", "refs/heads/v1", false),
            ("production", "refs/tags/v1", true),
            ("production", "refs/tags/main", false),
            ("production", "refs/pull/7/merge", false),
            ("production", "", false),
            ("tags", MAIN, false),
            ("tags", "refs/tags/v1", true),
            ("tags", "refs/tags/v0.9", false),
        ] {
            let found = environments.gate(name, &meta("o/n", git_ref), &[]);
            assert_eq!(found.is_ok(), fits, "{name} {git_ref}: {found:?}");
        }
        let told = environments.gate("Production", &meta("o/n", "refs/heads/x"), &[]).unwrap_err();
        let expected = "the environment `Production` is not for `refs/heads/x`; it is for the branches main, release/* and the tags v*";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let name = "[[environment]]\nname = 'p'\n";
        for (text, expected) in [
            ("[[environment]]\nname = ' '\n".to_owned(), "`name`: ` ` is no name"),
            (format!("[[environment]]\nname = '{}'\n", "x".repeat(256)), "at most 255 characters"),
            (format!("{name}wait_minutes = 43201\n"), "`p`: `wait_minutes` is 43201; it is from 0 to 43200"),
            (format!("{name}wait_minutes = -1\n"), "wait_minutes"),
            (format!("{name}approval = false\nreviewers = ['a']\n"), "`reviewers` means something only with"),
            (
                format!("{name}prevent_self_review = true\n"),
                "`prevent_self_review` means something only with",
            ),
            (format!("{name}reviewers = ['a', '']\n"), "`reviewers`: `` is no name"),
            (format!("{name}branches = ['[']\n"), "`p`: `branches`: the pattern `[`"),
            (format!("{name}tags = ['']\n"), "`p`: `tags`: the pattern `` is empty"),
            (format!("{name}branches = []\n"), "nothing could ever use it"),
            (format!("{name}repository = 'acme'\n"), "[[environment]]: `acme` is no repository"),
            (format!("{name}reviewer = ['a']\n"), "reviewer"),
            (format!("{name}{}", name.to_uppercase().to_lowercase()), "there are two of the name `p`"),
            (format!("{name}repository = 'a/b'\n{name}repository = 'A/b'\n"), "`p` for `a/b`"),
        ] {
            let told = load(&text).unwrap_err();
            assert!(told.contains(expected), "{text}\n{told}");
        }
    }
}
