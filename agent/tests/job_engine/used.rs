//! What workflows do with Docker works in a job's own engine.

use std::process::Command;

use slipway_workflow::job_spec::ServiceSpec;

use super::fleet::{IMAGE, job, run, text};
use super::{BOX, Scene, container, expect_lines};

fn docker(arguments: &[&str]) -> String {
    let done = Command::new("docker").args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Builds an image from a Dockerfile and runs it with the workspace; reaches it and a service.
const WORK: &str = r#"
echo host=$DOCKER_HOST
echo of the job > given
printf 'FROM box\nRUN echo built > /made\nCOPY given /given\n' > Dockerfile
docker build --quiet --tag app . > /dev/null
docker run --rm --volume "$GITHUB_WORKSPACE":/w app sh -c 'cat /made /given /w/given; id -u > /w/inside'
echo user=$(cat inside)
rm inside
docker run --detach --name web --publish 8080:80 app sh -c 'mkdir /h; echo served > /h/index.html; exec httpd -f -p 80 -h /h' > /dev/null
for i in $(seq 100); do timeout 5 wget -q -O - http://localhost:8080/ 2>/dev/null && break; sleep 0.1; done
docker run --rm box sh -c 'timeout 20 wget -q -O - http://db:8081/'
docker network create inner > /dev/null
docker run --detach --network inner --name other box sh -c 'mkdir /h; echo asked > /h/index.html; exec httpd -f -p 8082 -h /h' > /dev/null
docker run --rm --network inner box sh -c 'for i in $(seq 50); do timeout 5 wget -q -O - http://other:8082/ && break; sleep 0.1; done'
docker volume create kept > /dev/null
docker ps --quiet | wc -l | sed 's/^/running=/'
docker run --rm --volume /var/run/docker.sock:/s box ls -l /s | cut -c 1
"#;

const SEEN: [&str; 10] = [
    "host=unix:///var/run/docker.sock",
    "built",
    "of the job",
    "user=0",
    "served",
    "of the service",
    "asked",
    "running=2",
    "s",
    "after",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_job_builds_and_runs_images_and_leaves_nothing() {
    let scene = Scene::with(&[]).await;
    let mut spec = job(vec![
        run("box", BOX),
        run("work", WORK),
        run("after", "docker image inspect app >/dev/null && echo after"),
    ]);
    spec.services = vec![ServiceSpec {
        name: "db".to_owned(),
        container: slipway_workflow::job_spec::ContainerSpec {
            image: text(IMAGE),
            options: None,
            ..container(&[]).unwrap()
        },
        command: Some(text(
            "-c 'mkdir /w; echo of the service > /w/index.html; exec httpd -f -p 8081 -h /w'",
        )),
        entrypoint: Some(text("/bin/sh")),
    }];
    let done = scene.run(&spec).await;
    expect_lines(&done, &SEEN);
    // Another job of the same agent begins with nothing.
    let done = scene
        .run(&job(vec![run("look", "docker images --quiet | wc -l; docker ps --all --quiet | wc -l")]))
        .await;
    expect_lines(&done, &["0"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_job_whose_user_is_root_shares_its_workspace_with_its_engine() {
    let scene = Scene::with(&[]).await;
    let work = "echo of the job > given; mkdir inner; docker run --rm --volume \"$GITHUB_WORKSPACE\":/w box \
                sh -c 'cat /w/given; echo more >> /w/given; echo made > /w/inner/made; id -u'\n\
                cat inner/made given; echo again >> inner/made; rm -r inner; docker run --rm --volume /data:/data box cat /data/kept";
    let mut spec =
        job(vec![run("box", BOX), run("keep", "echo from the volume > /data/kept"), run("work", work)]);
    // What such jobs ask for on GitHub they have anyway.
    spec.container = container(&["/var/run/docker.sock:/var/run/docker.sock", "shared:/data"]);
    let done = scene.run(&spec).await;
    expect_lines(&done, &["of the job", "0", "made", "more", "from the volume"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_for_a_job_that_asks_for_no_engine() {
    let scene = Scene::with(&[]).await;
    let wait = job(vec![run("wait", "echo here; until [ -e go ]; do sleep 0.1; done")]);
    let instance = scene.coordinator.assign(&wait).await;
    scene.coordinator.line(&instance, "here").await;
    let containers = scene.place.containers();
    let engines: Vec<_> = containers
        .iter()
        .filter(|id| docker(&["inspect", "--format", "{{.Name}}", id]).ends_with("-engine"))
        .collect();
    assert_eq!((containers.len(), engines.len()), (2, 1));
    let processes = docker(&["top", engines[0], "-o", "pid,comm"]);
    assert_eq!(processes.lines().count(), 2, "a title and init: {processes}");
    scene.coordinator.cancel(&instance).await;
    scene.coordinator.report(&instance).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_wait_for_jobs_have_their_engines() {
    let scene = Scene::warm(1, &[]).await;
    let use_it = job(vec![run(
        "use",
        &format!(
            "{BOX}echo in $(hostname)\ndocker run --rm --volume \"$PWD\":/w box sh -c 'echo run > /w/ran'\ncat ran"
        ),
    )]);
    let first = scene.run(&use_it).await;
    expect_lines(&first, &["run"]);
    let own = format!("label=slipway.agent={}", scene.place.id());
    let waiting = || docker(&["ps", "--quiet", "--filter", &own, "--filter", "name=slipway-waiting-"]);
    let there = loop {
        let there = waiting();
        // Its own and its engine's.
        if there.lines().count() == 2 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            break there;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let second = scene.run(&use_it).await;
    expect_lines(&second, &["run"]);
    let lines = second.lines();
    let host = lines.iter().find_map(|line| line.strip_prefix("in ")).unwrap();
    assert!(there.lines().any(|id| id == host), "{host} is not one of {there}");
    scene.end().await;
}
