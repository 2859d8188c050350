//! Logs on pages: long ones, and those that go on.

use reqwest::Response;
use slipway_proto::v1;

use crate::browser::{Browser, job_path};
use crate::fake_agent::{FIRST, FakeAgent, line, step};
use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_comes_in_pages_and_is_searched_and_downloaded() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let browser = Browser::signed_in(fixture.handle()).await;
    let job = job_path(&fixture, &run).await;
    assert!(browser.page(&job).await.contains("Nothing was said yet"));
    let lines: Vec<String> = (1..=1_234).map(|n| format!("this is number {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut records = step("Count", &lines);
    let end = records.pop().unwrap();
    agent.upload(&lease, 1, records).await;

    // While it runs, its end is shown, and all the rest is behind links.
    let shown = browser.page(&job).await;
    assert!(
        shown.contains("id=\"L1234\"") && shown.contains("id=\"L1001\"") && !shown.contains("id=\"L1000\"")
    );
    assert!(
        shown.contains("data-tail=\"1236\"")
            && shown.contains("Page 3 of 3")
            && shown.contains("data-live=\"")
    );
    assert!(shown.len() < 100_000, "{}", shown.len());
    let first = browser.page(&format!("{job}?step=0&page=1")).await;
    assert!(first.contains("id=\"L1\"") && first.contains("id=\"L500\"") && !first.contains("id=\"L501\""));
    assert!(!first.contains("data-tail"), "what comes next does not belong there");
    for line in [1, 500, 501, 1_234] {
        let page = browser.page(&format!("{job}?line={line}")).await;
        assert!(page.contains(&format!("id=\"L{line}\"")), "{line}");
    }
    for odd in ["?page=999", "?page=0", "?step=77", "?line=99999999"] {
        assert!(browser.page(&format!("{job}{odd}")).await.contains("Count"), "{odd}");
    }
    assert_eq!(browser.get(&format!("{job}?page=x")).await.status(), 400);
    assert_eq!(browser.get(&format!("{job}?attempt=2")).await.status(), 404);

    let found = browser.page(&format!("{job}?q=NUMBER+77")).await;
    assert!(found.contains("11 lines have"), "77 and 770 to 779: {found}");
    assert!(found.contains("line=779#L779"), "{found}");
    let many = browser.page(&format!("{job}?q=number")).await;
    assert!(many.contains("100 lines have") && many.contains("so far"), "{many}");
    let on = many.split("from=").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(browser.page(&format!("{job}?q=number&from={on}")).await.contains("line=101#L101"));
    assert!(browser.page(&format!("{job}?q=nowhere")).await.contains("0 lines have"));

    agent.upload(&lease, 1_236, vec![end]).await;
    agent.report(&lease, v1::Result::Success, 1_236).await;
    fixture.finished(&run).await;
    let raw = browser.page(&format!("{job}/log.txt?attempt=1")).await;
    assert_eq!(raw.lines().collect::<Vec<_>>(), lines);
    let page = browser.page(&job).await;
    assert!(page.contains("id=\"L1234\"") && !page.contains("data-live"), "nothing more comes");
}

/// What a page's stream says next.
struct Live {
    answer: Response,
    text: String,
}

impl Live {
    async fn open(browser: &Browser, path: &str) -> Self {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// Reads until there is an event with this in it, and gives that; all before it is forgotten.
    async fn until(&mut self, word: &str) -> String {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.contains(word) {
                    return event;
                }
            }
            let more = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_steps_and_results_appear_live_from_where_a_page_is() {
    let mut fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let mut of_run = Live::open(&browser, &format!("/runs/{run}/live")).await;
    let mut of_all = Live::open(&browser, "/live").await;
    let mut of_fleet = Live::open(&browser, "/fleet/live").await;
    assert!(of_run.until("event: parts").await.contains("Waiting"));
    assert!(of_all.until("event: parts").await.contains("Waiting"));
    // Why it waits, as soon as it was planned.
    of_fleet.until("no agent is connected").await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    of_run.until("agent-1111").await;
    of_all.until("Running").await;
    of_fleet.until("agent-1111").await;

    let job = job_path(&fixture, &run).await;
    let mut records = step("Hello", &["one", "two <b>"]);
    let end = records.pop().unwrap();
    agent.upload(&lease, 1, records).await;
    let mut of_job = Live::open(&browser, &format!("{job}/live?attempt=1&record=1&line=1")).await;
    let new = of_job.until("event: step").await;
    assert!(new.contains("Hello") && new.contains("step-0"), "{new}");
    let rows = of_job.until("event: rows").await;
    assert!(rows.contains("one") && rows.contains("two &lt;b&gt;") && rows.contains("id: 4.3"), "{rows}");
    // Whoever comes back after the second record hears what came later, and nothing twice.
    let mut later = Live::open(&browser, &format!("{job}/live?attempt=1&record=3&line=2")).await;
    let rows = later.until("event: rows").await;
    assert!(!rows.contains("one") && rows.contains("id=\\\"L2\\\""), "{rows}");

    fixture.kill_and_restart().await;
    let mut browser = browser.at(fixture.handle());
    let mut agent = {
        let held = vec![lease.clone()];
        FakeAgent::connect_with(fixture.handle(), crate::fake_agent::hello(FIRST, 4, held)).await
    };
    assert_eq!(browser.page("/session").await, "yes", "a session outlives the coordinator");
    let mut of_job = Live::open(&browser, &format!("{job}/live?attempt=1&record=4&line=3")).await;
    agent.upload(&lease, 4, vec![line("three")]).await;
    let rows = of_job.until("event: rows").await;
    assert!(rows.contains("three") && rows.contains("id: 5.4") && !rows.contains("one"), "{rows}");
    agent.upload(&lease, 5, vec![end]).await;
    agent.report(&lease, v1::Result::Success, 5).await;
    of_job.until("event: end").await;
    browser.cookie.clear();
    assert_eq!(browser.get(&format!("{job}/live")).await.status(), 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_far_behind_is_told_to_load_the_end() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let lines: Vec<v1::Record> = (0..6_000).map(|n| line(&format!("line {n}"))).collect();
    agent.upload(&lease, 1, lines).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let job = job_path(&fixture, &run).await;
    let mut live = Live::open(&browser, &format!("{job}/live?record=1&line=1")).await;
    let behind = live.until("event: behind").await;
    assert!(behind.contains("id: 6001.6001"), "{behind}");
    agent.upload(&lease, 6_001, vec![line("newest")]).await;
    let rows = live.until("event: rows").await;
    assert!(rows.contains("newest") && !rows.contains("line 5999"), "{rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_pages_follow_live_than_may_and_who_is_refused_gets_a_place_that_is_given_back() {
    let fixture = Fixture::start_with(|options| options.live_pages_max = 2).await;
    let run = fixture.submit(ONE_JOB).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let of_run = format!("/runs/{run}/live");
    let first = Live::open(&browser, &of_run).await;
    let mut second = Live::open(&browser, "/live").await;
    for path in [of_run.as_str(), "/live", "/fleet/live"] {
        let refused = browser.get(path).await;
        assert_eq!(refused.status(), 503, "{path}");
        assert!(refused.text().await.unwrap().contains("Too many pages follow live"), "{path}");
    }
    // Whoever has a place keeps it, and pages without a stream are there for everybody.
    second.until("event: parts").await;
    assert!(browser.page(&format!("/runs/{run}")).await.contains("data-live"));

    drop(first);
    // The server hears of it when the connection closes.
    let mut again = browser.get(&of_run).await;
    for _ in 0..3_000 {
        if again.status() == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        again = browser.get(&of_run).await;
    }
    assert_eq!(again.status(), 200, "the place was given back");
    assert_eq!(browser.get("/live").await.status(), 503, "and was the only one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_jobs_sum_up_is_shown_and_does_nothing() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let browser = Browser::signed_in(fixture.handle()).await;
    let path = format!("/runs/{run}/summaries");
    assert!(browser.page(&format!("/runs/{run}")).await.contains(&format!("href=\"{path}\"")));
    assert!(browser.page(&path).await.contains("No job of this run has summed anything up"));
    let says = |markdown: &[u8]| v1::Record {
        time_ms: 1,
        step: 0,
        record: Some(v1::record::Record::Summary(v1::Summary {
            markdown: markdown.to_vec().into(),
            ..v1::Summary::default()
        })),
    };
    let mut records = step("Sum up", &["one"]);
    let end = records.pop().unwrap();
    records.push(says(b"# Tests\n\n**3** passed"));
    // One summary in two pieces, cut within a character.
    records.push(says(b", \xc3"));
    records.push(says(b"\xa4 failed\n\n<script>alert(1)</script><img src=x onerror=alert(2)>"));
    records.push(end);
    let written = records.len() as u64;
    agent.upload(&lease, 1, records).await;
    // While it runs, and when it is over.
    for over in [false, true] {
        if over {
            agent.report(&lease, v1::Result::Success, written).await;
            fixture.finished(&run).await;
        }
        let page = browser.page(&path).await;
        assert!(
            page.contains("<h4>Tests</h4>") && page.contains("<strong>3</strong> passed, ä failed"),
            "{page}"
        );
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    }
    assert_eq!(browser.get("/runs/00000000-0000-0000-0000-000000000000/summaries").await.status(), 404);
}
