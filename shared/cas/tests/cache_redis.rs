//! The cache on real Redis servers: the suite of every engine, and what only a server can do wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod redis_server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis_server::{Sentinel, Server, cluster, until};
use slipway_cas::cache::breaker::{BreakerOptions, State};
use slipway_cas::cache::conformance::{self, key, put};
use slipway_cas::cache::engine::{Keep, Put};
use slipway_cas::cache::holdings::hold;
use slipway_cas::cache::redis::{Servers, Tls};
use slipway_cas::cache::{
    BlobCache, Compression, Engine, Kind, Namespace, Quotas, RedisEngine, RedisOptions,
};
use slipway_cas::{Digest, Expected};

fn single(server: &Server) -> RedisOptions {
    RedisOptions::new(Servers::Single("127.0.0.1".into(), server.port))
}

/// Engines of one server that share no key.
fn apart(options: &RedisOptions) -> Arc<dyn Engine> {
    let prefix = format!("t{}", fastrand::u64(..));
    Arc::new(RedisEngine::new(RedisOptions { prefix, ..options.clone() }).unwrap())
}

fn blobs(engine: impl Engine) -> BlobCache {
    BlobCache::new(Arc::new(engine), Namespace::new("main").unwrap(), Compression::WherePaying)
}

fn noise(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server() {
    let server = Server::start(&[]).await;
    let options = single(&server);
    conformance::check(async || apart(&options), fastrand::u64(..)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls() {
    let (_server, port, tls) = Server::start_with_tls().await;
    let options = RedisOptions {
        tls: Some(tls),
        connections: 2,
        ..RedisOptions::new(Servers::Single("localhost".into(), port))
    };
    conformance::check(async || apart(&options), fastrand::u64(..)).await;
    let strangers = RedisOptions { tls: Some(Tls { ca: Some(other_ca()), client: None }), ..options };
    let error = apart(&strangers).get_many(&[key(Kind::Chunk, "main", "x")]).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

fn other_ca() -> Vec<u8> {
    rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster() {
    let servers = cluster().await;
    // One address is enough to find the others.
    let options = RedisOptions::new(Servers::Cluster(vec![("127.0.0.1".into(), servers[1].port)]));
    conformance::check(async || apart(&options), fastrand::u64(..)).await;

    let cache = blobs(RedisEngine::new(options).unwrap());
    let blob = noise(1, 40 << 20);
    let written = cache.write(blob.clone(), Expected::Anything).await.unwrap();
    assert!(written.kept);
    assert!(cache.read_all(written.digest).await.unwrap() == blob);
    for server in &servers {
        assert!(
            server.keys().await.iter().any(|key| key.starts_with("slipway:c:")),
            "every server has a share"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_are_followed() {
    let servers = cluster().await;
    let options = RedisOptions::new(Servers::Cluster(vec![("127.0.0.1".into(), servers[0].port)]));
    let engine = RedisEngine::new(options).unwrap();
    let keys: Vec<_> = (0..300).map(|n| key(Kind::Chunk, "main", &n.to_string())).collect();
    engine.put_many(keys.iter().map(|key| put(key, "before")).collect()).await.unwrap();
    // All slots of the second to the third, without their keys: the cluster forgets a third of the values.
    let third: String = servers[2].ask(&["CLUSTER", "MYID"]).await;
    let () = servers[1].ask(&["FLUSHALL"]).await;
    for server in [&servers[2], &servers[1], &servers[0]] {
        let mut moves = redis::pipe();
        for slot in 5461..=10922 {
            moves.cmd("CLUSTER").arg("SETSLOT").arg(slot).arg("NODE").arg(&third).ignore();
        }
        let () = moves.query_async(&mut server.connection().await).await.unwrap();
    }
    // So that the others believe it.
    let _: String = servers[2].ask(&["CLUSTER", "BUMPEPOCH"]).await;
    until("reads find the new owner", async || engine.get_many(&keys).await.is_ok()).await;
    engine.put_many(keys.iter().map(|key| put(key, "after")).collect()).await.unwrap();
    for found in engine.get_many(&keys).await.unwrap() {
        assert_eq!(found.value().unwrap().data, "after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed() {
    let mut primary = Server::start(&[]).await;
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
    let sentinel = Sentinel::start(primary.port);
    until("the Sentinel knows the replica", async || sentinel.replicas().await == 1).await;

    let servers = Servers::Sentinel {
        sentinels: vec![("127.0.0.1".into(), sentinel.port)],
        service: "main".to_owned(),
    };
    let pause = Duration::from_millis(50);
    let breaker = BreakerOptions { failures: 2, pause, max_pause: pause };
    let engine = RedisEngine::guarded(RedisOptions { breaker, ..RedisOptions::new(servers) }).unwrap();
    let keys: Vec<_> = (0..50).map(|n| key(Kind::Action, "main", &n.to_string())).collect();
    let write = async || engine.put_many(keys.iter().map(|key| put(key, key.to_text())).collect()).await;
    write().await.unwrap();
    until("the replica has them", async || replica.keys().await.len() == keys.len()).await;

    primary.kill();
    until("writes find the new primary", async || write().await.is_ok()).await;
    assert_eq!(engine.state(), State::Closed);
    for (key, found) in keys.iter().zip(engine.get_many(&keys).await.unwrap()) {
        assert_eq!(found.value().unwrap().data, key.to_text());
    }
    let role: Vec<redis::Value> = replica.ask(&["ROLE"]).await;
    assert_eq!(role.first(), Some(&redis::Value::BulkString(b"master".to_vec())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_a_miss_and_is_removed() {
    let server = Server::start(&[]).await;
    let engine = RedisEngine::new(single(&server)).unwrap();
    let cache = blobs(engine.clone());
    let blob = noise(2, 9 << 20);
    let digest = cache.write(blob.clone(), Expected::Anything).await.unwrap().digest;
    assert_eq!(cache.missing(&[digest]).await, []);

    let stored = server.keys().await.into_iter().find(|key| key.starts_with("slipway:c:")).unwrap();
    let byte: Vec<u8> = server.ask(&["GETRANGE", &stored, "1000", "1000"]).await;
    let mut command = redis::cmd("SETRANGE");
    let () = command
        .arg(&stored)
        .arg(1000)
        .arg(&[byte[0] ^ 4][..])
        .query_async(&mut server.connection().await)
        .await
        .unwrap();
    assert!(cache.read_all(digest).await.unwrap_err().is_miss());
    assert_eq!(engine.stats().await.unwrap().damaged, 1);
    assert!(!server.keys().await.contains(&stored), "removed");
    assert_eq!(cache.missing(&[digest]).await, [digest]);
    assert!(
        cache.write(blob.clone(), Expected::Digest(digest)).await.unwrap().kept,
        "mended by the next upload"
    );
    assert!(cache.read_all(digest).await.unwrap() == blob);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_goes_by_itself_and_those_of_an_abandoned_upload_soon() {
    let server = Server::start(&[]).await;
    let options = RedisOptions { temporary_ttl: Duration::from_secs(2), ..single(&server) };
    let cache = blobs(RedisEngine::new(options).unwrap());
    let kept = cache.write(noise(3, 5 << 20), Expected::Anything).await.unwrap();
    let all = server.keys().await;
    for key in &all {
        let ttl: i64 = server.ask(&["TTL", key]).await;
        assert!(ttl > 1000, "{key} is of a finished blob and stays {ttl} s");
    }
    let mut writer = cache.writer(u64::MAX);
    writer.write(noise(4, 16 << 20)).await.unwrap();
    until("chunks arrive", async || server.keys().await.len() > all.len()).await;
    drop(writer);
    until("they go", async || server.keys().await.len() == all.len()).await;
    assert_eq!(cache.missing(&[kept.digest]).await, [], "the finished blob is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_made_anew_and_a_dead_server_costs_little() {
    let mut server = Server::start(&[]).await;
    let pause = Duration::from_millis(100);
    let breaker = BreakerOptions { failures: 2, pause, max_pause: pause };
    let engine = Arc::new(RedisEngine::guarded(RedisOptions { breaker, ..single(&server) }).unwrap());
    let one = [key(Kind::Action, "main", "x")];
    engine.put_many(vec![put(&one[0], "x")]).await.unwrap();
    for _ in 0..8 {
        let _: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        assert_eq!(engine.have_many(&one).await.unwrap(), [true], "nobody notices");
    }
    server.kill();
    until("the breaker opens", async || {
        engine.have_many(&one).await.is_err() && engine.state() == State::Open
    })
    .await;
    let cache = BlobCache::new(engine.clone(), Namespace::new("main").unwrap(), Compression::Off);
    let blob = noise(5, 6 << 20);
    let written = cache.write(blob.clone(), Expected::Anything).await.unwrap();
    assert!(!written.kept, "a build goes on");
    assert_eq!(cache.missing(&[written.digest]).await, [written.digest]);
    assert!(cache.read_all(written.digest).await.unwrap_err().is_miss());
    assert!(!cache.write("small".into(), Expected::Anything).await.unwrap().kept);
    let stats = engine.stats().await.unwrap();
    assert!(stats.refused_reads > 0 && stats.dropped_writes > 0, "{stats:?}");
    server.run().await;
    until("it is asked again", async || cache.write(blob.clone(), Expected::Anything).await.unwrap().kept)
        .await;
    assert!(cache.read_all(written.digest).await.unwrap() == blob);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_looks_after_holds_no_other_up() {
    let server = Server::start(&[]).await;
    let engine = RedisEngine::new(RedisOptions { connections: 1, ..single(&server) }).unwrap();
    let keys = [key(Kind::Chunk, "main", "x")];
    let mut first = engine.have_many(&keys);
    // It has begun to connect, and is left alone while the second one is waited for.
    tokio::select! {
        biased;
        answer = &mut first => panic!("{answer:?} without a connection"),
        () = std::future::ready(()) => {}
    }
    let second = tokio::time::timeout(Duration::from_secs(30), engine.have_many(&keys)).await;
    assert_eq!(second.expect("an answer").unwrap(), [false]);
    assert_eq!(first.await.unwrap(), [false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_store_a_blob_once() {
    let server = Server::start(&[]).await;
    let cache = blobs(RedisEngine::new(single(&server)).unwrap());
    let blob = noise(6, 8 << 20);
    let digest = Digest::of(&blob);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (cache, blob) = (cache.clone(), blob.clone());
        tasks.spawn(async move { cache.write(blob, Expected::Digest(digest)).await.unwrap() });
    }
    while let Some(written) = tasks.join_next().await {
        assert!(written.unwrap().kept);
    }
    let chunks = server.keys().await.iter().filter(|key| key.starts_with("slipway:c:")).count() as u64;
    // Each writer stores the manifest: a few hundred bytes, not worth asking for first.
    assert_eq!(server.calls("set").await, chunks + 64);
    assert!(cache.read_all(digest).await.unwrap() == blob);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_keys_are_left_alone() {
    let server = Server::start(&[]).await;
    let engine = RedisEngine::new(single(&server)).unwrap();
    engine.put_many(vec![put(&key(Kind::Chunk, "main", "x"), "x")]).await.unwrap();
    for key in ["ccache:0123", "a/b/c/abc", "slipway:other", "slipwayish:c:main:x"] {
        let () = server.ask(&["SET", key, "theirs"]).await;
    }
    let pruned = slipway_cas::cache::blobs::prune(&engine, 0, false).await.unwrap();
    assert_eq!((pruned.seen, pruned.values), (1, 1));
    assert_eq!(server.keys().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_evicts_is_never_said_to_be_there() {
    let server = Server::start(&["--maxmemory", "48mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let cache = blobs(RedisEngine::new(single(&server)).unwrap());
    let blob = |n: u64| noise(n, 3 << 20);
    let mut digests = Vec::new();
    for n in 0..40 {
        digests.push(cache.write(blob(n), Expected::Anything).await.unwrap().digest);
    }
    let missing = cache.missing(&digests).await;
    assert!(missing.len() > 10, "most were evicted, {} of 40", missing.len());
    for (n, digest) in digests.iter().enumerate() {
        match cache.read_all(*digest).await {
            Ok(bytes) => assert!(bytes == blob(n as u64)),
            Err(error) => {
                // Replies under way count as memory too, so that even reading evicts.
                assert!(error.is_miss(), "{error}");
                assert_eq!(cache.missing(&[*digest]).await, [*digest]);
            }
        }
    }
}

/// Longer than one value of Redis may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_six_hundred_mebibytes_round_trips() {
    const PIECE: usize = 4 << 20;
    let server = Server::start(&[]).await;
    let cache = blobs(RedisEngine::new(single(&server)).unwrap());
    let mut writer = cache.writer(600 << 20);
    for n in 0..150 {
        writer.write(noise(n, PIECE)).await.unwrap();
    }
    let written = writer.finish(Expected::Anything).await.unwrap();
    assert!(written.kept && written.digest.size_bytes() == 600 << 20);
    let mut reader = cache.read(written.digest, 0, None).await.unwrap();
    let (mut n, mut piece) = (0, Bytes::new());
    while let Some(mut bytes) = reader.next().await.unwrap() {
        while !bytes.is_empty() {
            if piece.is_empty() {
                piece = noise(n, PIECE);
                n += 1;
            }
            let both = piece.len().min(bytes.len());
            assert!(piece.split_to(both) == bytes.split_to(both), "piece {n}");
        }
    }
    assert!(n == 150 && piece.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_asked_for_with_one_command_and_renewed_all_the_same() {
    let server = Server::start(&[]).await;
    let temporary_ttl = Duration::from_secs(3600);
    let engine = RedisEngine::new(RedisOptions { temporary_ttl, ..single(&server) }).unwrap();
    let keys: Vec<_> = (0..100).map(|number| key(Kind::Chunk, "main", &number.to_string())).collect();
    let puts = |keep: Keep| {
        let put = |key| Put { keep, ..put(key, "x") };
        keys.iter().map(put).collect::<Vec<_>>()
    };
    let shortest = async || {
        let mut shortest = i64::MAX;
        for key in server.keys().await {
            shortest = shortest.min(server.ask(&["TTL", &key]).await);
        }
        shortest
    };
    assert_eq!(engine.have_many(&keys).await.unwrap(), [false; 100]);
    assert_eq!((server.calls("touch").await, server.calls("expire").await), (1, 0), "none is there");
    engine.put_many(puts(Keep::Temporary)).await.unwrap();
    assert!(shortest().await <= 3600);
    assert_eq!(engine.have_many(&keys).await.unwrap(), [true; 100]);
    assert!(shortest().await > 3600, "they stay now");
    assert_eq!(engine.have_many(&keys).await.unwrap(), [true; 100]);
    assert_eq!((server.calls("touch").await, server.calls("expire").await), (3, 100), "renewed a moment ago");
    // One goes behind our back, and comes back as a part of somebody's upload.
    let gone = format!("slipway:{}", keys[40].to_text());
    assert_eq!(server.ask::<i64>(&["DEL", &gone]).await, 1);
    let there = engine.have_many(&keys).await.unwrap();
    assert_eq!(there.iter().position(|there| !there), Some(40));
    assert_eq!(there.iter().filter(|there| **there).count(), 99);
    engine.put_many(puts(Keep::Temporary)).await.unwrap();
    assert!(shortest().await <= 3600);
    assert_eq!(engine.have_many(&keys).await.unwrap(), [true; 100]);
    assert!(shortest().await > 3600, "that one, too");
    engine.delete_many(&keys).await.unwrap();
    assert_eq!(engine.have_many(&keys).await.unwrap(), [false; 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_more_than_his_quota_loses_what_he_did_not_use_longest() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    let engine = RedisEngine::new(single(&server)).unwrap();
    let keys = |owner: &str| -> Vec<_> {
        (0..1_000).map(|n| key(Kind::Chunk, &format!("{owner}.b"), &n.to_string())).collect()
    };
    let (greedy, modest) = (keys("r-greedy"), keys("r-modest"));
    for key in greedy.iter().chain(&modest) {
        engine.put_many(vec![put(key, noise(1, 1_000))]).await.unwrap();
    }
    let quotas = Quotas::default().with("r-greedy", 500_000).with("r-", 10_000_000);
    let held = hold(&engine, &quotas, || std::future::ready(())).await.unwrap();
    let owners: Vec<_> = held.owners.iter().map(|holding| (holding.owner.as_str(), holding.values)).collect();
    assert_eq!(owners, [("r-greedy", 1_000), ("r-modest", 1_000)]);
    assert_eq!(held.removed, 0, "all of it was used just now");

    // Half of all was not used for days.
    for old in greedy[..500].iter().chain(&modest[..500]) {
        let name = format!("slipway:{}", old.to_text());
        let dumped: Vec<u8> =
            redis::cmd("DUMP").arg(&name).query_async(&mut server.connection().await).await.unwrap();
        let mut restore = redis::cmd("RESTORE");
        restore.arg(&name).arg(600_000).arg(dumped).arg("REPLACE").arg("IDLETIME").arg(200_000);
        restore.query_async::<()>(&mut server.connection().await).await.unwrap();
    }
    // A use takes its age from it.
    assert_eq!(engine.have_many(&greedy[..10]).await.unwrap(), [true; 10]);
    let held = hold(&engine, &quotas, || std::future::ready(())).await.unwrap();
    assert_eq!(held.removed, 490, "all that may go: it has still more than it may");
    let left = engine.have_many(&greedy).await.unwrap();
    assert!(left[..10].iter().chain(&left[500..]).all(|there| *there) && !left[10..500].contains(&true));
    assert_eq!(engine.have_many(&modest).await.unwrap(), [true; 1_000]);
}
