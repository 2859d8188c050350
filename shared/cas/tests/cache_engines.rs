//! Every cache engine that needs no server passes the one suite.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use slipway_cas::cache::{
    DiskEngine, DiskOptions, Engine, MemoryEngine, Quotas, Tiered, WriteMode, conformance,
};

const ROOMY: u64 = 1 << 30;

fn seed() -> u64 {
    std::env::var("SLIPWAY_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    conformance::check(async || Arc::new(MemoryEngine::new(ROOMY)) as Arc<dyn Engine>, seed()).await;
    conformance::check_bounded(async |bytes| Arc::new(MemoryEngine::new(bytes)) as Arc<dyn Engine>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk() {
    let folders = tempfile::tempdir().unwrap();
    let open = async |max_bytes| {
        let root = folders.path().join(fastrand::u64(..).to_string());
        let options = DiskOptions { root, max_bytes, quotas: Quotas::default() };
        Arc::new(DiskEngine::open(&options).unwrap()) as Arc<dyn Engine>
    };
    conformance::check(async || open(ROOMY).await, seed()).await;
    conformance::check_bounded(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tiers() {
    for mode in [WriteMode::Through, WriteMode::Around] {
        let tiers = async |fast_bytes| {
            let (fast, slow) = (MemoryEngine::new(fast_bytes), MemoryEngine::new(ROOMY));
            Arc::new(Tiered::new(Arc::new(fast), Arc::new(slow), mode)) as Arc<dyn Engine>
        };
        conformance::check(async || tiers(ROOMY).await, seed()).await;
        // A fast tier that forgets nearly everything changes no answer.
        conformance::check(async || tiers(100_000).await, seed()).await;
    }
}
