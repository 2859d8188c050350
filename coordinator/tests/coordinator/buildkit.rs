//! BuildKit's layer cache (`type=gha`), by a client that asks what BuildKit asks; BuildKit itself could not be had.

use reqwest::StatusCode;
use serde_json::json;

use crate::buildkit_client::{BLOCK_BYTES, BuildKit, CHUNK_BYTES, Entry, Failed, Speaks, layer_key, sha256};
use crate::clients::job;
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::Fixture;
use crate::results::job_on;

/// A layer of so many bytes, each of its blocks another.
fn layer(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Around the sizes at which the client goes another way.
fn layers() -> Vec<Vec<u8>> {
    let lengths = [32, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 3];
    (1..).zip(lengths).map(|(seed, length)| layer(seed, length)).collect()
}

fn digests(layers: &[Vec<u8>]) -> Vec<String> {
    layers.iter().map(|layer| sha256(layer)).collect()
}

struct Machines {
    fixture: Fixture,
    agent: FakeAgent,
}

impl Machines {
    async fn start() -> Self {
        let fixture = Fixture::start().await;
        let agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 8, Vec::new())).await;
        Self { fixture, agent }
    }

    /// A BuildKit in a job on this ref; of a pull request with `main` as its base.
    async fn build(&mut self, git_ref: &str, speaks: Speaks) -> BuildKit {
        let mut event = json!({"repository": {"default_branch": "main"}});
        if git_ref.starts_with("refs/pull/") {
            event["pull_request"] = json!({"base": {"ref": "main"}});
        }
        let (_, token) = job_on(&self.fixture, &mut self.agent, git_ref, event).await;
        BuildKit::new(&self.fixture.http, &self.fixture.url("/"), &token, speaks)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_has_the_layers_of_the_one_before() {
    let mut machines = Machines::start().await;
    let layers = layers();
    let first = machines.build("refs/heads/main", Speaks::Twirp).await;
    assert_eq!(first.import("buildkit").await, [Vec::<String>::new()]);
    assert_eq!(first.export("buildkit", &layers).await, layers.len());

    let second = machines.build("refs/heads/main", Speaks::Twirp).await;
    assert_eq!(second.import("buildkit").await, [digests(&layers)]);
    assert!(second.import("another").await.concat().is_empty(), "an index of another name is another's");
    for expected in &layers {
        assert!(second.layer(&sha256(expected)).await.as_ref() == Some(expected), "{} bytes", expected.len());
    }
    assert_eq!(second.layer(&sha256(b"never built")).await, None);
    // One layer more: the others are there, and the index has the next number.
    let mut more = layers.clone();
    more.push(layer(99, 100));
    assert_eq!(second.export("buildkit", &more).await, 1);
    let third = machines.build("refs/heads/main", Speaks::Twirp).await;
    assert_eq!(third.import("buildkit").await, [digests(&more)]);
    let newest = third.load(&format!("{}#", third.own_index_key("buildkit"))).await.unwrap().unwrap();
    assert_eq!(newest.key, format!("{}#2", third.own_index_key("buildkit")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_before_the_twirp_service_have_them_too() {
    let mut machines = Machines::start().await;
    let layers = vec![layer(1, 32), layer(2, CHUNK_BYTES), layer(3, 2 * CHUNK_BYTES + 1)];
    let old = machines.build("refs/heads/main", Speaks::Old).await;
    assert_eq!(old.export("buildkit", &layers).await, layers.len());
    for speaks in [Speaks::Old, Speaks::Twirp] {
        let build = machines.build("refs/heads/main", speaks).await;
        assert_eq!(build.import("buildkit").await, [digests(&layers)], "{speaks:?}");
        for expected in &layers {
            let key = layer_key(&sha256(expected));
            let entry = build.load(&key).await.unwrap().unwrap();
            for offset in [0, 1, expected.len() / 2, expected.len() - 1] {
                let read = build.download(&entry, offset).await.unwrap();
                assert!(read == expected[offset..], "{speaks:?}: {} from {offset}", expected.len());
            }
            assert_eq!(
                build.download(&entry, expected.len()).await.unwrap_err(),
                StatusCode::RANGE_NOT_SATISFIABLE
            );
        }
        assert_eq!(build.export("buildkit", &layers).await, 0);
        assert_eq!(build.save(&layer_key(&sha256(&layers[0])), &layers[0]).await, Err(Failed::Exists));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_builds_on_its_base_and_leaves_it_nothing() {
    let mut machines = Machines::start().await;
    let base = machines.build("refs/heads/main", Speaks::Twirp).await;
    let common = layers();
    base.export("buildkit", &common).await;

    let pull = machines.build("refs/pull/7/merge", Speaks::Twirp).await;
    // Its own index, which it has none of yet, and its base's.
    assert_eq!(pull.import("buildkit").await, [Vec::new(), digests(&common)]);
    let mut own = common.clone();
    own.push(layer(7, BLOCK_BYTES + 7));
    assert_eq!(pull.export("buildkit", &own).await, 1, "what the base has is not sent again");
    assert_eq!(pull.import("buildkit").await, [digests(&own), digests(&common)]);

    for git_ref in ["refs/heads/main", "refs/pull/8/merge"] {
        let other = machines.build(git_ref, Speaks::Twirp).await;
        assert_eq!(other.import("buildkit").await.pop(), Some(digests(&common)), "{git_ref}");
        assert_eq!(other.layer(&sha256(&own[common.len()])).await, None, "{git_ref}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_builds_at_once_one_waits_for_the_other_s_index() {
    let mut machines = Machines::start().await;
    let first = machines.build("refs/heads/main", Speaks::Twirp).await;
    let second = machines.build("refs/heads/main", Speaks::Twirp).await;
    let key = first.own_index_key("buildkit");
    let begun = first.reserve(&format!("{key}#1")).await.unwrap();
    first.upload(&begun, b"[]").await.unwrap();
    assert!(second.try_save_mutable(&key, b"[\"second\"]").await.is_continue());
    first.commit(&begun, 2).await.unwrap();
    assert_eq!(second.try_save_mutable(&key, b"[\"second\"]").await.break_value(), Some(2));
    // A layer that both send is no failure for the later one.
    let same = layer(1, 3 * BLOCK_BYTES);
    let layer_key = layer_key(&sha256(&same));
    let begun = first.reserve(&layer_key).await.unwrap();
    first.upload(&begun, &same[..2 * BLOCK_BYTES]).await.unwrap();
    assert_eq!(second.save(&layer_key, &same).await, Err(Failed::Exists));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_died_is_in_nobody_s_way() {
    let mut machines = Machines::start().await;
    let event = json!({"repository": {"default_branch": "main"}});
    let (lease, token) = job_on(&machines.fixture, &mut machines.agent, "refs/heads/main", event).await;
    let died = BuildKit::new(&machines.fixture.http, &machines.fixture.url("/"), &token, Speaks::Twirp);
    let key = died.own_index_key("buildkit");
    let begun = died.reserve(&format!("{key}#1")).await.unwrap();
    died.upload(&begun, b"half").await.unwrap();
    let next = machines.build("refs/heads/main", Speaks::Twirp).await;
    assert!(next.try_save_mutable(&key, b"[]").await.is_continue());
    machines.agent.report(&lease, slipway_proto::v1::Result::Failure, 0).await;
    machines.agent.accepted().await;
    assert_eq!(next.try_save_mutable(&key, b"[]").await.break_value(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_good_any_more_is_asked_for_again() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let build = BuildKit::new(&fixture.http, &fixture.url("/"), &token, Speaks::Twirp);
    let bytes = layer(1, 10);
    let key = layer_key(&sha256(&bytes));
    build.save(&key, &bytes).await.unwrap();
    let entry = build.load(&key).await.unwrap().unwrap();
    let old = Entry { url: entry.url.replace("&sig=", "&sig=00"), ..entry.clone() };
    // It asks for a new address after 401 and 403 alone.
    assert_eq!(build.download(&old, 0).await.unwrap_err(), StatusCode::FORBIDDEN);
    assert_eq!(build.download(&entry, 0).await.unwrap(), bytes);
}
