use slipway_scheduler::command::Trust;

use super::super::{Flags, Options};
use super::*;

fn load(text: &str) -> Result<Scheduling, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    let flags = Flags { config: Some(path), data_dir: Some("/data".into()), ..Flags::default() };
    Options::load(flags).map(|options| options.scheduling).map_err(|error| error.to_string())
}

fn meta(repository: &str, event_name: &str, git_ref: &str) -> RunMeta {
    RunMeta {
        repository: repository.into(),
        forge: "github.com".into(),
        workflow_file: "ci.yml".into(),
        workflow_name: "CI".into(),
        event_name: event_name.into(),
        git_ref: git_ref.into(),
        sha: String::new(),
        actor: String::new(),
        trust: Trust::Trusted,
        traceparent: None,
        run_number: 1,
        run_attempt: 1,
    }
}

#[test]
fn the_nearest_pattern_names_the_share_and_the_first_rule_the_priority() {
    let scheduling = load(
        "[[share]]\nname = 'Everything of acme'\nrepositories = ['Acme/*']\n\
         [[share]]\nname = 'shop'\nrepositories = ['acme/shop', 'other/till']\nweight = 3\n\
         [[priority]]\nref = 'release/**'\nvalue = 50\n\
         [[priority]]\nrepository = 'acme/*'\nevent = 'schedule'\nvalue = -20\n\
         [[priority]]\nevent = 'schedule'\nvalue = -10\n",
    )
    .unwrap();
    let standing = |repository, event, git_ref, wanted| {
        let found = scheduling.standing(&meta(repository, event, git_ref), wanted);
        (found.share.unwrap_or_default(), found.weight, found.priority)
    };
    let main = "refs/heads/main";
    assert_eq!(standing("ACME/shop", "push", main, None), ("shop".into(), 3, 0));
    assert_eq!(standing("other/till", "schedule", main, None), ("shop".into(), 3, -10));
    assert_eq!(standing("acme/tools", "schedule", main, None), ("Everything of acme".into(), 1, -20));
    assert_eq!(standing("o/n", "push", "refs/heads/release/1/2", None), (String::new(), 1, 50));
    assert_eq!(standing("o/n", "push", "refs/tags/v1", Some(7)), (String::new(), 1, 7));
    assert_eq!(standing("o/n", "schedule", main, Some(0)), (String::new(), 1, 0), "who asks for 0 gets it");
}

#[test]
fn retries_are_changed_one_by_one() {
    let retry = load(
        "[retry]\nattempts = 12\n[retry.image_pull]\nattempts = 10\nfirst_wait_s = 1\n\
         [retry.agent_lost]\nattempts = 1\n",
    )
    .unwrap()
    .retry;
    assert_eq!(retry.attempts, 12);
    assert_eq!(retry.retry(FleetCause::ImagePull), RetryRule { attempts: 10, backoff_ms: 1_000 });
    assert_eq!(retry.retry(FleetCause::AgentLost), RetryRule { attempts: 1, backoff_ms: 0 });
    let untouched = FleetCause::DiskFull;
    assert_eq!(retry.retry(untouched), Rules::default().retry(untouched));
    assert_eq!(load("").unwrap(), Scheduling::default());
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let cases: [(&str, &[&str]); 17] = [
        ("[retry.image_pul]\nattempts = 1", &["[retry]", "`image_pul`", "did you mean `image_pull`?"]),
        ("[retry.weather]\nattempts = 1", &["[retry]", "`weather`", "there are agent_lost, "]),
        ("[retry.disk_full]\nattempts = 0", &["[retry]", "`disk_full.attempts` is 0", "from 1 to 50"]),
        ("[retry]\nattempts = 51", &["[retry]", "`attempts` is 51", "from 1 to 50"]),
        ("[retry.disk_full]\nfirst_wait_s = 121", &["`disk_full.first_wait_s` is 121", "at most 120"]),
        ("[retry.disk_full]\natempts = 1", &["atempts", "attempts", "first_wait_s"]),
        ("[[share]]\nname = 'a/b'\nrepositories = ['o/n']", &["[[share]]", "`a/b`", "without `/`"]),
        ("[[share]]\nname = ' '\nrepositories = ['o/n']", &["[[share]]", "is no name"]),
        ("[[share]]\nname = 'a'\nrepositories = []", &["[[share]]", "`a` has no repositories"]),
        ("[[share]]\nname = 'a'\nrepositories = ['o']", &["[[share]]", "`o`", "OWNER/*"]),
        ("[[share]]\nname = 'a'\nrepositories = ['*/n']", &["[[share]]", "`*/n`", "OWNER/*"]),
        (
            "[[share]]\nname = 'a'\nrepositories = ['o/n']\nweight = 0",
            &["weight of `a` is 0", "from 1 to 1000"],
        ),
        (
            "[[share]]\nname = 'a'\nrepositories = ['o/n']\n[[share]]\nname = 'b'\nrepositories = ['O/N']",
            &["`o/n` is in `a` and in `b`"],
        ),
        (
            "[[share]]\nname = 'a'\nrepositories = ['o/n']\n[[share]]\nname = 'A'\nrepositories = ['o/m']",
            &["two of the name `a`"],
        ),
        ("[[priority]]\nvalue = 1", &["[[priority]]", "`repository`, `event` or `ref`"]),
        ("[[priority]]\nevent = 'push'\nvalue = 101", &["`value` is 101", "from -100 to 100"]),
        ("[[priority]]\nref = '[a'\nvalue = 1", &["[[priority]]", "`ref`", "`[a`"]),
    ];
    for (text, parts) in cases {
        let error = load(text).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
}
