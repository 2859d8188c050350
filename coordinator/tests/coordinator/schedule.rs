//! Schedules under a clock that the test puts forward: each tick once, whatever restarts; at most the latest one late.

use std::time::Duration;

use serde_json::json;
use slipway_kit::clock::Clock as _;

use crate::events::{Forge, workflow};

const MINUTE_MS: u64 = 60_000;

impl Forge {
    /// Puts the clock to just after the next full hour.
    async fn next_hour(&self, hours: u64) {
        let now_ms = self.fixture.clock.unix_ms();
        let into = now_ms % (60 * MINUTE_MS);
        self.fixture.clock.advance(hours * 60 * MINUTE_MS - into + 1_000);
    }

    async fn runs_until(&self, count: usize) {
        for _ in 0..2_000 {
            if self.runs().await.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let runs = self.runs().await;
        assert_eq!(runs.len(), count, "{runs:#?}");
    }

    /// The ticker has looked at the present time: it looks every second.
    async fn looked(&self) {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }

    /// Whether the schedule's last tick is kept.
    async fn dealt_with(&self) {
        let repositories = self.fixture.handle().services().repositories.clone();
        for _ in 0..1_000 {
            let known = repositories.find("o/n").and_then(|known| known.standing);
            if known.is_some_and(|standing| standing.schedules.iter().any(|schedule| schedule.fired_ms > 0)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the tick was never kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_starts_the_default_branch_once_whatever_restarts() {
    let mut forge =
        Forge::new(&[("nightly", "{ schedule: [{ cron: '0 * * * *', timezone: Europe/Berlin }] }")]).await;
    forge.learned().await;
    let main = forge.commit("code.txt", "2", "After it was learned");
    forge.next_hour(1).await;
    forge.runs_until(1).await;
    let run = &forge.runs().await[0];
    assert_eq!((&run["event_name"], &run["sha"]), (&json!("schedule"), &json!(main)));
    assert_eq!((&run["git_ref"], &run["actor"]), (&json!("refs/heads/main"), &json!("o")));
    forge.dealt_with().await;
    forge.fixture.kill_and_restart().await;
    forge.looked().await;
    forge.runs_until(1).await;

    // Three ticks pass while none is there; the latest is made up for.
    let options = (*forge.fixture.handle().services().options).clone();
    forge.fixture.handle = None;
    forge.next_hour(3).await;
    forge.fixture.start_again(options).await;
    forge.runs_until(2).await;
    forge.looked().await;
    forge.runs_until(2).await;

    // Days pass: what is older than the limit is left out (the last tick was seven hours ago).
    forge.fixture.clock.advance(5 * MINUTE_MS);
    let on = "{ schedule: [{ cron: '0 0 1 1 *' }] }";
    let before = forge.git(&["rev-parse", "HEAD"]);
    let after = forge.commit(".github/workflows/nightly.yml", &workflow("nightly", on), "Yearly");
    forge.push("main", &before, &after).await;
    forge.next_hour(2).await;
    forge.looked().await;
    forge.runs_until(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_has_no_ticks_of_before_it_stood_there() {
    let forge = Forge::new(&[("often", "{ schedule: [{ cron: '* * * * *' }], push: }")]).await;
    let main = forge.git(&["rev-parse", "HEAD"]);
    forge.learned().await;
    forge.looked().await;
    let at_most_one_minute_later = forge.runs().await.len();
    assert!(at_most_one_minute_later <= 1, "only a minute that began meanwhile");
    forge.push("main", &"0".repeat(40), &main).await;
    forge.fixture.clock.advance(10 * MINUTE_MS);
    // The ten at once count as one: the latest.
    forge.runs_until(at_most_one_minute_later + 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_stands_from_the_apps_installation_on_until_it_is_removed() {
    let forge = Forge::new(&[("nightly", "{ schedule: [{ cron: '0 * * * *' }] }")]).await;
    forge.learned().await;
    let account = json!({"login": "o", "html_url": "https://github.com/o"});
    let about = |action: &str, listed: &str| {
        json!({"action": action, "installation": {"id": 1, "account": account}, "sender": {"login": "ada"},
               listed: [{"full_name": "o/n"}, {"full_name": "elsewhere/n"}]})
    };
    forge.deliver("installation_repositories", about("removed", "repositories_removed")).await;
    forge.next_hour(1).await;
    forge.looked().await;
    forge.runs_until(0).await;

    forge.deliver("installation_repositories", about("added", "repositories_added")).await;
    forge.learned().await;
    forge.next_hour(1).await;
    forge.runs_until(1).await;
    assert_eq!(forge.runs().await[0]["actor"], "ada", "who installed it");
    forge.dealt_with().await;

    forge.deliver("installation", about("deleted", "repositories")).await;
    forge.next_hour(1).await;
    forge.looked().await;
    forge.runs_until(1).await;
    // No restart here: the next start would read it because the configuration names it.
    forge.deliver("installation", about("created", "repositories")).await;
    forge.next_hour(1).await;
    forge.runs_until(2).await;
}
