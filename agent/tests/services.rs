//! Service containers beside a job's container, on a real engine.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::io::{Read as _, Write as _};

use fleet::coordinator::FakeCoordinator;
use fleet::{IMAGE, Place, Process, entry, job, run, text};
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::{Failure, Success};
use slipway_workflow::job_spec::{ContainerSpec, ServiceSpec};

/// A web server that serves its environment variable `GREETING`.
const SERVE: &str =
    r#"-c 'echo started; mkdir -p /www; echo "$GREETING" > /www/index.html; exec httpd -f -p 8080 -h /www'"#;

fn service(name: &str, image: &str, options: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        container: ContainerSpec {
            image: text(image),
            env: vec![entry("GREETING", "hello from ${{ github.repository }}")],
            ports: vec![text("8080")],
            volumes: Vec::new(),
            options: (!options.is_empty()).then(|| text(options)),
            credentials: None,
        },
        command: Some(text(SERVE)),
        entrypoint: Some(text("/bin/sh")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_healthy_before_the_first_step_and_reached_by_name_and_port() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![
        run("name", "wget -q -O - http://web:8080/ && wget -q -O - http://other:8080/"),
        run("port", "echo port=${{ job.services.web.ports['8080'] }}"),
        run("local", "wget -q -O - http://localhost:${{ job.services.web.ports['8080'] }}/"),
        run("wait", "echo ready; sleep 1"),
        run("context", "test -n \"${{ job.services.web.id }}\" -a -n \"${{ job.services.web.network }}\""),
        run("none", "echo none=${{ job.services.absent.id }}."),
    ]);
    let check = "--health-cmd \"wget -q -O - http://127.0.0.1:8080/\" --health-interval 1s --name other";
    spec.services = vec![service("web", IMAGE, check), service("absent", "${{ '' }}", "")];
    let host_port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    spec.services[0].container.ports = vec![text(&format!("127.0.0.1:{host_port}:8080"))];
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "ready").await;
    let mut answer = String::new();
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", host_port)).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello from octo/hello\n"), "{answer}");
    let job = coordinator.report(&instance).await;
    let lines = job.lines();
    let told = lines.join("\n");
    assert_eq!(job.result(), Success, "{told}");
    assert_eq!(lines.iter().filter(|line| *line == "hello from octo/hello").count(), 3, "{told}");
    for line in ["Service web is healthy.", "none=.", "Service container logs: web", "started"] {
        assert!(lines.iter().any(|found| found == line), "`{line}` is not in\n{told}");
    }
    assert!(lines.contains(&format!("port={host_port}")), "{told}");
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.containers(), Vec::<String>::new());
    assert_eq!(place.networks(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_healthy_fails_the_job_and_shows_its_output() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![run("never", "echo reached")]);
    spec.services =
        vec![service("web", IMAGE, "--health-cmd 'exit 1' --health-interval 100ms --health-retries 2")];
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    let told = job.lines().join("\n");
    assert_eq!(job.result(), Failure, "{told}");
    assert!(job.work().message.contains("service `web` is not healthy"), "{}", job.work().message);
    assert!(told.contains("Service container logs: web\nstarted"), "{told}");
    assert!(!told.contains("reached"), "{told}");
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.containers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_outlive_their_agent_and_end_with_their_job() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let mut spec = job(vec![
        run("before", "echo id=${{ job.services.web.id }}; echo ready; sleep 2"),
        run("after", "echo id=${{ job.services.web.id }}; wget -q -O - http://web:8080/"),
    ]);
    spec.services = vec![service("web", IMAGE, "--health-cmd true --health-interval 100ms")];
    let first = Process::start(&place);
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "ready").await;
    drop(first);
    assert_eq!(place.containers().len(), 2);
    let handle = place.start().await;
    let job = coordinator.report(&instance).await;
    let lines = job.lines();
    assert_eq!(job.result(), Success, "{lines:?}");
    let ids: Vec<&String> = lines.iter().filter(|line| line.starts_with("id=")).collect();
    assert!(matches!(ids.as_slice(), [one, two] if one == two && one.len() > 3), "{ids:?}");
    assert!(lines.iter().any(|line| line == "hello from octo/hello"), "{lines:?}");
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.containers(), Vec::<String>::new());
    assert_eq!(place.networks(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_while_it_waits_for_a_service_starts_it_again() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let mut spec = job(vec![run("step", "echo reached")]);
    // Healthy after its first check, which comes late enough for the kill.
    spec.services = vec![service("web", IMAGE, "--health-cmd true --health-interval 3s")];
    let first = Process::start(&place);
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "Service web is starting; waiting for its health check.").await;
    drop(first);
    let handle = place.start().await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Success, "{:?}", job.lines());
    assert!(job.lines().iter().any(|line| line == "reached"));
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.containers(), Vec::<String>::new());
    assert_eq!(place.networks(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_service_are_refused_by_name() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![run("never", "echo reached")]);
    spec.services = vec![service("web", IMAGE, "--network host")];
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Failure);
    let message = &job.work().message;
    assert!(message.contains("service `web`") && message.contains("`--network`"), "{message}");
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
}
