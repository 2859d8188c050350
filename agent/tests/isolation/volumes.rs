//! `volumes:` and `options:` of workflows: a job's own, and nothing of the machine.

use slipway_proto::v1::Result::{Failure, Success};
use slipway_workflow::job_spec::ServiceSpec;

use super::fleet::{IMAGE, job, run, text};
use super::{Scene, container, docker, expect_lines};

#[tokio::test(flavor = "multi_thread")]
async fn what_would_give_a_job_the_machine_is_refused_by_name() {
    let scene = Scene::new().await;
    for (volumes, options, named) in [
        (&["/:/host"][..], "", "--allow-volume /"),
        (&["/var/run/docker.sock:/var/run/docker.sock"], "", "--allow-volume /var/run/docker.sock"),
        (&["/home/runner/work/../../../etc:/x"], "", "--allow-volume"),
        (&["data:/x:shared"], "", "shared"),
        (&[], "--volume /:/host", "--allow-volume /"),
        (&[], "-v /var/run/docker.sock:/s", "--allow-volume"),
        (&[], "--mount type=bind,source=/,target=/x", "--mount"),
        (&[], "--volumes-from other", "--volumes-from"),
        (&[], "--network host", "--network"),
        (&[], "--network container:other", "--network"),
        (&[], "--pid host", "--pid"),
        (&[], "--ipc host", "--allow-privileged"),
        (&[], "--uts host", "--uts"),
        (&[], "--userns host", "--userns"),
        (&[], "--cgroupns host", "--cgroupns"),
        (&[], "--cgroup-parent /", "--cgroup-parent"),
        (&[], "--device /dev/kmsg", "--device"),
        (&[], "--gpus all", "--gpus"),
        (&[], "--privileged", "--allow-privileged"),
        (&[], "--cap-add ALL", "--allow-privileged"),
        (&[], "--cap-add SYS_ADMIN", "--allow-privileged"),
        (&[], "--cap-add MKNOD", "--allow-privileged"),
        (&[], "--security-opt seccomp=unconfined", "--security-opt"),
        (&[], "--security-opt systempaths=unconfined", "--security-opt"),
        (&[], "--sysctl kernel.core_pattern=x", "--sysctl"),
        (&[], "--runtime other", "--runtime"),
        (&[], "--restart always", "--restart"),
        (&[], "--oom-kill-disable", "--oom-kill-disable"),
    ] {
        let mut spec = job(vec![run("never", "echo never")]);
        spec.container = container(IMAGE, volumes, options);
        let job = scene.run(&spec).await;
        assert_eq!(job.result(), Failure, "{volumes:?} {options}");
        assert!(job.work().message.contains(named), "{volumes:?} {options}: {:?}", job.work());
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_volume_is_a_jobs_own_and_goes_with_it() {
    let scene = Scene::new().await;
    let outside = docker(&["volume", "create"]);
    let volume = format!("{outside}:/shared");
    let mut spec =
        job(vec![run("look", "ls /shared; echo mine > /shared/mine; cat /shared/served; ls -d /alone")]);
    spec.container = container(IMAGE, &[&volume, "/alone"], "");
    let mut service =
        container(IMAGE, &[&volume], "--health-cmd 'test -e /shared/served' --health-interval 200ms")
            .unwrap();
    service.image = text(IMAGE);
    spec.services = vec![ServiceSpec {
        name: "other".to_owned(),
        container: service,
        command: Some(text("-c 'echo from-service > /shared/served; exec sleep 600'")),
        entrypoint: Some(text("/bin/sh")),
    }];
    for _ in 0..2 {
        let job = scene.run(&spec).await;
        assert_eq!(job.result(), Success, "{:#?}", job.lines());
        expect_lines(&job, &["from-service", "/alone"]);
        assert!(!job.lines().iter().any(|line| line == "mine"), "of the job before: {:#?}", job.lines());
    }
    let listed = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--volume",
        &volume,
        "--entrypoint",
        "/bin/ls",
        IMAGE,
        "/shared",
    ]);
    docker(&["volume", "rm", &outside]);
    assert_eq!(listed, "", "the engine's own volume of that name was not touched");
    let mine = format!("label=slipway.agent={}", scene.place.id());
    scene.end().await;
    assert_eq!(docker(&["volume", "ls", "--quiet", "--filter", &mine]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_allows_a_folder_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "allowed\n").unwrap();
    let path = folder.path().display().to_string();
    let scene = Scene::with(&["--allow-volume", &path]).await;
    let mut spec = job(vec![run("look", "cat /x/file")]);
    spec.container = container(IMAGE, &[&format!("{path}:/x:ro")], "");
    let allowed = scene.run(&spec).await;
    assert_eq!(allowed.result(), Success, "{:#?}", allowed.lines());
    expect_lines(&allowed, &["allowed"]);
    // Below it a job could have put a link.
    for beside in [format!("{path}/file:/x"), format!("{path}/..:/x")] {
        spec.container = container(IMAGE, &[&beside], "");
        assert!(scene.run(&spec).await.work().message.contains("--allow-volume"), "{beside}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_sees_the_workspace_and_only_one_may() {
    let scene = Scene::new().await;
    let service = |name: &str| ServiceSpec {
        name: name.to_owned(),
        container: container(IMAGE, &["/home/runner/work/hello/hello/made/by:/www:ro"], "").unwrap(),
        command: Some(text("-c 'exec httpd -f -p 8080 -h /www'")),
        entrypoint: Some(text("/bin/sh")),
    };
    let script = "echo served > made/by/index.html; until wget -q -O - http://web:8080/; do sleep 0.1; done";
    let mut spec = job(vec![run("ask", script)]);
    spec.services = vec![service("web")];
    let one = scene.run(&spec).await;
    assert_eq!(one.result(), Success, "{:#?}", one.lines());
    expect_lines(&one, &["served"]);
    spec.services.push(service("second"));
    let two = scene.run(&spec).await;
    assert_eq!(two.result(), Failure);
    assert!(two.work().message.contains("only one of a job's services"), "{:?}", two.work());
    scene.end().await;
}
