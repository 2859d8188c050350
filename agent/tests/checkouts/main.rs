//! What an agent keeps of repositories: mirrors and ready trees change how soon a checkout is there, and nothing of what it is.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod agents;
#[path = "../fleet/mod.rs"]
mod fleet;
mod scene;

use std::sync::atomic::Ordering;
use std::time::Duration;

use scene::{MANY, Scene, git};
use slipway_agent::checkout::CheckoutError;
use slipway_agent::checkout::kept::Kept;
use slipway_agent::disk::DiskState;
use slipway_agent::limits::MIRRORS_MAX;
use slipway_kit::shutdown::Stage;

/// `x-access-token:s3cret`, as forges take tokens.
const BASIC: &str = "basic eC1hY2Nlc3MtdG9rZW46czNjcmV0";

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_from_a_mirror_is_as_one_from_the_server() {
    let scene = Scene::new(0);
    scene.write("gone", "1\n");
    scene.write("file", "1\n");
    scene.write("folder/inner", "same\n");
    let first = scene.commit("one");
    scene.compare(&first, &[]).await;
    // Changed, gone, new, another mode, a link in a file's place.
    scene.write("file", "2\n");
    std::fs::remove_file(scene.origin().join("gone")).unwrap();
    std::os::unix::fs::symlink("file", scene.origin().join("gone")).unwrap();
    scene.write("bin/tool", "#!/bin/sh\n");
    git(&scene.origin(), &["add", "bin/tool"]);
    git(&scene.origin(), &["update-index", "--chmod=+x", "bin/tool"]);
    git(&scene.origin(), &["tag", "-a", "v1", "-m", "a tag", &first]);
    git(&scene.origin(), &["branch", "side"]);
    let second = scene.commit("two");
    for sha in [&second, &first, &second] {
        scene.compare(sha, &[]).await;
    }
    for with in [
        &[("ref", "v1")][..],
        &[("ref", "side")],
        &[("fetch-depth", "2")],
        &[("fetch-depth", "0")],
        &[("fetch-tags", "true")],
        &[("path", "below")],
        &[("sparse-checkout", "folder\n")],
    ] {
        // For the second time it is kept.
        for _ in 0..2 {
            scene.compare(&second, with).await;
        }
    }
    // A branch and a tag that are gone at the server are gone here.
    git(&scene.origin(), &["branch", "-D", "side"]);
    git(&scene.origin(), &["tag", "-d", "v1"]);
    let third = scene.commit("three");
    scene.compare(&third, &[("fetch-depth", "0")]).await;
    let (_, _, refused) = scene.try_checkout(&scene.kept, &third, &[("ref", "side")]).await;
    assert!(matches!(&refused, Err(CheckoutError::Step(message)) if message.contains("side")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_does_to_its_checkout_reaches_no_other() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let commit = scene.commit("one");
    let (workspace, _) = scene.checkout(&commit, &[]).await;
    // As the job's user could: it owns the files.
    for pack in std::fs::read_dir(workspace.join(".git/objects/pack")).unwrap() {
        std::fs::write(pack.unwrap().path(), "nothing").unwrap();
    }
    std::fs::write(workspace.join(".git/config"), "[core]\n\tfsmonitor = touch /tmp/never\n").unwrap();
    scene.compare(&commit, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_a_repository_gets_nothing_of_its_mirror() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let commit = scene.commit("one");
    *scene.token.lock().unwrap() = BASIC.to_owned();
    let (_trigger, _disk) = scene.keep();
    scene.checkout(&commit, &[("token", "s3cret")]).await;
    scene.until_ready(&commit).await;
    for with in [&[("token", "other")][..], &[]] {
        let (workspace, said, refused) = scene.try_checkout(&scene.kept, &commit, with).await;
        assert!(
            matches!(&refused, Err(CheckoutError::Step(message)) if message.contains("`token`")),
            "{refused:?}"
        );
        assert_eq!(std::fs::read_dir(workspace).unwrap().count(), 0, "{said:#?}");
    }
    // The token of one is nothing that another finds.
    let (workspace, said) =
        scene.checkout(&commit, &[("token", "s3cret"), ("persist-credentials", "false")]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
    assert!(!std::fs::read_to_string(workspace.join(".git/config")).unwrap().contains("AUTHORIZATION"));
    for mirror in scene.mirrors() {
        assert!(!std::fs::read_to_string(mirror.join("config")).unwrap().contains("AUTHORIZATION"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_tree_is_as_one_from_the_server_and_is_made_anew_when_it_was_taken() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{}/{number}", number % 7), "x\n"));
    let first = scene.commit("one");
    let (_trigger, disk) = scene.keep();
    let said = scene.compare(&first, &[]).await;
    assert!(!said.iter().any(|line| line.contains("checked out already")), "{said:#?}");
    scene.until_ready(&first).await;
    let said = scene.compare(&first, &[]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
    // It goes on from one commit to another, whatever changed: a folder in a file's place, a link in a folder's.
    scene.until_ready(&first).await;
    std::fs::remove_file(scene.origin().join("many/0/0")).unwrap();
    scene.write("many/0/0/now-a-folder", "y\n");
    std::fs::remove_dir_all(scene.origin().join("many/1")).unwrap();
    std::os::unix::fs::symlink("/etc", scene.origin().join("many/1")).unwrap();
    let second = scene.commit("two");
    let said = scene.compare(&second, &[]).await;
    assert!(said.iter().any(|line| line.contains("going on to what is wanted")), "{said:#?}");
    scene.until_ready(&second).await;
    let said = scene.compare(&second, &[("ref", "refs/heads/main")]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
    // Nothing is kept while the disk is low.
    scene.until_ready(&second).await;
    disk.send_replace(DiskState { paused: Some("low disk".to_owned()), ..DiskState::default() });
    for _ in 0..600 {
        if scene.ready().is_empty() && scene.mirrors().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((scene.ready(), scene.mirrors()), (Vec::new(), Vec::new()));
    scene.compare(&second, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_tree_of_an_older_commit_gives_way_to_one_of_the_newest() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let first = scene.commit("one");
    let (_trigger, _disk) = scene.keep();
    scene.checkout(&first, &[]).await;
    scene.until_ready(&first).await;
    // As if it had been made while this checkout was under way: it is put back after it was taken.
    let tree = scene.ready().pop().unwrap();
    let aside = scene.folder.path().join("aside");
    std::fs::rename(&tree, &aside).unwrap();
    scene.write("new", "y\n");
    let second = scene.commit("two");
    scene.checkout(&second, &[]).await;
    std::fs::rename(&aside, &tree).unwrap();
    scene.until_ready(&second).await;
    let said = scene.compare(&second, &[]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_damaged_or_in_the_way_is_made_anew() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let first = scene.commit("one");
    scene.checkout(&first, &[]).await;
    scene.write("file", "2\n");
    let second = scene.commit("two");
    let mirror = scene.mirrors().pop().unwrap();
    // What a git that was killed leaves.
    for lock in ["shallow.lock", "config.lock", "packed-refs.lock"] {
        std::fs::write(mirror.join(lock), "").unwrap();
    }
    let said = scene.compare(&second, &[]).await;
    assert!(!said.iter().any(|line| line.contains("without what is kept")), "{said:#?}");
    for pack in std::fs::read_dir(mirror.join("objects/pack")).unwrap() {
        let pack = pack.unwrap().path();
        std::fs::remove_file(&pack).unwrap();
        std::fs::write(pack, "nothing").unwrap();
    }
    scene.compare(&second, &[]).await;
    let _ = std::fs::remove_dir_all(&mirror);
    std::fs::write(&mirror, "no folder").unwrap();
    scene.compare(&second, &[]).await;
    assert!(scene.mirrors().iter().all(|mirror| mirror.is_dir()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_keeps_mirrors_and_no_old_trees() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let commit = scene.commit("one");
    let (trigger, _disk) = scene.keep();
    scene.checkout(&commit, &[]).await;
    scene.until_ready(&commit).await;
    trigger.raise(Stage::Drain);
    let before = scene.asked.load(Ordering::SeqCst);
    let again = Kept::open(&scene.folder.path().join("data"), 1);
    assert_eq!((scene.ready(), scene.mirrors().len()), (Vec::new(), 1));
    let (workspace, said, done) = scene.try_checkout(&again, &commit, &[]).await;
    assert_eq!(done.unwrap(), Some(commit), "{said:#?}");
    assert!(workspace.join("many/0").exists());
    assert!(scene.asked.load(Ordering::SeqCst) > before, "the server is asked each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_mirrors_stay_than_may_and_the_last_used_do() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let commit = scene.commit("one");
    let mirrors = scene.folder.path().join("data/checkouts/mirrors");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3_600);
    for number in 0..MIRRORS_MAX + 3 {
        let old = mirrors.join(format!("old-{number}"));
        std::fs::create_dir_all(&old).unwrap();
        std::fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();
    }
    let (_trigger, _disk) = scene.keep();
    scene.checkout(&commit, &[]).await;
    for _ in 0..600 {
        if scene.mirrors().len() == MIRRORS_MAX {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.mirrors().len(), MIRRORS_MAX);
    assert!(scene.mirrors().iter().any(|mirror| mirror.join("HEAD").is_file()), "the one in use stays");
}
