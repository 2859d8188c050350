//! The machine's engine in jobs, and machines that let no private one run.

use slipway_agent::agent::Agent;
use slipway_agent::options::{Arguments, Options};

use super::fleet::coordinator::FakeCoordinator;
use super::fleet::{Place, job, run};
use super::{container, expect_lines, image};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_reach_the_machines_engine_where_an_admin_says_so() {
    image::want();
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    place.arguments.extend(["--job-engine", "machine", "--default-image", image::IMAGE].map(str::to_owned));
    let at = place.arguments.iter().position(|argument| argument == "--default-image").unwrap();
    place.arguments.drain(at..at + 2);
    let handle = place.start().await;
    // It sees its own container among the machine's.
    let look = "docker ps --no-trunc --quiet | grep -c $(hostname) | sed 's/^/me=/'";
    let mut spec = job(vec![run("look", look)]);
    spec.container = container(&["/var/run/docker.sock:/var/run/docker.sock"]);
    let instance = coordinator.assign(&spec).await;
    expect_lines(&coordinator.report(&instance).await, &["me=1"]);
    handle.trigger().raise(slipway_kit::shutdown::Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers(), place.networks(), place.jobs()), (Vec::new(), Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_can_give_no_engine_says_why_and_does_not_start() {
    let coordinator = FakeCoordinator::start().await;
    let place = super::place(&coordinator);
    // One without the image, and one whose image has nothing that could start.
    for (image, words) in [("slipway/none:1", "scripts/engine-image.sh"), (image::IMAGE, "--job-engine none")]
    {
        let more = ["--job-engine-image", image];
        let arguments = place.arguments.iter().map(String::as_str).chain(more);
        let arguments = std::iter::once("slipway-agent").chain(arguments);
        let options = Options::from_arguments(<Arguments as clap::Parser>::parse_from(arguments)).unwrap();
        let Err(error) = Agent::start(options).await else { panic!("it started with {image}") };
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(place.containers(), Vec::<String>::new());
}
