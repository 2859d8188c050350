//! What GitHub takes and does only later, when whoever asked has given up or is gone: nothing of it comes about twice, and none of it is the
//! last word.

use std::time::Duration;

use slipway_coordinator::options::GithubOptions;
use slipway_proto::v1;

use crate::events::{Forge, workflow};
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::github_double::{Double, Trouble};
use crate::github_reports::{forge, names, push};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_after_its_asker_is_gone_is_not_made_twice_nor_what_is_answered_too_late() {
    let double = Double::start().await;
    let mut forge = forge(&double, &[("ci", workflow("ci", "push"))]).await;
    // The first two are on their way when the coordinator dies, and get there after the next one began.
    double.known().trouble = vec![Some(Trouble::Slow(Duration::from_millis(800))); 2].into();
    push(&forge).await;
    double.until("two requests on their way", |known| known.delayed == 2).await;
    forge.fixture.kill_and_restart().await;
    let queued = names(&[("ci / job (push)", "queued"), ("slipway", "in_progress")]);
    double.until("both checks", |known| known.ends() == queued).await;
    // Slower than anybody waits.
    double.known().trouble = vec![Some(Trouble::Slow(Duration::from_millis(1_500))); 2].into();
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    agent.work(v1::Result::Success, &[]).await;
    let ended = names(&[("ci / job (push)", "success"), ("slipway", "success")]);
    double.until("the end", |known| known.ends() == ended).await;
    assert_eq!(double.known().delayed, 4);
    double.hold_against_description();
}

/// A job begins, and that is only done so long after it was taken. The job ends at once, after a new start of the coordinator or without.
async fn an_old_word_gets_there_late(slow: Duration, restarts: bool) {
    let double = Double::start().await;
    let mut forge = Forge::with(&[("ci", workflow("ci", "push"))], double.host(), |options| {
        let timeout = Duration::from_secs(4);
        options.github = Some(GithubOptions { timeout, ..double.options() });
    })
    .await;
    push(&forge).await;
    let queued = names(&[("ci / job (push)", "queued"), ("slipway", "in_progress")]);
    double.until("both checks", |known| known.ends() == queued).await;
    double.known().trouble = [Some(Trouble::Slow(slow))].into();
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    double.until("the word that it runs", |known| known.delayed == 1).await;
    if restarts {
        forge.fixture.kill_and_restart().await;
        agent = FakeAgent::connect_with(forge.fixture.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
    }
    agent.report(&lease, v1::Result::Success, 0).await;
    let ended = names(&[("ci / job (push)", "success"), ("slipway", "success")]);
    double
        .until("the end, and all that is late", |known| known.done_late == 1 && known.ends() == ended)
        .await;
    assert!(double.known().changed_after_end.is_empty());
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_was_given_up_is_never_the_last_one() {
    an_old_word_gets_there_late(Duration::from_secs(6), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_of_a_coordinator_that_is_gone_is_never_the_last_one() {
    an_old_word_gets_there_late(Duration::from_millis(2_500), true).await;
}
