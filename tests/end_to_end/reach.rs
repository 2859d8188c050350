//! What a person lets the jobs of `slipway run` have of the machine.

use slipway_tests::{Checkout, Outcome, RUNNER_IMAGE, Volume};

fn has(outcome: &Outcome, job: &str, text: &str) {
    let log = outcome.log(job);
    assert!(log.iter().any(|line| line.contains(text)), "`{text}` is missing: {log:#?}");
}

#[test]
fn volumes_of_the_engine_outlive_a_run_that_may_have_them_and_a_repeated_run_may_too() {
    let volume = Volume::new();
    let name = volume.name();
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  keep:\n    runs-on: ubuntu-latest\n    container:\n      image: {RUNNER_IMAGE}\n      \
         volumes: ['{name}:/kept']\n    steps:\n      - run: test -e /kept/mark && echo found; touch /kept/mark; test -e again\n"
    ));
    // Without the flag it is a volume of the job.
    for _ in 0..2 {
        let outcome = checkout.run_with(&[]);
        let found = outcome.log("keep").iter().any(|line| line == "found");
        assert!(!found, "a volume of a job outlived it");
    }
    let first = checkout.run_with(&["--allow-volume", name]);
    first.expect(1, "failure");
    let second = checkout.run_with(&["--failed"]);
    has(&second, "keep", "found");
}

#[test]
fn jobs_find_the_engine_that_they_are_given() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  look:\n    runs-on: ubuntu-latest\n    steps:\n      \
         - run: if test -S /var/run/docker.sock; then echo \"engine $DOCKER_HOST\"; else echo no engine; fi\n",
    );
    let none = checkout.run_with(&[]);
    none.expect(0, "success");
    has(&none, "look", "no engine");
    let machines = checkout.run_with(&["--job-engine", "machine"]);
    machines.expect(0, "success");
    has(&machines, "look", "engine unix:///var/run/docker.sock");
}
