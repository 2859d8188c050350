//! The suite of the index.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::error::ResultsError;
use super::super::index::{Index, NewArtifact, NewCache, Part, Placed};
use super::super::limits::UPLOADS_PER_JOB_MAX;
use super::IndexAt;

/// How many ask for the same at a time.
const AT_ONCE: usize = 16;

/// Runs every check, each in a place of its own. Two handles of one place are two coordinators'.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check_index(mut place: impl FnMut() -> IndexAt) {
    entries_are_found_by_scope_key_and_prefix(&place()).await;
    keys_compare_by_their_bytes(&place()).await;
    one_of_many_wins_a_key(&place()).await;
    a_dead_job_is_in_nobodys_way(&place()).await;
    numbers_are_never_given_twice(&place()).await;
    a_refused_change_leaves_nothing(&place()).await;
    what_is_done_twice_is_done_once(&place()).await;
    parts_are_put_in_order(&place()).await;
    uploads_of_a_job_are_bounded(&place()).await;
    artifacts_have_a_name_once(&place()).await;
    a_pinned_artifact_stays(&place()).await;
    what_is_over_is_told(&place()).await;
    everything_survives_opening_again(&place()).await;
}

/// What the index bears of a server that ends its connections again and again (`cut`).
///
/// # Panics
/// When a change is lost or refused.
pub async fn check_cuts(place: &IndexAt, mut cut: impl FnMut()) {
    let index = place.open().await;
    for number in 0..10 {
        cut();
        let id = save(&index, "main", &format!("k{number}"), 1).await;
        cut();
        assert_eq!(found(&index, "main", &format!("k{number}")).await, Some(id));
    }
    assert_eq!(index.usage(9).await.unwrap()[0].caches, 10);
}

/// A coordinator that was replaced as the leader changes nothing. `lead` makes a new leader of the place's journal, and gives
/// its epoch.
///
/// # Panics
/// When it changes something.
pub async fn check_replaced(place: &IndexAt, mut lead: impl FnMut() -> u64) {
    let (old, new) = (place.open().await, place.open().await);
    old.lead(lead());
    let id = save(&old, "main", "k", 1).await;
    new.lead(lead());
    for refused in [
        old.create_cache(cache("main", "late", "lease"), live).await.map(drop),
        old.forget_all(vec![id]).await,
        old.find_cache("forge/o/n".into(), vec!["main".into()], "v".into(), vec!["k".into()], 9)
            .await
            .map(drop),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("another coordinator leads"), "{error}");
    }
    assert_eq!(old.usage(9).await.unwrap()[0].caches, 1, "it may look");
    assert_eq!(found(&new, "main", "k").await, Some(id));
    save(&new, "main", "next", 2).await;
}

/// What a version before this one left is taken on, once or more often. `older` turns the place into what that left.
///
/// # Panics
/// When it is refused.
pub async fn check_older(place: &IndexAt, older: impl FnOnce()) {
    drop(place.open().await);
    older();
    for _ in 0..2 {
        let index = place.open().await;
        assert!(index.artifacts_of_run("run".into(), None, 20).await.unwrap().is_empty());
    }
}

fn live(_: &str) -> bool {
    true
}

fn dead(_: &str) -> bool {
    false
}

fn cache(scope: &str, key: &str, lease: &str) -> NewCache {
    NewCache {
        repository: "forge/o/n".to_owned(),
        scope: scope.to_owned(),
        version: "v".to_owned(),
        key: key.to_owned(),
        lease: lease.to_owned(),
        limit_bytes: 1_000,
        now_ms: 10,
    }
}

fn part(file: &str, size_bytes: u64) -> Part {
    Part { file: file.to_owned(), size_bytes, crc32: u32::MAX }
}

/// Saves an entry at this time.
async fn save(index: &Index, scope: &str, key: &str, now_ms: u64) -> i64 {
    let (id, replaced) = index.create_cache(cache(scope, key, "lease"), live).await.unwrap();
    assert_eq!(replaced, None);
    index.set_whole(id, part("f", 7)).await.unwrap();
    index.finish_cache(id, "lease".to_owned(), 7, now_ms).await.unwrap();
    id
}

async fn found_of(index: &Index, scopes: &[&str], keys: &[&str]) -> Option<i64> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let found = index.find_cache("forge/o/n".into(), owned(scopes), "v".into(), owned(keys), 99).await;
    found.unwrap().map(|entry| entry.id)
}

async fn found(index: &Index, scope: &str, key: &str) -> Option<i64> {
    found_of(index, &[scope], &[key]).await
}

async fn entries_are_found_by_scope_key_and_prefix(place: &IndexAt) {
    let index = place.open().await;
    let one = save(&index, "main", "deps-1", 1).await;
    let two = save(&index, "main", "deps-2", 2).await;
    let other = save(&index, "topic", "deps-0", 3).await;
    assert_eq!(found(&index, "main", "deps-1").await, Some(one), "the key itself first");
    assert_eq!(found(&index, "main", "deps").await, Some(two), "then the newest that begins so");
    assert_eq!(found_of(&index, &["main"], &["none", "deps-"]).await, Some(two));
    assert_eq!(found_of(&index, &["topic", "main"], &["deps-1"]).await, Some(one));
    assert_eq!(
        found_of(&index, &["topic", "main"], &["deps-1", "deps"]).await,
        Some(other),
        "scope by scope"
    );
    assert_eq!(found(&index, "main", "deps-3").await, None);
    assert_eq!(found(&index, "nowhere", "deps").await, None);
    let (open, _) = index.create_cache(cache("main", "deps-9", "lease"), live).await.unwrap();
    assert_eq!(found(&index, "main", "deps-9").await, None, "it is not ready");
    assert_eq!(index.own_cache(cache("main", "deps-9", "lease")).await.unwrap(), open);
    let error = index.own_cache(cache("main", "deps-9", "another")).await.unwrap_err();
    assert!(matches!(error, ResultsError::NotFound(_)), "{error}");
    let listed = index.list_caches("forge/o/n".into(), vec!["main".into(), "topic".into()], "deps".into());
    let ids: Vec<i64> = listed.await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [two, one, other]);
}

async fn keys_compare_by_their_bytes(place: &IndexAt) {
    let index = place.open().await;
    let umlaut = save(&index, "main", "bär-1", 1).await;
    let upper = save(&index, "main", "BÄR-1", 2).await;
    let last = save(&index, "main", "bär-\u{10fffd}", 3).await;
    let space = save(&index, "main", "a b", 4).await;
    assert_eq!(found(&index, "main", "bä").await, Some(last));
    assert_eq!(found(&index, "main", "bär-1").await, Some(umlaut));
    assert_eq!(found(&index, "main", "BÄ").await, Some(upper));
    assert_eq!(found(&index, "main", "a ").await, Some(space));
    for none in ["ba", "ab", "b_", "b%", "bär-2"] {
        assert_eq!(found(&index, "main", none).await, None, "{none}");
    }
}

async fn one_of_many_wins_a_key(place: &IndexAt) {
    let handles = [Arc::new(place.open().await), Arc::new(place.open().await)];
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let index = Arc::clone(&handles[number % 2]);
            tokio::spawn(
                async move { index.create_cache(cache("main", "k", &number.to_string()), live).await },
            )
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok((id, None)) => won.push(id),
            Err(ResultsError::Exists(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
}

async fn a_dead_job_is_in_nobodys_way(place: &IndexAt) {
    let (one, two) = (place.open().await, place.open().await);
    let (old, _) = one.create_cache(cache("main", "k", "dead"), live).await.unwrap();
    assert_eq!(one.create_cache(cache("main", "k", "dead"), live).await.unwrap(), (old, None), "asked again");
    one.add_part(old, "b".into(), part("f", 1)).await.unwrap();
    let error = two.create_cache(cache("main", "k", "next"), live).await.unwrap_err();
    assert!(matches!(error, ResultsError::Exists(_)), "{error}");
    let (new, replaced) = two.create_cache(cache("main", "k", "next"), dead).await.unwrap();
    assert_eq!(replaced, Some(old));
    let error = one.open_upload(old).await.unwrap_err();
    assert!(matches!(error, ResultsError::NotFound(_)), "{error}");
    two.set_whole(new, part("g", 1)).await.unwrap();
    two.finish_cache(new, "next".into(), 1, 5).await.unwrap();
    let error = one.create_cache(cache("main", "k", "third"), dead).await.unwrap_err();
    assert!(matches!(error, ResultsError::Exists(_)), "what is ready stays: {error}");
}

async fn numbers_are_never_given_twice(place: &IndexAt) {
    let handles = [Arc::new(place.open().await), Arc::new(place.open().await)];
    let tasks: Vec<_> = (0..3 * AT_ONCE)
        .map(|number| {
            let index = Arc::clone(&handles[number % 2]);
            let new = cache("main", &number.to_string(), &number.to_string());
            tokio::spawn(async move { index.create_cache(new, live).await.unwrap().0 })
        })
        .collect();
    let mut given = BTreeSet::new();
    for task in tasks {
        assert!(given.insert(task.await.unwrap()), "{given:?}");
    }
    // Not even those of what is forgotten, after everybody left.
    handles[0].forget_all(given.iter().copied().collect()).await.unwrap();
    drop(handles);
    let (next, _) = place.open().await.create_cache(cache("main", "k", "lease"), live).await.unwrap();
    assert!(given.iter().all(|id| *id < next), "{next} after {given:?}");
}

async fn a_refused_change_leaves_nothing(place: &IndexAt) {
    let index = place.open().await;
    let (id, _) = index.create_cache(cache("main", "k", "lease"), live).await.unwrap();
    index.add_part(id, "a".into(), part("fa", 900)).await.unwrap();
    let error = index.add_part(id, "b".into(), part("fb", 101)).await.unwrap_err();
    assert!(matches!(error, ResultsError::TooLarge(_)), "{error}");
    for wrong in [vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned(), "a".to_owned()]] {
        let error = index.place(id, Placed::Blocks(wrong)).await.unwrap_err();
        assert!(matches!(error, ResultsError::Invalid(_)), "{error}");
    }
    let error = index.finish_cache(id, "lease".into(), 900, 5).await.unwrap_err();
    assert!(matches!(error, ResultsError::Precondition(_)), "nothing was placed: {error}");
    assert!(index.place(id, Placed::Blocks(vec!["a".to_owned()])).await.unwrap().is_empty());
    for (lease, size_bytes) in [("another", 900), ("lease", 901)] {
        assert!(index.finish_cache(id, lease.to_owned(), size_bytes, 5).await.is_err());
        index.open_upload(id).await.unwrap();
    }
    index.finish_cache(id, "lease".into(), 900, 5).await.unwrap();
    let (upload, parts) = index.parts(id).await.unwrap();
    assert_eq!((upload.size_bytes, parts), (900, vec![part("fa", 900)]));
}

async fn what_is_done_twice_is_done_once(place: &IndexAt) {
    let index = place.open().await;
    let (id, _) = index.create_cache(cache("main", "k", "lease"), live).await.unwrap();
    for _ in 0..2 {
        // Its own file is nobody's to remove.
        assert!(index.add_part(id, "a".into(), part("fa", 3)).await.unwrap().is_empty());
    }
    assert_eq!(index.add_part(id, "a".into(), part("fb", 4)).await.unwrap(), ["fa"]);
    assert_eq!(index.set_whole(id, part("fc", 5)).await.unwrap(), ["fb"]);
    assert!(index.set_whole(id, part("fc", 5)).await.unwrap().is_empty());
    for _ in 0..2 {
        index.finish_cache(id, "lease".into(), 5, 5).await.unwrap();
        index.forget_all(vec![id + 1_000]).await.unwrap();
    }
    let error = index.set_whole(id, part("fd", 5)).await.unwrap_err();
    assert!(matches!(error, ResultsError::Exists(_)), "it changes no more: {error}");
}

async fn parts_are_put_in_order(place: &IndexAt) {
    const BLOCKS: usize = 500;
    let index = place.open().await;
    let (id, _) = index.create_cache(cache("main", "k", "lease"), live).await.unwrap();
    for number in 0..BLOCKS {
        index.add_part(id, number.to_string(), part(&format!("f{number}"), 1)).await.unwrap();
    }
    let order: Vec<String> = (1..BLOCKS).rev().map(|number| number.to_string()).collect();
    assert_eq!(index.place(id, Placed::Blocks(order)).await.unwrap(), ["f0"]);
    index.finish_cache(id, "lease".into(), BLOCKS as u64 - 1, 5).await.unwrap();
    let files: Vec<String> = index.parts(id).await.unwrap().1.into_iter().map(|part| part.file).collect();
    assert!(files.iter().eq((1..BLOCKS).rev().map(|number| format!("f{number}")).collect::<Vec<_>>().iter()));

    let (id, _) = index.create_cache(cache("main", "offsets", "lease"), live).await.unwrap();
    for (offset, size_bytes) in [(20, 5), (0, 9), (9, 11)] {
        index.add_part(id, offset.to_string(), part(&offset.to_string(), size_bytes)).await.unwrap();
    }
    assert!(index.place(id, Placed::Offsets(26)).await.is_err());
    index.place(id, Placed::Offsets(25)).await.unwrap();
    index.finish_cache(id, "lease".into(), 25, 5).await.unwrap();
    let files: Vec<String> = index.parts(id).await.unwrap().1.into_iter().map(|part| part.file).collect();
    assert_eq!(files, ["0", "9", "20"]);
}

async fn uploads_of_a_job_are_bounded(place: &IndexAt) {
    let handles = [Arc::new(place.open().await), Arc::new(place.open().await)];
    let wanted = UPLOADS_PER_JOB_MAX as usize + 10;
    let tasks: Vec<_> = (0..wanted)
        .map(|number| {
            let index = Arc::clone(&handles[number % 2]);
            let new = cache("main", &number.to_string(), "lease");
            tokio::spawn(async move { index.create_cache(new, live).await })
        })
        .collect();
    let mut begun = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => begun += 1,
            Err(ResultsError::TooLarge(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(begun, UPLOADS_PER_JOB_MAX);
}

fn artifact(name: &str, run_attempt: u64) -> NewArtifact {
    NewArtifact {
        repository: "forge/o/n".to_owned(),
        family: "ci.yml#1".to_owned(),
        run_attempt,
        run: format!("run-{run_attempt}"),
        instance: "job".to_owned(),
        name: name.to_owned(),
        mime_type: "application/zip".to_owned(),
        lease: "lease".to_owned(),
        limit_bytes: 1_000,
        now_ms: 10,
        expires_ms: 50,
    }
}

async fn upload(index: &Index, name: &str, run_attempt: u64) -> i64 {
    let new = artifact(name, run_attempt);
    let (id, _) = index.create_artifact(new.clone(), live).await.unwrap();
    index.set_whole(id, part("f", 3)).await.unwrap();
    let (sealed, upload) = index.seal_artifact(new.run, new.name, new.lease).await.unwrap();
    assert_eq!((sealed.id, sealed.ready, upload.size_bytes), (id, false, 3));
    index.finish_artifact(id, "ab".repeat(32)).await.unwrap();
    id
}

async fn artifacts_have_a_name_once(place: &IndexAt) {
    let index = place.open().await;
    let list = async |name: Option<&str>, id: Option<i64>, now_ms| {
        let listed = index.list_artifacts(
            "forge/o/n".into(),
            "ci.yml#1".into(),
            name.map(ToOwned::to_owned),
            id,
            now_ms,
        );
        listed.await.unwrap().into_iter().map(|artifact| artifact.id).collect::<Vec<_>>()
    };
    let one = upload(&index, "one", 1).await;
    let error = index.create_artifact(artifact("one", 1), dead).await.unwrap_err();
    assert!(matches!(error, ResultsError::Exists(_)), "{error}");
    let again = upload(&index, "one", 2).await;
    let two = upload(&index, "two", 2).await;
    index.create_artifact(artifact("open", 2), live).await.unwrap();
    assert_eq!(list(None, None, 20).await, [one, again, two]);
    assert_eq!(list(Some("one"), None, 20).await, [one, again]);
    assert_eq!(list(Some("one"), Some(again), 20).await, [again]);
    assert_eq!(list(None, Some(two), 20).await, [two]);
    assert!(list(None, None, 50).await.is_empty(), "their time is over");
    assert_eq!(index.artifact_name(two).await.unwrap(), Some(("two".into(), "application/zip".into())));
    let delete =
        || index.delete_artifact("forge/o/n".into(), "ci.yml#1".into(), "run-2".into(), "two".into());
    assert_eq!(delete().await.unwrap(), two);
    assert!(matches!(delete().await.unwrap_err(), ResultsError::NotFound(_)));
    assert_eq!(index.artifact_name(two).await.unwrap(), None);
    assert_eq!(index.artifact_families().await.unwrap().len(), 3);
    assert_eq!(index.expired_artifacts(49, 9).await.unwrap(), [0_i64; 0]);
    assert_eq!(index.expired_artifacts(50, 9).await.unwrap().len(), 3);
}

async fn a_pinned_artifact_stays(place: &IndexAt) {
    let index = place.open().await;
    let (pinned, other) = (upload(&index, "pinned", 1).await, upload(&index, "other", 1).await);
    let of_run = async |id: Option<i64>, now_ms| {
        let found = index.artifacts_of_run("run-1".into(), id, now_ms).await.unwrap();
        found.into_iter().map(|artifact| (artifact.id, artifact.pinned)).collect::<Vec<_>>()
    };
    index.create_artifact(artifact("open", 1), live).await.unwrap();
    assert_eq!(of_run(None, 20).await, [(other, false), (pinned, false)], "by name, and what is ready");
    index.pin_artifact(pinned, true).await.unwrap();
    assert_eq!(of_run(None, 50).await, [(pinned, true)], "the other's time is over");
    assert_eq!(of_run(Some(other), 20).await, [(other, false)]);
    assert!(of_run(Some(other + 100), 20).await.is_empty());
    assert!(index.artifacts_of_run("run-2".into(), Some(pinned), 20).await.unwrap().is_empty());
    assert!(!index.expired_artifacts(50, 9).await.unwrap().contains(&pinned));
    let listed = index.list_artifacts("forge/o/n".into(), "ci.yml#1".into(), Some("pinned".into()), None, 50);
    assert_eq!(listed.await.unwrap().len(), 1, "jobs of the run find it too");
    let elsewhere = |repository: &str, run: &str, name: Option<&str>| {
        index.artifacts_of_attempts(repository.into(), run.into(), name.map(Into::into), 20)
    };
    assert_eq!(elsewhere("forge/o/n", "run-1", None).await.unwrap().len(), 2);
    assert_eq!(elsewhere("forge/o/n", "run-1", Some("other")).await.unwrap()[0].id, other);
    assert!(elsewhere("forge/o/m", "run-1", None).await.unwrap().is_empty(), "another repository's run");
    assert!(elsewhere("forge/o/n", "run-9", None).await.unwrap().is_empty());
    index.pin_artifact(pinned, false).await.unwrap();
    assert!(of_run(None, 50).await.is_empty());
    assert!(index.expired_artifacts(50, 9).await.unwrap().contains(&pinned));
}

async fn what_is_over_is_told(place: &IndexAt) {
    let index = place.open().await;
    let one = save(&index, "main", "a", 1).await;
    let two = save(&index, "main", "b", 2).await;
    let three = save(&index, "main", "c", 3).await;
    let shown = upload(&index, "one", 1).await;
    let (open, _) = index.create_cache(cache("main", "open", "of a job"), live).await.unwrap();
    assert_eq!(index.unfinished(0, 9).await.unwrap(), [(open, "of a job".to_owned())]);
    assert!(index.unfinished(open, 9).await.unwrap().is_empty());
    let named = index.named().await.unwrap();
    assert!(named.keys().eq([one, two, three, shown, open].iter()));
    assert!(named[&open].is_empty() && named[&one].contains("f"));
    assert_eq!(index.unused_caches(3, 9).await.unwrap(), [one, two]);
    assert_eq!(index.unused_caches(3, 1).await.unwrap().len(), 1);
    let unused = index.count_unused(3).await.unwrap();
    assert_eq!((unused.entries, unused.size_bytes), (2, 14));
    assert_eq!(index.count_unused(0).await.unwrap().size_bytes, 0);
    assert_eq!(found(&index, "main", "a").await, Some(one), "that is a use");
    assert_eq!(index.surplus_caches(14, 9).await.unwrap(), [two]);
    assert!(index.surplus_caches(21, 9).await.unwrap().is_empty());
    let usage = index.usage(9).await.unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!(
        (usage[0].caches, usage[0].cache_bytes, usage[0].artifacts, usage[0].artifact_bytes),
        (3, 21, 1, 3)
    );
    index.forget_all(vec![one, two, three, shown, open]).await.unwrap();
    assert!(index.named().await.unwrap().is_empty() && index.usage(9).await.unwrap().is_empty());
}

async fn everything_survives_opening_again(place: &IndexAt) {
    let index = place.open().await;
    let id = save(&index, "main", "k", 1).await;
    let (open, _) = index.create_cache(cache("main", "half", "lease"), live).await.unwrap();
    index.add_part(open, "a".into(), part("fa", 3)).await.unwrap();
    drop(index);
    let index = place.open().await;
    assert_eq!(found(&index, "main", "k").await, Some(id));
    index.place(open, Placed::Blocks(vec!["a".into()])).await.unwrap();
    index.finish_cache(open, "lease".into(), 3, 9).await.unwrap();
}
