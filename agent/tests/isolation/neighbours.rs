//! Two jobs on one agent at the same time: neither finds the other.

use std::process::Command;

use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::ServiceSpec;

use super::fleet::{IMAGE, job, run, text};
use super::{Scene, container, docker, expect_lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_reaches_another_neither_by_address_nor_by_name_nor_by_its_ports() {
    let scene = Scene::new().await;
    let serve = "-c 'mkdir /w; echo secret-of-a-neighbour > /w/index.html; exec httpd -f -p 8080 -h /w'";
    let mut service = container(IMAGE, &[], "--name database").unwrap();
    service.ports = vec![text("8080")];
    let mut victim = job(vec![run(
        "serve",
        "echo port=${{ job.services.web.ports['8080'] }}; echo here; while [ ! -e /tmp/go ]; do sleep 1; done",
    )]);
    victim.container = container(IMAGE, &[], "--hostname victim --tmpfs /tmp");
    victim.services = vec![ServiceSpec {
        name: "web".to_owned(),
        container: service,
        command: Some(text(serve)),
        entrypoint: Some(text("/bin/sh")),
    }];
    let victim_instance = scene.coordinator.assign(&victim).await;
    scene.coordinator.line(&victim_instance, "here").await;
    let ids = scene.place.containers();
    let inspect = |id: &str, what: &str| docker(&["inspect", "--format", what, id]);
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let addresses: Vec<String> = ids.iter().map(|id| inspect(id, address)).collect();
    let names: Vec<String> =
        ids.iter().map(|id| inspect(id, "{{.Name}}").trim_start_matches('/').to_owned()).collect();
    let ports: Vec<String> = ids
        .iter()
        .map(|id| {
            inspect(id, "{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{.HostPort}}{{end}}{{end}}")
        })
        .collect();
    let port = ports.iter().find(|port| !port.is_empty()).unwrap();
    let port = port.strip_prefix("127.0.0.1 ").expect("ports of jobs are the machine's own");
    // The machine itself reaches it, so that there is something to reach.
    let url = format!("http://127.0.0.1:{port}/");
    let seen = Command::new("curl").args(["--silent", "--max-time", "10", &url]).output().unwrap();
    assert_eq!(seen.stdout, b"secret-of-a-neighbour\n");

    let mut tries = String::from("gateway=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')\n");
    let targets = addresses.iter().chain(&names).map(String::as_str).chain(["web", "database", "victim"]);
    for target in targets {
        tries += &format!("timeout 2 wget -q -O - http://{target}:8080/ 2>/dev/null || true\n");
    }
    // By the machine's address in the job's network, and in the neighbour's.
    let other_gateway = inspect(&ids[0], "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}");
    for machine in ["$gateway", &other_gateway, "127.0.0.1"] {
        tries += &format!("timeout 2 wget -q -O - http://{machine}:{port}/ 2>/dev/null || true\n");
    }
    // Its own web server it reaches: the way it asks is a good one.
    tries += "mkdir w; echo own-answer > w/index.html; httpd -p 8081 -h w; timeout 2 wget -q -O - http://127.0.0.1:8081/";
    let attacker = scene.run(&job(vec![run("reach", &tries)])).await;
    assert_eq!(attacker.result(), Success, "{:#?}", attacker.lines());
    expect_lines(&attacker, &["own-answer"]);
    assert!(
        !attacker.lines().iter().any(|line| line.contains("secret-of-a-neighbour")),
        "{:#?}",
        attacker.lines()
    );

    scene.coordinator.cancel(&victim_instance).await;
    scene.coordinator.report(&victim_instance).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sees_no_folder_of_another_and_the_machines_users_see_none() {
    let scene = Scene::new().await;
    let victim = job(vec![run("keep", "echo own > mark; echo here; sleep 600")]);
    let victim = scene.coordinator.assign(&victim).await;
    scene.coordinator.line(&victim, "here").await;
    let data = scene.place.folder.path().join("data").display().to_string();
    let look = format!(
        "ls {data} /var/lib/slipway-agent /proc/1/root{data} 2>/dev/null || true; find / -xdev -name mark 2>/dev/null || true; ls /home/runner/work; echo looked"
    );
    let job = scene.run(&job(vec![run("look", &look)])).await;
    expect_lines(&job, &["looked"]);
    assert!(!job.lines().iter().any(|line| line.ends_with("/mark") || line == "jobs"), "{:#?}", job.lines());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(format!("{data}/jobs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "a setuid program of a job is of no use to others");
    scene.coordinator.cancel(&victim).await;
    scene.coordinator.report(&victim).await;
    scene.end().await;
}
