//! Steps that print, spawn and allocate without measure: a clear outcome, and bounded memory in our programs.

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator};

/// What a coordinator or an agent may hold at most while a step prints far more, in bytes.
const MEMORY_LIMIT_BYTES: u64 = 384 << 20;

fn workflow(script: &str) -> Checkout {
    let lines: String = script.lines().map(|line| format!("          {line}\n")).collect();
    Checkout::with_workflow(&format!(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: |\n{lines}"
    ))
}

#[test]
fn a_line_of_ten_megabytes_arrives_whole() {
    let outcome = workflow("head -c 10000000 /dev/zero | tr '\\0' x\necho\necho after").run();
    outcome.expect(0, "success");
    let log = outcome.log("a");
    let printed: usize = log.iter().filter(|line| line.starts_with('x')).map(String::len).sum();
    assert_eq!(printed, 10_000_000, "not a byte is lost");
    assert!(log.contains(&"after".to_owned()));
}

#[test]
fn binary_output_is_shown_as_text_and_harms_nothing() {
    let outcome =
        workflow("printf 'a\\000b\\377\\376c\\033[31m\\n'\nhead -c 200000 /dev/urandom\necho\necho after")
            .run();
    outcome.expect(0, "success");
    assert!(outcome.log("a").iter().any(|line| line.ends_with("after")), "{:?}", outcome.log("a").last());
}

#[test]
fn background_processes_do_not_hold_a_step() {
    let outcome = workflow("sleep 3600 &\nnohup sleep 3600 >/dev/null 2>&1 &\n(while true; do echo noise; sleep 1; done) &\necho done").run();
    outcome.expect(0, "success");
    assert!(outcome.log("a").contains(&"done".to_owned()));
}

#[test]
fn a_job_that_wants_too_much_memory_fails_as_work() {
    let text = format!(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    container:\n      image: {}\n      options: --memory 64m\n    \
         steps:\n      - id: hungry\n        run: python3 -c 'x = bytearray(400 << 20); print(len(x))'\n",
        slipway_tests::RUNNER_IMAGE
    );
    let outcome = Checkout::with_workflow(&text).run();
    outcome.expect(1, "failure");
    assert_eq!(outcome.job_object("a")["attempt"], 1, "the work failed, so it is not tried again");
    assert_eq!(outcome.step("a", "hungry").0, "failure");
}

#[test]
fn a_million_lines_in_one_step_within_bounded_memory() {
    let checkout = workflow("seq 1 1000000");
    let coordinator = Coordinator::start();
    let agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");
    let numbers = outcome.log("a").into_iter().filter_map(|line| line.parse::<u32>().ok());
    assert!(numbers.eq(1..=1_000_000), "every line, once, in order");
    assert!(agent.peak_memory_bytes() < MEMORY_LIMIT_BYTES, "agent: {} bytes", agent.peak_memory_bytes());
    assert!(
        coordinator.peak_memory_bytes() < MEMORY_LIMIT_BYTES,
        "coordinator: {}",
        coordinator.peak_memory_bytes()
    );
}
