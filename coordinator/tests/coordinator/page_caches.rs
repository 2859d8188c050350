//! The page of the caches: what it shows of whom, to whom, and when what backs it is gone or off.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::options::CachePlace;

use crate::browser::Browser;
use crate::build_cache::BuildCache;
use crate::clients::job;
use crate::fixture::Fixture;
use crate::results::save;

/// The cells of each row of the table in this region, as text.
fn rows(page: &str, region: &str) -> Vec<Vec<String>> {
    let (_, table) =
        page.split_once(&format!("aria-label=\"{region}\"")).unwrap_or_else(|| panic!("{region}: {page}"));
    let body = table.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let text = |cell: &str| {
        let pieces = cell.split('<').map(|piece| piece.split_once('>').map_or("", |(_, text)| text));
        pieces.collect::<String>().trim().to_owned()
    };
    let cells = |row: &str| {
        row.split("</t").map(|cell| text(&format!("<{cell}"))).filter(|cell| !cell.is_empty()).collect()
    };
    body.split("</tr>").filter(|row| row.contains("<t")).map(cells).collect()
}

async fn ask(cache: &BuildCache, token: &str, client: &str, method: Method, name: &str) -> u16 {
    let request = cache.fixture.http.request(method.clone(), cache.url(name)).bearer_auth(token);
    let request = request.header("user-agent", client);
    let request = if method == Method::PUT { request.body("some bytes") } else { request };
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_caches_shows_whom_they_help_and_what_they_keep() {
    let cache = BuildCache::start().await;
    let fixture = &cache.fixture;
    let viewer = fixture
        .call(Method::POST, "/api/v1/tokens", Some(json!({"name": "ada", "role": "viewer"})))
        .await
        .json::<Value>()
        .await
        .unwrap();
    let viewer = viewer["token"].as_str().unwrap();
    let browser = Browser::signed_in_with(fixture.handle(), viewer).await;
    let empty = browser.page("/caches").await;
    for text in
        ["Nothing was asked for in the last week.", "No tool has asked yet", "No workflow has saved any yet."]
    {
        assert!(empty.contains(text), "{text}: {empty}");
    }
    assert!(empty.contains("<a href=\"/caches\" aria-current=\"page\">Caches</a>"), "{empty}");
    assert!(!empty.contains("href=\"/audit\""), "a viewer has no trail to look at: {empty}");

    let (_agent, _lease, token) = job(fixture).await;
    assert_eq!(ask(&cache, &token, "ccache/4.7.5", Method::GET, "files/ccache/a").await, 404);
    assert_eq!(ask(&cache, &token, "ccache/4.7.5", Method::PUT, "files/ccache/a").await, 201);
    for _ in 0..2 {
        assert_eq!(ask(&cache, &token, "ccache/4.8", Method::GET, "files/ccache/a").await, 200);
    }
    assert_eq!(ask(&cache, &cache.token, "<b>odd</b>/1", Method::GET, "files/ccache/a").await, 404);
    save(fixture, &token, "deps-1", "an entry").await;

    let page = browser.page("/caches").await;
    let clients = rows(&page, "Clients of the cache");
    let of_ccache = clients.iter().find(|row| row[0] == "ccache").unwrap_or_else(|| panic!("{clients:?}"));
    assert_eq!(of_ccache[1..6], ["HTTP", "local/o/n", "2", "1", "67 %"], "{clients:?}");
    assert_eq!(clients.len(), 2, "what calls itself oddly is counted without its name: {clients:?}");
    assert!(!page.contains("odd"), "{page}");
    let hours = rows(&page, "Hit rate of each hour");
    // An hour may have ended meanwhile.
    let sum = |at: usize| hours.iter().map(|row| row[at].parse::<u32>().unwrap()).sum::<u32>();
    assert_eq!((sum(1), sum(2)), (2, 2), "{hours:?}");
    assert_eq!(page.matches("<rect class=\"bar\"").count(), hours.len());
    let kept = rows(&page, "What is kept for build tools");
    assert_eq!(kept[0][..3], ["local/o/n", "branches and tags", "1"], "{kept:?}");
    assert!(kept[0][4].ends_with("GiB") && page.contains(" of the quota\""), "{kept:?}");
    let workflows = rows(&page, "Caches and artifacts");
    assert_eq!(workflows[0][..4], ["local/o/n", "1", "8 B", "10 GiB"], "{workflows:?}");
    assert!(page.contains("<dd>50 %</dd>") && page.contains("A disk"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_caches_says_when_nothing_backs_them() {
    let stranger = Fixture::start_with(|options| options.cache = CachePlace::Off).await;
    let answer = Browser::new(stranger.handle()).get("/caches").await;
    assert_eq!(answer.headers()["location"], "/sign-in?next=%2Fcaches");
    let off = Browser::signed_in(stranger.handle()).await.page("/caches").await;
    assert!(off.contains("--cache off") && !off.contains("Clients"), "{off}");

    let dead = BuildCache::dead().await;
    for _ in 0..3 {
        assert_eq!(ask(&dead, &dead.token, "ccache/4.7.5", Method::GET, "files/ccache/a").await, 404);
    }
    let page = Browser::signed_in(dead.fixture.handle()).await.page("/caches").await;
    for text in ["Does not answer", "no build fails for it", "when the leader last looked"] {
        assert!(page.contains(text), "{text}: {page}");
    }
}
