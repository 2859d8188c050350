//! Docker actions get folders that the job may replace by links at any time, and are built by the engine.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use slipway_agent::docker::folders::{Folder, are_mounted};
use slipway_proto::v1::Result::{Failure, Success};

use super::fleet::{IMAGE, job, run};
use super::{Scene, docker, expect_lines, uses};

/// Writes `act/` with a Docker action of this Dockerfile into the workspace.
fn action(dockerfile: &str) -> String {
    format!(
        "mkdir -p act\ncat > act/action.yml <<'END'\nname: act\nruns: {{ using: docker, image: Dockerfile }}\nEND\n\
         cat > act/Dockerfile <<'END'\n{dockerfile}\nEND"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_a_folder_does_not_lead_an_action_to_the_machine() {
    let scene = Scene::new().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("machine-secret"), "x").unwrap();
    let image = format!("docker://{IMAGE}");
    for (folder, at) in [
        ("$RUNNER_TEMP/_github_home", "/github/home"),
        ("$RUNNER_TEMP", "/github/runner_temp"),
        ("$GITHUB_WORKSPACE", "/github/workspace"),
        ("$GITHUB_WORKSPACE/..", "/github/workspace"),
    ] {
        let real = format!("$(cd \"{folder}\" && pwd -P)");
        let swap = format!(
            "real={real}; cd /; mv \"$real\" \"$real.away\"; ln -s {} \"$real\"; ls \"$real\" || true",
            outside.path().display()
        );
        let look = uses("look", &image, &[("args", &format!("/bin/ls {at} {at}/hello"))]);
        let job = scene.run(&job(vec![run("swap", &swap), look])).await;
        assert_eq!(job.result(), Failure, "{folder}: {:#?}", job.lines());
        assert!(!job.lines().iter().any(|line| line == "machine-secret"), "{folder}: {:#?}", job.lines());
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was made there");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_never_sees_the_machine_however_fast_the_job_swaps_a_folder() {
    let scene = Scene::new().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("machine-secret"), "x").unwrap();
    let swap = format!(
        "cd $RUNNER_TEMP; (while [ -d _github_home -o -L _github_home ]; do rmdir _github_home; ln -s {} _github_home; \
         rm _github_home; mkdir _github_home; done >/dev/null 2>&1) & echo swapping",
        outside.path().display()
    );
    let look = |number: usize| {
        let mut step =
            uses(&format!("look{number}"), &format!("docker://{IMAGE}"), &[("args", "/bin/ls /github/home")]);
        step.continue_on_error = Some(super::text("true"));
        step
    };
    let steps = std::iter::once(run("swap", &swap)).chain((0..4).map(look)).collect();
    let job = scene.run(&job(steps)).await;
    expect_lines(&job, &["swapping"]);
    assert_eq!(job.result(), Success, "{:#?}", job.lines());
    assert!(!job.lines().iter().any(|line| line == "machine-secret"), "{:#?}", job.lines());
    assert!(std::fs::read(outside.path().join("machine-secret")).is_ok());
    scene.end().await;
}

#[test]
fn what_was_mounted_is_compared_with_what_was_meant() {
    super::fleet::want_image();
    let place = tempfile::tempdir().unwrap();
    let work = place.path().join("wo rk");
    for path in ["a/b", "c"] {
        std::fs::create_dir_all(work.join(path)).unwrap();
    }
    let folder = |inside: &str, at: &str| Folder::of_job(&work, Path::new(inside), at).unwrap();
    let meant = [folder("a/b", "/one"), folder("c", "/two")];
    std::fs::rename(work.join("a"), work.join("away")).unwrap();
    assert!(Folder::of_job(&work, Path::new("a/b"), "/one").is_err());
    let start = |sources: [&Path; 2]| {
        let mount = |source: &Path, at: &str| format!("type=bind,source={},target={at}", source.display());
        let mounts = [mount(sources[0], "/one"), mount(sources[1], "/two")];
        let arguments =
            ["run", "--detach", "--network", "none", "--mount", &mounts[0], "--mount", &mounts[1]];
        docker(&[&arguments[..], &["--entrypoint", "/bin/sleep", IMAGE, "600"]].concat())
    };
    let (b, c) = (work.join("a/b"), work.join("c"));
    std::fs::create_dir_all(work.join("another/b")).unwrap();
    let look = |sources: [&Path; 2]| {
        let id = start(sources);
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &id]).parse().unwrap();
        let found = are_mounted(&meant, pid);
        docker(&["rm", "--force", &id]);
        found.unwrap()
    };
    // Through a link, to a folder with the same end of its path.
    std::os::unix::fs::symlink("another", work.join("a")).unwrap();
    assert!(!look([&b, &c]));
    std::fs::remove_file(work.join("a")).unwrap();
    std::fs::rename(work.join("away"), work.join("a")).unwrap();
    assert!(look([&b, &c]));
    assert!(!look([&c, &c]), "one does not stand for another");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_cannot_put_its_own_program_in_the_place_of_init() {
    let scene = Scene::new().await;
    // The job's home folder is mounted where init is, as far as an image can know.
    let image = format!("slipway-agent-test:links-{}", std::process::id());
    build(&image, &format!("FROM {IMAGE}\nRUN mkdir /github && ln -s /.slipway /github/home"));
    let plant = "cd $RUNNER_TEMP/_github_home; printf '#!/bin/sh\necho owned > /github/workspace/owned\n' > init; chmod 755 init";
    let act = uses("act", &format!("docker://{image}"), &[("entrypoint", "/bin/echo"), ("args", "acted")]);
    let look = super::fleet::when("always()", run("look", "test ! -e owned && echo not-owned"));
    let job = scene.run(&job(vec![run("plant", plant), act, look])).await;
    docker(&["image", "rm", &image]);
    expect_lines(&job, &["not-owned"]);
    scene.end().await;
}

/// Builds an image with the engine's own builder.
fn build(image: &str, dockerfile: &str) {
    let mut build = Command::new("docker");
    build.args(["build", "--quiet", "--tag", image, "-"]).env("DOCKER_BUILDKIT", "0").stdin(Stdio::piped());
    let mut building = build.stdout(Stdio::null()).spawn().unwrap();
    building.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
    assert!(building.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_fetches_nothing_for_a_dockerfile_where_code_may_be_from_outside() {
    let scene = Scene::with(&["--accept-untrusted"]).await;
    // A service of the machine alone.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    for dockerfile in [
        format!("FROM {IMAGE}\nADD http://{address}/secret /secret\nENTRYPOINT [\"/bin/cat\", \"/secret\"]"),
        format!("FROM {IMAGE} AS a\nONBUILD ADD http://{address}/secret /secret\nFROM a"),
        format!("FROM {IMAGE}\nENV A=http://{address}\nADD $A/secret /secret"),
    ] {
        let job = scene.run(&job(vec![run("write", &action(&dockerfile)), uses("use", "./act", &[])])).await;
        assert_eq!(job.result(), Failure, "{:#?}", job.lines());
        let told = job.lines().iter().any(|line| line.contains("--accept-untrusted"));
        assert!(told, "{:#?}", job.lines());
    }
    // An image that does so when another is made from it.
    let base = format!("slipway-agent-test:onbuild-{}", std::process::id());
    build(&base, &format!("FROM {IMAGE}\nONBUILD ADD http://{address}/secret /secret"));
    let job = scene
        .run(&job(vec![run("write", &action(&format!("FROM {base}"))), uses("use", "./act", &[])]))
        .await;
    docker(&["image", "rm", &base]);
    assert!(job.lines().iter().any(|line| line.contains("ONBUILD")), "{:#?}", job.lines());
    let asked = server.accept();
    assert!(asked.is_err(), "the engine asked: {asked:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dockerfile_runs_is_in_the_jobs_network() {
    let scene = Scene::new().await;
    // Otherwise an image of an earlier run would do.
    let once = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let dockerfile = format!(
        "FROM {IMAGE}\nRUN echo {once} && ip -4 addr show > /addresses\nENTRYPOINT [\"/bin/cat\", \"/addresses\"]"
    );
    let job = scene.run(&job(vec![run("write", &action(&dockerfile)), uses("use", "./act", &[])])).await;
    assert_eq!(job.result(), Success, "{:#?}", job.lines());
    assert!(job.lines().iter().any(|line| line.contains("inet 10.84.")), "{:#?}", job.lines());
    scene.end().await;
}
