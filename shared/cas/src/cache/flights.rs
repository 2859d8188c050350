//! One piece of work for many who want the same result at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

/// Work under way, by key. Clones share it.
pub(crate) struct Flights<K, V> {
    under_way: Arc<Mutex<UnderWay<K, V>>>,
}

type UnderWay<K, V> = HashMap<K, Shared<BoxFuture<'static, Option<V>>>>;

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self { under_way: Arc::clone(&self.under_way) }
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// The result of `work` for this key: of the one that is under way, or else of this one, which then runs on
    /// whether or not its caller waits. `None` when the work panicked or the runtime ends.
    pub(crate) async fn join(&self, key: K, work: impl Future<Output = V> + Send + 'static) -> Option<V> {
        let shared = {
            let mut under_way = lock(&self.under_way);
            if let Some(shared) = under_way.get(&key) {
                shared.clone()
            } else {
                let landing = Landing { key: key.clone(), under_way: Arc::clone(&self.under_way) };
                let task = tokio::spawn(async move {
                    let _landing = landing;
                    work.await
                });
                let shared = async move { task.await.ok() }.boxed().shared();
                under_way.insert(key, shared.clone());
                shared
            }
        };
        shared.await
    }

    /// How many pieces of work are under way.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        lock(&self.under_way).len()
    }
}

fn lock<K, V>(under_way: &Mutex<UnderWay<K, V>>) -> MutexGuard<'_, UnderWay<K, V>> {
    // Nothing that can panic runs while it is held.
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the work off the list when it is done, and also when it panics.
struct Landing<K: Eq + Hash, V> {
    key: K,
    under_way: Arc<Mutex<UnderWay<K, V>>>,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let landed = lock(&self.under_way).remove(&self.key);
        // Dropped outside the lock: it may be the last that holds the result.
        drop(landed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_comes_meanwhile_gets_the_same() {
        let flights = Flights::<u8, usize>::default();
        let (ran, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
        let work = || {
            let (ran, gate) = (Arc::clone(&ran), Arc::clone(&gate));
            async move {
                let _permit = gate.acquire().await;
                ran.fetch_add(1, Ordering::SeqCst)
            }
        };
        let all = futures_util::future::join_all((0..64).map(|_| flights.join(1, work())));
        let opened = async {
            tokio::task::yield_now().await;
            gate.add_permits(1);
        };
        let (results, ()) = tokio::join!(all, opened);
        assert_eq!(results, vec![Some(0); 64]);
        assert_eq!(flights.count(), 0, "nothing is kept");
        assert_eq!(flights.join(1, work()).await, Some(1), "the next one runs anew");
    }

    #[tokio::test]
    async fn work_that_panics_is_not_waited_for_for_ever() {
        let flights = Flights::<u8, u8>::default();
        assert_eq!(flights.join(1, async { panic!("on purpose") }).await, None);
        assert_eq!(flights.join(1, async { 2 }).await, Some(2));
    }
}
