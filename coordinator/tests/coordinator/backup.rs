//! Backup while busy, restore onto an empty machine, and what agents that come back find there.

use std::fs;
use std::path::{Path, PathBuf};

use slipway_coordinator::backup::{self, RESTORED_EPOCHS, RestoreError};
use slipway_coordinator::options::Options;
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, hello, line};
use crate::fixture::{Fixture, ONE_JOB};

async fn take(fixture: &Fixture) -> PathBuf {
    let answer = fixture.call(reqwest::Method::GET, "/api/v1/backup", None).await;
    assert_eq!(answer.status(), 200);
    let place = fixture.folder.path().join("backup.tar");
    fs::write(&place, answer.bytes().await.unwrap()).unwrap();
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_goes_on_with_its_agents() {
    let mut fixture = Fixture::start().await;
    let done = fixture.submit(ONE_JOB).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.upload(&lease, 1, vec![line("kept")]).await;
    agent.report(&lease, v1::Result::Success, 1).await;
    agent.accepted().await;
    let mut submission = Fixture::submission(ONE_JOB);
    submission["secrets"] = serde_json::json!({"TOKEN": "s3cret"});
    let open = fixture.submit_value(submission).await;
    let running = agent.assigned().await.lease.unwrap();
    agent.upload(&running, 1, vec![line("before")]).await;
    let listed = fixture.get("/api/v1/runs").await;

    let file = take(&fixture).await;
    let checked = backup::check(&file).unwrap();
    // What happens after it is lost with the machine.
    fixture.submit(ONE_JOB).await;
    let lost = agent.assigned().await.lease.unwrap();
    let (token, epoch) =
        (fixture.handle().agent_token.reveal().to_owned(), fixture.handle().services().driver.epoch());
    fixture.handle = None;

    let place = fixture.folder.path().join("restored/data");
    fs::create_dir_all(&place).unwrap();
    let restored = backup::restore(&file, &place).unwrap();
    assert_eq!(restored, checked);
    assert_eq!(restored.records, restored.manifest.position);
    fixture.start_again(Options::embedded(&place)).await;
    assert_eq!(fixture.handle().agent_token.reveal(), token);
    assert_eq!(fixture.handle().services().driver.epoch(), epoch + RESTORED_EPOCHS + 1);
    assert_eq!(fixture.get("/api/v1/runs").await, listed);

    // The agent presents all that it runs: what the backup knows goes on, what came after it does not.
    let held = vec![running.clone(), lost.clone()];
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, held)).await;
    assert_eq!(agent.welcome.kept, vec![running.clone()]);
    let request = v1::FetchSecretsRequest { lease: Some(running.clone()) };
    let secrets = agent.client.fetch_secrets(request).await.unwrap().into_inner();
    assert_eq!(secrets.secrets["TOKEN"], "s3cret");
    agent.upload(&running, 2, vec![line("after")]).await;
    agent.report(&running, v1::Result::Success, 2).await;
    agent.accepted().await;
    assert_eq!(fixture.finished(&open).await["result"], "success");
    let lines = |events: Vec<serde_json::Value>| {
        events.iter().filter_map(|event| event["line"].as_str().map(ToOwned::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(lines(fixture.events(&open, false).await), ["before", "after"]);
    assert_eq!(lines(fixture.events(&done, false).await), ["kept"]);
    let verified = fixture.get("/api/v1/audit/verify").await;
    assert_eq!(verified["position"], verified["end"]);
    // Of the run that the backup does not have nothing comes back.
    let new = fixture.submit(ONE_JOB).await;
    let again = agent.assigned().await.lease.unwrap();
    assert_eq!(again.attempt.unwrap().run_id, new);
    assert!(again.token.unwrap().epoch > lost.token.unwrap().epoch);
}

fn told(result: Result<backup::Restored, RestoreError>) -> String {
    result.unwrap_err().to_string()
}

fn nothing_is_left(place: &Path) {
    assert!(!place.exists());
    let parent = place.parent().unwrap();
    let left = fs::read_dir(parent).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{}", parent.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_backup_restores_nothing() {
    let fixture = Fixture::start().await;
    fixture.submit(ONE_JOB).await;
    let file = take(&fixture).await;
    let whole = fs::read(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("data");
    // A cut at any block, and a changed byte in any: the hash is over every one.
    // Its last two blocks say only that nothing follows.
    let blocks = whole.len() / 512 - 2;
    for at in (0..blocks).step_by((blocks / 40).max(1)) {
        fs::write(&file, &whole[..at * 512]).unwrap();
        let error = told(backup::restore(&file, &place));
        assert!(error.contains("is no whole backup"), "cut at block {at}: {error}");
        nothing_is_left(&place);
    }
    let content = whole.windows(7).position(|part| part == b"version").unwrap();
    let mut changed = whole.clone();
    changed[content] ^= 1;
    fs::write(&file, &changed).unwrap();
    assert!(told(backup::restore(&file, &place)).contains("is no whole backup"));
    nothing_is_left(&place);

    let newer = String::from_utf8_lossy(&whole).find("\"format\": 1").unwrap();
    changed = whole.clone();
    changed[newer + 10] = b'7';
    fs::write(&file, &changed).unwrap();
    assert!(told(backup::restore(&file, &place)).contains("format 7, this build reads"), "a newer one");
    nothing_is_left(&place);

    fs::write(&file, &whole).unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(place.join("journal.db"), "mine").unwrap();
    assert!(told(backup::restore(&file, &place)).contains("is not empty"));
    assert_eq!(fs::read(place.join("journal.db")).unwrap(), b"mine");
    assert!(told(backup::check(&folder.path().join("none"))).contains("none"));
}
