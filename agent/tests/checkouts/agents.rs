//! Whole agents: what one job left is there for the next, and code comes while an image does.

use std::time::Duration;

use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::Source;

use crate::fleet::coordinator::FakeCoordinator;
use crate::fleet::{self, Place, job, run};
use crate::scene::{MANY, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_job_of_an_agent_finds_its_checkout_ready() {
    let scene = Scene::new(0);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let commit = scene.commit("one");
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![
        fleet::checkout(&[]),
        run("look", "ls many | wc -l; stat -c %u many/7; echo mine > many/7; cat .git/HEAD"),
    ]);
    spec.source = Source::Git {
        clone_url: scene.server.clone_url("octo/hello"),
        repository: "octo/hello".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: commit,
    };
    let ready = place.folder.path().join("data/checkouts/ready");
    for round in 0..3 {
        let instance = coordinator.assign(&spec).await;
        let done = coordinator.report(&instance).await;
        let lines = done.lines();
        assert_eq!(done.result(), Success, "{lines:#?}");
        for line in ["1200", "1001", "ref: refs/heads/main"] {
            assert!(lines.iter().any(|found| found == line), "`{line}` is not in {lines:#?}");
        }
        let was_ready = lines.iter().any(|line| line.contains("is checked out already"));
        assert_eq!(was_ready, round > 0, "{round}: {lines:#?}");
        for _ in 0..600 {
            if std::fs::read_dir(&ready).is_ok_and(|mut trees| trees.next().is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.jobs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_fetched_while_the_image_is_pulled() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let commit = scene.commit("one");
    // A registry that says nothing until the test is over.
    let registry = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = format!("{}/never:1", registry.local_addr().unwrap());
    let (pulled, mut pulls) = tokio::sync::mpsc::channel(16);
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = registry.accept().await {
            held.push(connection);
            let _ = pulled.try_send(());
        }
    });
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![fleet::checkout(&[])]);
    spec.container = Some(slipway_workflow::job_spec::ContainerSpec {
        image: fleet::text(&image),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        credentials: None,
    });
    spec.source = Source::Git {
        clone_url: scene.server.clone_url("octo/hello"),
        repository: "octo/hello".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: commit.clone(),
    };
    let instance = coordinator.assign(&spec).await;
    pulls.recv().await.unwrap();
    let there = || {
        let mirrors = std::fs::read_dir(place.folder.path().join("data/checkouts/mirrors"));
        let mut mirrors = mirrors.into_iter().flatten().flatten();
        mirrors.any(|mirror| mirror.path().join("refs/kept").join(&commit).exists())
    };
    for _ in 0..600 {
        if there() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(there(), "{commit} never came while the image was pulled");
    coordinator.cancel(&instance).await;
    silent.abort();
    coordinator.report(&instance).await;
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.jobs(), 0);
}
