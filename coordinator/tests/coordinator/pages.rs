//! The web pages over HTTP: who gets in, what is pressed, and that what comes from outside stays text.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use slipway_proto::v1;
use slipway_proto::v1::record::Record as What;

use crate::browser::{Browser, job_path};
use crate::environments;
use crate::fake_agent::{FIRST, FakeAgent, step};
use crate::fixture::{Fixture, ONE_JOB};

/// Where an answer leads.
fn leads_to(answer: &Response) -> &str {
    assert_eq!(answer.status(), 303);
    answer.headers()["location"].to_str().unwrap()
}

fn record(step: u32, what: What) -> v1::Record {
    v1::Record { time_ms: 1, step, record: Some(what) }
}

fn error(message: &str, file: &str) -> v1::Record {
    let (message, file) = (message.to_owned(), file.to_owned());
    record(
        0,
        What::Annotation(v1::Annotation { level: 3, message, file, line: 7, ..v1::Annotation::default() }),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_token_gets_in_and_nobody_else() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let stranger = Browser::new(fixture.handle());
    let welcome = stranger.page("/").await;
    assert!(welcome.contains("runs your team") && welcome.contains("name=\"token\""), "{welcome}");
    assert!(!welcome.contains(&run) && welcome.len() < 10_000, "{welcome}");
    let path = format!("/runs/{run}?a=b");
    let sent = stranger.get(&path).await;
    let form = leads_to(&sent);
    assert!(form.starts_with("/sign-in?next=%2Fruns%2F") && form.ends_with("%3Fa%3Db"), "{form}");
    for path in ["/fleet", "/audit", "/live", "/fleet/live", "/runs/x/jobs/y/log.txt"] {
        assert!(leads_to(&stranger.get(path).await).starts_with("/sign-in?next="), "{path}");
    }
    assert_eq!(stranger.page("/session").await, "no");
    // The API's way in is not the pages', and theirs is not the API's.
    let bearer = fixture.call(Method::GET, "/fleet", None).await;
    assert!(bearer.text().await.unwrap().contains("Sign in"));

    let unauthorized = async || {
        let metrics = stranger.page("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with("slipway_unauthorized_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = unauthorized().await;
    for wrong in ["token=wrong", "token=", "", "token=%00%ff"] {
        let answer = stranger.post("/sign-in", wrong).await;
        assert!(answer.headers().get("set-cookie").is_none());
        assert!(matches!(answer.status().as_u16(), 403 | 422), "{wrong}: {}", answer.status());
    }
    assert!(
        stranger
            .post("/sign-in", "token=wrong")
            .await
            .text()
            .await
            .unwrap()
            .contains("no token that is good")
    );
    assert!(unauthorized().await >= before + 4);

    let token = fixture.handle().admin_token.reveal().to_owned();
    for (next, to) in [("%2Ffleet%3Fa", "/fleet?a"), ("%2F%2Fevil", "/"), ("https%3A%2F%2Fevil", "/")] {
        let answer = stranger.post("/sign-in", &format!("token={token}&next={next}")).await;
        assert_eq!(leads_to(&answer), to);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    }
    let secure = stranger.http.post(fixture.url("/sign-in")).header("x-forwarded-proto", "https");
    let form_type = "application/x-www-form-urlencoded";
    let secure =
        secure.header("content-type", form_type).body(format!("token={token}")).send().await.unwrap();
    assert!(secure.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));

    let mut browser = Browser::signed_in(fixture.handle()).await;
    assert_eq!(browser.page("/session").await, "yes");
    assert!(browser.page(&format!("/runs/{run}")).await.contains("One #1"));
    let short = browser.get(&format!("/runs/{}", &run[..20])).await;
    assert_eq!(leads_to(&short), format!("/runs/{run}"));
    assert_eq!(browser.get("/api/v1/runs").await.status(), 401, "the API takes no cookie");

    let form = format!("form_token={}", browser.form_token("/").await);
    let out = browser.post("/sign-out", &form).await;
    assert_eq!(leads_to(&out), "/");
    browser.keep_cookie(&out);
    assert_eq!(browser.get("/fleet").await.status(), 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_works_for_its_own_session_alone_and_what_it_does_is_audited() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let (browser, other) =
        (Browser::signed_in(fixture.handle()).await, Browser::signed_in(fixture.handle()).await);
    let (cancel, rerun) = (format!("/runs/{run}/cancel"), format!("/runs/{run}/rerun"));
    let others = format!("form_token={}", other.form_token("/").await);
    for path in
        [&cancel, &rerun, "/sign-out", &format!("/fleet/{FIRST}/drain"), &format!("/fleet/{FIRST}/resume")]
    {
        for form in ["", "form_token=", &others] {
            let answer = browser.post(path, form).await;
            assert_eq!(answer.status(), 403, "{path} {form}");
            let page = answer.text().await.unwrap();
            assert!(page.contains("<h1>Refused</h1>") && page.contains("nothing was done"), "{page}");
        }
        assert_eq!(Browser::new(fixture.handle()).post(path, &others).await.status(), 403, "{path}");
        assert_eq!(browser.get(path).await.status(), 405, "{path}");
    }
    let form = format!("form_token={}", browser.form_token(&format!("/runs/{run}")).await);
    let elsewhere = browser.http.post(fixture.url(&cancel)).header("cookie", &browser.cookie);
    let elsewhere = elsewhere.header("sec-fetch-site", "cross-site");
    let elsewhere = elsewhere.header("content-type", "application/x-www-form-urlencoded").body(form.clone());
    assert_eq!(elsewhere.send().await.unwrap().status(), 403);
    assert_eq!(fixture.get(&format!("/api/v1/runs/{run}")).await["state"], "waiting", "nothing was done");

    let early = browser.post(&rerun, &form).await;
    assert_eq!(early.status(), 409);
    assert!(early.text().await.unwrap().contains("is not finished"));
    assert_eq!(leads_to(&browser.post(&cancel, &form).await), format!("/runs/{run}"));
    assert_eq!(fixture.finished(&run).await["result"], "cancelled");
    let again = browser.post(&rerun, &format!("{form}&failed=true")).await;
    let again = leads_to(&again).strip_prefix("/runs/").unwrap().to_owned();
    assert_eq!(fixture.get(&format!("/api/v1/runs/{again}")).await["run_attempt"], 2);
    let page = browser.page(&format!("/runs/{run}")).await;
    assert!(page.contains("Re-run all jobs") && !page.contains("Cancel run"), "{page}");

    let agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    for (action, draining) in [("drain", true), ("resume", false)] {
        assert_eq!(leads_to(&browser.post(&format!("/fleet/{FIRST}/{action}"), &form).await), "/fleet");
        assert_eq!(fixture.get("/api/v1/agents").await["agents"][0]["draining"], draining);
    }
    drop(agent);
    assert_eq!(browser.post("/fleet/zzz/drain", &form).await.status(), 404);

    let trail = fixture.get("/api/v1/audit").await;
    let done: Vec<(&str, &str, &str)> = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            (text("action"), text("source"), text("actor"))
        })
        .collect();
    for action in ["run.cancel", "run.rerun", "agent.drain", "agent.resume"] {
        let found =
            done.iter().find(|(done, source, _)| *done == action && source.starts_with("page 127.0.0.1"));
        assert!(found.is_some(), "{action}: {done:?}");
    }
    let page = browser.page("/audit").await;
    assert!(page.contains("page 127.0.0.1") && page.contains("an administrator"), "{page}");
}

/// Names, refs, log lines and annotations that would do something if they were taken for HTML.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_outside_stays_text_on_every_page() {
    const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let fixture = Fixture::start().await;
    let workflow = json!({
        "name": EVIL, "on": "push",
        "jobs": {"build": {"name": EVIL, "runs-on": ["ubuntu-latest"], "steps": [{"name": EVIL, "run": "x"}]},
            "later": {"name": EVIL, "needs": "build", "runs-on": ["no-<i>such"], "if": "always()", "steps": [{"run": "x"}]}},
    });
    let mut submission = Fixture::submission(&workflow.to_string());
    for field in ["repository", "actor"] {
        submission[field] = json!(EVIL);
    }
    submission["git_ref"] = json!(format!("refs/heads/{}", "<script>alert(1)</script>"));
    let run = fixture.submit_value(submission).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let mut records = step(EVIL, &[EVIL, &format!("\u{1b}[31m{EVIL}\u{1b}[0m"), "\u{1b}]0;<b>\u{7}"]);
    records.insert(2, error(EVIL, EVIL));
    let count = records.len() as u64;
    agent.upload(&lease, 1, records).await;
    let message = EVIL.to_owned();
    let work = v1::WorkOutcome { result: v1::Result::Failure.into(), message, ..v1::WorkOutcome::default() };
    agent.report_work(&lease, work, count).await;
    agent.accepted().await;
    fixture.run_until(&run, |shown| shown["instances"].as_array().is_some_and(|all| all.len() == 2)).await;

    let browser = Browser::signed_in(fixture.handle()).await;
    let job = job_path(&fixture, &run).await;
    let searched = format!("{job}?q=%3Cscript%3E");
    let pages = [
        "/".to_owned(),
        format!("/runs/{run}"),
        job.clone(),
        searched,
        format!("{job}/step?step=0"),
        "/fleet".to_owned(),
        "/audit".to_owned(),
    ];
    for path in &pages {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers().clone();
        let page = answer.text().await.unwrap();
        assert!(!page.contains("<script>") && !page.contains("<img"), "{path}: {page}");
        assert!(!page.contains("onerror=alert(2)>\"") && !page.contains(" style="), "{path}: {page}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        for attribute in ["src=\"", "href=\"", "action=\""] {
            for value in page.split(attribute).skip(1) {
                assert!(!value.starts_with("http") && !value.starts_with("//"), "{path}: {attribute}{value}");
            }
        }
    }
    let page = browser.page(&job).await;
    for part in ["<span class=\"f1\">&lt;script&gt;alert(1)&lt;/script&gt;", "id=\"error\"", "Succeeded"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = browser.page(&format!("/runs/{run}")).await;
    assert!(page.contains(&format!("{job}?line=1#error")) && page.contains("no-&lt;i&gt;such"), "{page}");
    let raw = browser.get(&format!("{job}/log.txt")).await;
    assert_eq!(raw.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(raw.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(raw.text().await.unwrap().lines().next().unwrap(), EVIL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_pages_for_people_and_json_for_programs() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let agent = "00000000-0000-4000-8000-000000000000";
    for (path, status, word) in [
        ("/nothing", 404, "Not found"),
        ("/runs/ffffffff", 404, "Not found"),
        ("/runs/zz", 400, "is no run id"),
        (&format!("/runs/{run}/jobs/zz"), 404, "no such job"),
        (&format!("/runs/{run}/jobs/{agent}"), 404, "no such job"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8", "{path}");
        assert!(answer.headers().contains_key("content-security-policy"), "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains(word) && page.contains("<h1>"), "{path}: {page}");
    }
    let json = fixture.http.get(fixture.url("/nothing")).send().await.unwrap();
    assert_eq!(json.json::<Value>().await.unwrap()["error"]["code"], "not_found");
    let huge = format!("token={}", "a".repeat(100_000));
    assert_eq!(browser.post("/sign-in", &huge).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let page = browser.page("/").await;
    for mark in ["rel=\"stylesheet\" href=\"", "script src=\""] {
        let path = page.split(mark).nth(1).unwrap().split('"').next().unwrap().to_owned();
        let answer = browser.get(&path).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
    }
    assert_eq!(browser.get("/assets/pages-0000.js").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overview_filters_and_the_fleet_says_why_jobs_wait() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    for (repository, result) in [("o/good", v1::Result::Success), ("o/bad", v1::Result::Failure)] {
        let mut submission = Fixture::submission(ONE_JOB);
        submission["repository"] = json!(repository);
        let run = fixture.submit_value(submission).await;
        agent.work(result, &[]).await;
        fixture.finished(&run).await;
    }
    let waiting = fixture.submit(&ONE_JOB.replace("ubuntu-latest", "gpu")).await;
    fixture
        .run_until(&waiting, |shown| shown["instances"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let recent = async |query: &str| {
        let page = browser.page(&format!("/{query}")).await;
        page.split("id=\"recent\"").nth(1).unwrap().split("id=\"rates").next().unwrap().to_owned()
    };
    let all = recent("").await;
    assert!(all.contains("o/good") && all.contains("o/bad"), "{all}");
    for (query, has, has_not) in [
        ("?repository=o%2Fgood", "o/good", "o/bad"),
        ("?result=failure", "o/bad", "o/good"),
        ("?result=failure&repository=o%2Fbad", "o/bad", "o/good"),
        ("?result=failure&repository=o%2Fgood", "No run fits", "/runs/"),
    ] {
        let found = recent(query).await;
        assert!(found.contains(has) && !found.contains(has_not), "{query}: {found}");
    }
    let page = browser.page("/").await;
    assert!(page.contains("100 %") && page.contains("> 0 %"), "{page}");
    let fleet = browser.page("/fleet").await;
    for part in ["agent-1111", "Ready", "0 of 4", "gpu", "no agent has all its labels; missing: gpu"] {
        assert!(fleet.contains(part), "{part}: {fleet}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_of_the_fleet_failed_is_told_and_earlier_attempts_are_kept() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.upload(&lease, 1, step("Hello", &["of the first attempt"])).await;
    let failure = v1::FleetFailure { cause: "image_pull".into(), message: "no <i>route".into() };
    let outcome = Some(v1::report::Outcome::Fleet(failure));
    let report = v1::Report { lease: Some(lease), outcome, records: 3, ..v1::Report::default() };
    agent.say(v1::agent_message::Message::Report(report)).await;
    agent.accepted().await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let page = browser.page(&format!("/runs/{run}")).await;
    for part in
        ["the registry could not be reached", "image_pull", "no &lt;i&gt;route", "waits for a new attempt"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    fixture.clock.advance(60_000);
    agent.say(v1::agent_message::Message::Renew(v1::Renew::default())).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    agent.upload(&lease, 1, step("Hello", &["of the second attempt"])).await;
    agent.report(&lease, v1::Result::Success, 3).await;
    fixture.finished(&run).await;
    let job = job_path(&fixture, &run).await;
    for (query, has, has_not) in [
        ("", "of the second", "of the first"),
        ("?attempt=2", "of the second", "of the first"),
        ("?attempt=1", "of the first", "of the second"),
    ] {
        let page = browser.page(&format!("{job}{query}")).await;
        assert!(
            page.contains(has) && !page.contains(has_not) && page.contains("Attempt 1"),
            "{query}: {page}"
        );
    }
    assert!(browser.page(&format!("{job}?attempt=1")).await.contains("the registry could not be reached"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_could_not_be_planned_says_why() {
    let fixture = Fixture::start().await;
    let matrix = "strategy: { matrix: { v: '${{ fromJSON(github.event.ref) }}' } }";
    let run = fixture
        .submit(&format!(
            "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    {matrix}\n    steps: [{{ run: x }}]\n"
        ))
        .await;
    fixture.finished(&run).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let page = browser.page(&format!("/runs/{run}")).await;
    let failed = page.split("What failed").nth(1).unwrap().split("id=\"jobs\"").next().unwrap();
    assert!(failed.contains("ci.yml:") && !failed.contains("href="), "{failed}");
    assert!(page.contains("Re-run failed jobs"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_is_approved_on_its_runs_page_by_one_of_its_reviewers() {
    let fixture = environments::configured().await;
    let run = fixture.submit(&environments::workflow("production")).await;
    environments::waits(&fixture, &run, "approval").await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let path = format!("/runs/{run}");
    let page = browser.page(&path).await;
    assert!(
        page.contains("Jobs wait for approval of") && page.contains("<option value=\"alice\">"),
        "{page}"
    );
    let token = browser.form_token(&path).await;
    let post = async |fields: &str| {
        let answer =
            browser.post(&format!("{path}/approvals"), &format!("{fields}&form_token={token}")).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let forged = browser
        .post(&format!("{path}/approvals"), "environment=production&actor=alice&decision=approve")
        .await;
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    for (fields, status) in [
        ("environment=production&actor=mallory&decision=approve", 403),
        ("environment=production&actor=&decision=approve", 400),
        ("environment=production&actor=alice&decision=perhaps", 400),
        ("environment=none&actor=alice&decision=approve", 404),
    ] {
        assert_eq!(post(fields).await.0, status, "{fields}");
    }
    let (status, _) =
        post("environment=production&actor=alice&comment=%3Cb%3Eship%20it&decision=approve").await;
    assert_eq!(status, 303);
    let page = browser.page(&path).await;
    assert!(page.contains("<bdi>alice</bdi> approved <strong><bdi>production</bdi></strong>"), "{page}");
    assert!(page.contains("&lt;b&gt;ship it") && !page.contains("Jobs wait for approval of"), "{page}");
    assert_eq!(post("environment=production&actor=alice&decision=reject").await.0, 409);
    let trail = fixture.get("/api/v1/audit").await;
    let approved = |entry: &Value| {
        entry["action"] == "run.approve" && entry["actor"] == "alice" && entry["effect"] == "done"
    };
    assert!(trail["entries"].as_array().unwrap().iter().any(approved), "{trail}");
}
