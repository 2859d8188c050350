//! What was looked at a moment ago, for all who follow it: the driver's thread is asked once, however many they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// See the module.
#[derive(Debug)]
pub(super) struct Lately<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Lately<T> {
    /// What was seen within `fresh`, or else what `look` sees now; whoever asks meanwhile waits for that.
    ///
    /// # Errors
    /// Those of `look`.
    pub(super) async fn get<E>(
        &self,
        fresh: Duration,
        look: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let mut last = self.0.lock().await;
        if let Some((_, seen)) = last.as_ref().filter(|(at, _)| at.elapsed() < fresh) {
            return Ok(Arc::clone(seen));
        }
        let seen = Arc::new(look.await?);
        *last = Some((Instant::now(), Arc::clone(&seen)));
        Ok(seen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_look_is_for_all_and_an_old_one_for_nobody() {
        let lately = Lately::default();
        let look = |seen: Result<u32, &'static str>| async move { seen };
        let long = Duration::from_secs(3_600);
        assert_eq!(lately.get(long, look(Err("no"))).await.unwrap_err(), "no");
        assert_eq!(*lately.get(long, look(Ok(1))).await.unwrap(), 1);
        assert_eq!(*lately.get(long, look(Ok(2))).await.unwrap(), 1);
        assert_eq!(*lately.get(Duration::ZERO, look(Ok(3))).await.unwrap(), 3);
    }
}
