//! An engine that answers one call at a time: whoever leaves a call of his alone waits for himself.

use std::sync::Arc;
use std::time::Duration;

use slipway_cas::cache::engine::{Found, Later, Page, Put, Stats};
use slipway_cas::cache::{Engine, Key, MemoryEngine};
use tokio::sync::Mutex;

use crate::door::{Client, noise, serve};

/// What each call takes while it has its turn: longer than the next piece of an upload.
const TAKES: Duration = Duration::from_millis(5);

struct OneAtATime {
    engine: MemoryEngine,
    turn: Mutex<()>,
}

impl OneAtATime {
    fn take<'a, T: Send + 'a>(&'a self, call: Later<'a, T>) -> Later<'a, T> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            tokio::time::sleep(TAKES).await;
            call.await
        })
    }
}

impl Engine for OneAtATime {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        self.take(self.engine.get_many(keys))
    }
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        self.take(self.engine.put_many(puts))
    }
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.take(self.engine.have_many(keys))
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.take(self.engine.delete_many(keys))
    }
    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.take(self.engine.scan(from))
    }
    fn stats(&self) -> Later<'_, Stats> {
        self.take(self.engine.stats())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_does_not_wait_for_its_own_look() {
    let engine = OneAtATime { engine: MemoryEngine::new(1 << 30), turn: Mutex::default() };
    let mut client = Client::new(&serve(Arc::new(engine)).await, "main");
    for length in [1 << 20, 6 << 20] {
        let bytes = noise(1, length);
        let written = client.write(&bytes, 256 << 10);
        let written = tokio::time::timeout(Duration::from_secs(60), written).await;
        assert_eq!(written.expect("an end").unwrap(), length as i64);
    }
}
