//! Who holds how much, and room among those that hold more than they may: for engines that cannot say, by a walk.
//!
//! One walk adds up what each owner has, by how long it was not used. If one has too much, a second one removes what of it was not used
//! longest. Neither remembers a key, so that their memory does not grow with the cache. What was used lately always stays, since somebody
//! may just have been told that it is there: a quota holds a while after it is exceeded.

use std::collections::{BTreeMap, HashMap};

use crate::cache::engine::{Engine, EngineError, Holding, Listed};
use crate::cache::key::Key;
use crate::cache::limits::{QUOTA_GOAL_PERCENT, QUOTA_OWNERS, QUOTA_STAYS_S};
use crate::cache::quotas::Quotas;

/// What a walk found and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// What each owner held before anything was removed, those with most bytes first.
    pub owners: Vec<Holding>,
    /// Values removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// What one owner has.
#[derive(Debug, Default)]
struct Sum {
    values: u64,
    size_bytes: u64,
    /// Bytes by age.
    by_age: BTreeMap<Age, u64>,
}

/// How long something was not used, in steps of a quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Age(u16);

impl Age {
    /// The age of what was not used for so many seconds, if it may be removed at all.
    fn of(listed: &Listed) -> Option<Self> {
        let idle_s = listed.idle_s.filter(|idle_s| *idle_s >= QUOTA_STAYS_S)?;
        let octave = idle_s.checked_ilog2()?;
        let quarters = (idle_s >> octave.saturating_sub(2)) & 3;
        u16::try_from(u64::from(octave) * 4 + quarters).ok().map(Self)
    }
}

/// Adds up what owners hold, and removes what is beyond their quotas. `pause` is waited for between steps of the walks: others use the
/// engine meanwhile.
///
/// # Errors
/// [`EngineError::Unavailable`]; some may be removed then.
pub async fn hold<P: Future<Output = ()>>(
    engine: &dyn Engine,
    quotas: &Quotas,
    pause: impl Fn() -> P,
) -> Result<Held, EngineError> {
    let sums = add_up(engine, &pause).await?;
    let mut over = HashMap::new();
    for (owner, sum) in &sums {
        if let Some(quota) = quotas.of(owner).filter(|quota| sum.size_bytes > *quota) {
            over.insert(owner.clone(), Surplus::of(sum, quota));
        }
    }
    let holding =
        |(owner, sum): (String, Sum)| Holding { owner, values: sum.values, size_bytes: sum.size_bytes };
    let mut held = Held { owners: sums.into_iter().map(holding).collect(), ..Held::default() };
    held.owners.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.owner.cmp(&b.owner)));
    if !over.is_empty() {
        remove(engine, over, &mut held, &pause).await?;
    }
    Ok(held)
}

async fn add_up<P: Future<Output = ()>>(
    engine: &dyn Engine,
    pause: &impl Fn() -> P,
) -> Result<HashMap<String, Sum>, EngineError> {
    let mut sums: HashMap<String, Sum> = HashMap::new();
    let mut from = None;
    loop {
        let page = engine.scan(from).await?;
        for listed in &page.keys {
            let owner = listed.key.namespace.owner();
            if sums.len() >= QUOTA_OWNERS && !sums.contains_key(owner) {
                continue;
            }
            let sum = sums.entry(owner.to_owned()).or_default();
            let size_bytes = listed.size_bytes.unwrap_or_default();
            sum.values += 1;
            sum.size_bytes += size_bytes;
            if let Some(age) = Age::of(listed) {
                *sum.by_age.entry(age).or_default() += size_bytes;
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(sums),
        }
        pause().await;
    }
}

/// What goes of an owner's.
#[derive(Debug, PartialEq, Eq)]
struct Surplus {
    /// All that is older than this.
    older_than: Age,
    /// And of what is as old so many bytes.
    as_old_bytes: u64,
}

impl Surplus {
    fn of(sum: &Sum, quota: u64) -> Self {
        // A little more than is needed, so that the next value does not bring the next walk.
        let goal = quota / 100 * QUOTA_GOAL_PERCENT;
        let mut surplus = Self { older_than: Age(u16::MAX), as_old_bytes: 0 };
        let mut left = sum.size_bytes.saturating_sub(goal);
        for (age, bytes) in sum.by_age.iter().rev() {
            surplus = Self { older_than: *age, as_old_bytes: left.min(*bytes) };
            left = left.saturating_sub(*bytes);
            if left == 0 {
                break;
            }
        }
        surplus
    }

    /// Whether this one goes.
    fn takes(&mut self, listed: &Listed) -> bool {
        let Some(age) = Age::of(listed) else { return false };
        if age == self.older_than && self.as_old_bytes > 0 {
            self.as_old_bytes = self.as_old_bytes.saturating_sub(listed.size_bytes.unwrap_or_default());
            return true;
        }
        age > self.older_than
    }
}

async fn remove<P: Future<Output = ()>>(
    engine: &dyn Engine,
    mut over: HashMap<String, Surplus>,
    held: &mut Held,
    pause: &impl Fn() -> P,
) -> Result<(), EngineError> {
    let mut from = None;
    loop {
        let page = engine.scan(from).await?;
        let mut takes = |listed: &Listed| {
            over.get_mut(listed.key.namespace.owner()).is_some_and(|surplus| surplus.takes(listed))
        };
        let gone: Vec<Listed> = page.keys.into_iter().filter(|listed| takes(listed)).collect();
        if !gone.is_empty() {
            let keys: Vec<Key> = gone.iter().map(|listed| listed.key.clone()).collect();
            held.removed += engine.delete_many(&keys).await?;
            held.removed_bytes += gone.iter().filter_map(|listed| listed.size_bytes).sum::<u64>();
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
        pause().await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::cache::conformance::key;
    use crate::cache::engine::{Found, Later, Page, Put, Stats};
    use crate::cache::key::Kind;

    /// An engine whose values have the ages that a test says, and that lists a few at a time.
    struct Aged(Mutex<Vec<Listed>>);

    const PAGE: usize = 7;

    impl Aged {
        fn new(values: &[(&str, u64, Option<u64>)]) -> Self {
            let listed = |(n, (namespace, size_bytes, idle_s)): (usize, &(&str, u64, Option<u64>))| Listed {
                key: key(Kind::Chunk, namespace, &n.to_string()),
                size_bytes: Some(*size_bytes),
                idle_s: *idle_s,
            };
            Self(Mutex::new(values.iter().enumerate().map(listed).collect()))
        }

        /// The ages that are left of an owner.
        fn left(&self, owner: &str) -> Vec<Option<u64>> {
            let listed = self.0.lock().unwrap();
            listed.iter().filter(|it| it.key.namespace.owner() == owner).map(|it| it.idle_s).collect()
        }
    }

    impl Engine for Aged {
        fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
            Box::pin(async move { Ok(vec![Found::Missing; keys.len()]) })
        }
        fn put_many(&self, _: Vec<Put>) -> Later<'_, ()> {
            Box::pin(async { Ok(()) })
        }
        fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
            Box::pin(async move { Ok(vec![false; keys.len()]) })
        }
        fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
            Box::pin(async move {
                self.0.lock().unwrap().retain(|listed| !keys.contains(&listed.key));
                Ok(keys.len() as u64)
            })
        }
        fn scan(&self, from: Option<String>) -> Later<'_, Page> {
            Box::pin(async move {
                // By key, so that a walk goes on behind what was removed.
                let mut keys = self.0.lock().unwrap().clone();
                keys.sort_by_key(|listed| listed.key.to_text());
                keys.retain(|listed| from.as_ref().is_none_or(|from| listed.key.to_text() > *from));
                keys.truncate(PAGE);
                let next = keys.last().filter(|_| keys.len() == PAGE).map(|listed| listed.key.to_text());
                Ok(Page { keys, next })
            })
        }
        fn stats(&self) -> Later<'_, Stats> {
            Box::pin(async { Ok(Stats::default()) })
        }
    }

    async fn held(engine: &Aged, quotas: Quotas) -> Held {
        hold(engine, &quotas, || std::future::ready(())).await.unwrap()
    }

    #[tokio::test]
    async fn who_has_too_much_loses_what_was_not_used_longest_and_nobody_else_anything() {
        let mut values = Vec::new();
        for n in 1..=100 {
            values.push(("r-1.b", 10, Some(n * 1_000)));
            values.push(("r-2.b", 10, Some(n * 1_000)));
        }
        values.push(("shared", 1_000_000, Some(1_000_000)));
        let engine = Aged::new(&values);
        let held = held(&engine, Quotas::default().with("r-1", 500).with("r-2", 1_000)).await;
        let owners: Vec<_> =
            held.owners.iter().map(|it| (it.owner.as_str(), it.values, it.size_bytes)).collect();
        assert_eq!(owners, [("shared", 1, 1_000_000), ("r-1", 100, 1_000), ("r-2", 100, 1_000)]);
        let mut left = engine.left("r-1");
        left.sort_unstable();
        assert_eq!((left.len(), held.removed, held.removed_bytes), (45, 55, 550), "nine tenths of the quota");
        // Ages are told apart by a quarter.
        assert!(left.last().unwrap().unwrap() <= 60_000, "{left:?}");
        assert_eq!((engine.left("r-2").len(), engine.left("shared").len()), (100, 1));
    }

    #[tokio::test]
    async fn what_was_used_lately_stays_whatever_the_quota() {
        let engine = Aged::new(&[
            ("r-1", 100, Some(0)),
            ("r-1", 100, Some(QUOTA_STAYS_S - 1)),
            ("r-1", 100, None),
            ("r-1", 100, Some(QUOTA_STAYS_S)),
        ]);
        let held = held(&engine, Quotas::default().with("r-", 10)).await;
        assert_eq!((held.removed, engine.left("r-1")), (1, vec![Some(0), Some(QUOTA_STAYS_S - 1), None]));
    }

    #[test]
    fn ages_grow_with_time() {
        let of = |idle_s| {
            Age::of(&Listed { key: key(Kind::Chunk, "a", "x"), size_bytes: None, idle_s: Some(idle_s) })
        };
        let mut last = of(QUOTA_STAYS_S).unwrap();
        for idle_s in (QUOTA_STAYS_S..10_000_000).step_by(977).chain([u64::MAX]) {
            let age = of(idle_s).unwrap();
            assert!(age >= last, "{idle_s}");
            last = age;
        }
        assert_eq!(of(0), None);
    }
}
