//! Badges: pictures for READMEs, which whoever looks at one fetches without a token.

use reqwest::StatusCode;
use slipway_proto::v1;

use crate::events::{Forge, workflow};
use crate::fake_agent::{FIRST, FakeAgent};

async fn fetch(forge: &Forge, path: &str, tag: Option<&str>) -> (StatusCode, String, String) {
    let mut request = slipway_tests::http_client().get(forge.fixture.url(path));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let answer = request.send().await.unwrap();
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    (answer.status(), tag.unwrap_or_default(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_badge_tells_how_the_newest_run_of_the_branch_ended_and_nothing_else() {
    let files = [("ci", workflow("A secret name", "push"))];
    let forge = Forge::with(&files, "github.com".to_owned(), |options| options.badges = true).await;
    let head = forge.git(&["rev-parse", "HEAD"]);
    let (status, _, before) = fetch(&forge, "/badge/o/n/ci.svg", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(before.contains("no status"), "{before}");
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    let mut last = String::new();
    for (result, word) in [(v1::Result::Success, "passing"), (v1::Result::Failure, "failing")] {
        forge.push("main", &"0".repeat(40), &head).await;
        agent.work(result, &[]).await;
        let run = forge.runs().await.last().unwrap()["run"].as_str().unwrap().to_owned();
        forge.fixture.finished(&run).await;
        let (_, tag, picture) = fetch(&forge, "/badge/O/n/ci.svg?branch=main&event=push", None).await;
        assert!(picture.contains(word) && !picture.contains("A secret name"), "{picture}");
        assert_eq!(fetch(&forge, "/badge/o/n/ci.svg", Some(&tag)).await.0, StatusCode::NOT_MODIFIED);
        assert_ne!(tag, last, "another picture has another tag");
        last = tag;
    }
    // What there is none of looks as what never ran.
    for other in [
        "o/other/ci.svg",
        "o/n/ci.svg?branch=topic",
        "o/n/ci.svg?event=schedule",
        "o/n/ci.svg?branch=%22%3E%3Cx",
    ] {
        let (status, _, picture) = fetch(&forge, &format!("/badge/{other}"), None).await;
        assert_eq!((status, picture), (StatusCode::OK, before.clone()), "{other}");
    }
    let (_, _, picture) = fetch(&forge, "/badge/o/n/%3Cscript%3E.svg", None).await;
    assert!(picture.contains("&lt;script&gt;") && !picture.contains("<script"), "{picture}");
    assert_eq!(fetch(&forge, "/badge/o/n/ci.png", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_option_there_is_no_badge() {
    let forge = Forge::new(&[("ci", "push")]).await;
    assert_eq!(fetch(&forge, "/badge/o/n/ci.svg", None).await.0, StatusCode::NOT_FOUND);
}
