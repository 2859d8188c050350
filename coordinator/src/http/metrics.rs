//! `/metrics`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use slipway_cas::cache::Stats;

use super::error::ApiError;
use crate::cache::CacheClient as Client;
use crate::driver::View;
use crate::metrics::{Metrics, Page, escape_label};
use crate::services::Services;
use crate::view::PoolView;

/// What is read from the state when somebody asks.
struct Gauges {
    queues: Vec<(String, u64)>,
    leased: u64,
    agents: [u64; 4],
    slots: [u64; 2],
    open_runs: u64,
    pools: Vec<PoolView>,
}

fn read(view: View<'_>) -> Gauges {
    let queues = crate::view::waiting_reasons(view)
        .map(|(labels, waiting)| (format!("labels=\"{}\"", escape_label(&labels)), waiting));
    let mut gauges = Gauges {
        queues: queues.collect(),
        leased: view.state.leased_len() as u64,
        agents: [0; 4],
        slots: [0; 2],
        open_runs: view.state.runs().filter(|run| run.end().is_none()).count() as u64,
        pools: crate::view::pools(view).pools,
    };
    for agent in view.fleet.agents() {
        let place = if !agent.connected {
            2
        } else if agent.draining {
            1
        } else if agent.paused.is_some() {
            3
        } else {
            0
        };
        gauges.agents[place] += 1;
        if agent.connected {
            gauges.slots[0] += u64::from(agent.leases);
            gauges.slots[1] += u64::from(agent.free_slots);
        }
    }
    gauges
}

/// For autoscalers: what waits for each pool and how many agents it should have.
fn for_pools(page: &mut Page, pools: &[PoolView]) {
    let each = |count: fn(&PoolView) -> u64| -> Vec<(String, u64)> {
        let named = |pool: &PoolView| format!("pool=\"{}\",arch=\"{}\"", escape_label(&pool.name), pool.arch);
        pools.iter().map(|pool| (named(pool), count(pool))).collect()
    };
    page.gauge("slipway_pool_ready", "Agents of a pool that take jobs.", &each(|pool| pool.ready.into()));
    page.gauge("slipway_pool_busy_slots", "Slots of a pool that have a job.", &each(|pool| pool.busy.into()));
    page.gauge("slipway_pool_queued", "Jobs that wait for a pool.", &each(|pool| pool.queued));
    page.gauge("slipway_pool_desired", "Agents that a pool should have.", &each(|pool| pool.desired.into()));
    let waits = pools.iter().filter_map(|pool| {
        let seconds = pool.predicted_wait_ms?.div_ceil(1_000);
        Some((format!("pool=\"{}\",arch=\"{}\"", escape_label(&pool.name), pool.arch), seconds))
    });
    page.gauge(
        "slipway_pool_predicted_wait_seconds",
        "In how long the last job that waits for a pool is expected to begin; of pools of which that is known.",
        &waits.collect::<Vec<_>>(),
    );
    for_scalers(page, pools);
}

/// What scalers do. Agents that failed are no agents of any kind.
fn for_scalers(page: &mut Page, pools: &[PoolView]) {
    let scaled = || pools.iter().filter_map(|pool| Some((escape_label(&pool.name), pool.scaler.as_ref()?)));
    let agents = scaled().flat_map(|(pool, scaler)| {
        [
            ("on_their_way", scaler.on_their_way),
            ("there", scaler.there),
            ("draining", scaler.draining),
            ("stopping", scaler.stopping),
        ]
        .map(|(state, count)| (format!("pool=\"{pool}\",state=\"{state}\""), u64::from(count)))
    });
    let agents: Vec<(String, u64)> = agents.collect();
    if agents.is_empty() {
        return;
    }
    page.gauge("slipway_scaler_agents", "Agents that a pool's scaler asked for, by state.", &agents);
    let failures = scaled().map(|(pool, scaler)| (format!("pool=\"{pool}\""), scaler.failures.into()));
    page.gauge(
        "slipway_scaler_failures",
        "Agents in a row that were asked for and failed, since the last one came.",
        &failures.collect::<Vec<_>>(),
    );
}

/// The cache of build tools; no figures: it cannot be asked at the moment.
fn cached(page: &mut Page, up: bool, stats: Option<Stats>) {
    let up = u64::from(up);
    page.gauge("slipway_cache_up", "Whether what backs the cache answers.", &[(String::new(), up)]);
    let Some(stats) = stats else { return };
    if let (Some(values), Some(bytes)) = (stats.values, stats.stored_bytes) {
        page.gauge("slipway_cache_values", "Values in the cache.", &[(String::new(), values)]);
        page.gauge("slipway_cache_bytes", "Bytes in the cache.", &[(String::new(), bytes)]);
    }
    for (name, help, count) in [
        ("slipway_cache_hits_total", "Values asked for and found.", stats.hits),
        ("slipway_cache_misses_total", "Values asked for and not found.", stats.misses),
        ("slipway_cache_puts_total", "Values stored.", stats.puts),
        ("slipway_cache_evicted_total", "Values removed to make room.", stats.evicted),
        ("slipway_cache_damaged_total", "Values that were damaged, and removed.", stats.damaged),
        (
            "slipway_cache_refused_reads_total",
            "Values not found because nobody could be asked.",
            stats.refused_reads,
        ),
        (
            "slipway_cache_dropped_writes_total",
            "Values not stored for the same reason.",
            stats.dropped_writes,
        ),
    ] {
        page.counter(name, help, count);
    }
}

/// The object store behind the cache.
fn stored_behind(page: &mut Page, up: bool, stats: &Stats) {
    let up = [(String::new(), u64::from(up))];
    page.gauge("slipway_cache_store_up", "Whether the object store behind the cache answers.", &up);
    for (name, help, count) in [
        (
            "slipway_cache_store_hits_total",
            "Values that the cache had lost and the object store had.",
            stats.hits,
        ),
        ("slipway_cache_store_misses_total", "Values that neither had.", stats.misses),
        ("slipway_cache_store_puts_total", "Values sent to the object store.", stats.puts),
        (
            "slipway_cache_store_refused_reads_total",
            "Values that it could not be asked for.",
            stats.refused_reads,
        ),
        (
            "slipway_cache_store_dropped_writes_total",
            "Values that could not be sent there.",
            stats.dropped_writes,
        ),
    ] {
        page.counter(name, help, count);
    }
}

/// What went between the cache and the disks of agents.
fn moved(page: &mut Page, [sent, taken]: [u64; 2]) {
    page.counter(
        "slipway_cache_agents_read_bytes_total",
        "Bytes that agents fetched for their own disks.",
        sent,
    );
    page.counter("slipway_cache_agents_written_bytes_total", "Bytes that agents stored.", taken);
}

/// What each kind of client asked of the cache and got. Of which repositories is for those who have a token.
fn cached_for(page: &mut Page, clients: &[Client]) {
    let each = |count: fn(&Client) -> u64| -> Vec<(String, u64)> {
        let mut sums = BTreeMap::new();
        for client in clients {
            *sums.entry((client.door, client.client.as_str())).or_insert(0) += count(client);
        }
        let labelled = sums.into_iter().map(|((door, client), sum)| {
            (format!("door=\"{door}\",client=\"{}\"", escape_label(client)), sum)
        });
        labelled.collect()
    };
    let mut counters = |name: &str, help: &str, count: fn(&Client) -> u64| {
        page.counters(name, help, &each(count));
    };
    counters(
        "slipway_cache_client_hits_total",
        "Results, files and blobs that clients asked for and got.",
        |client| client.hits,
    );
    counters("slipway_cache_client_misses_total", "The same, and not there.", |client| client.misses);
    counters("slipway_cache_client_read_bytes_total", "Bytes given to clients.", |client| client.read_bytes);
    counters("slipway_cache_client_written_bytes_total", "Bytes taken from clients and kept.", |client| {
        client.written_bytes
    });
}

/// What no run names any more.
fn collected(page: &mut Page, metrics: &Metrics) {
    page.counter(
        "slipway_blobs_collected_total",
        "Blobs that were removed because no run names them any more.",
        metrics.blobs_collected.get(),
    );
    page.counter("slipway_blobs_collected_bytes_total", "Their bytes.", metrics.blob_bytes_collected.get());
}

/// What the forge is told.
fn for_forge(page: &mut Page, metrics: &Metrics) {
    let behind = metrics.reports_behind.get();
    page.counter("slipway_reports_told_total", "Reports that the forge took.", metrics.reports_told.get());
    page.counter(
        "slipway_reports_failed_total",
        "Reports that the forge did not take at once, or never will.",
        metrics.reports_failed.get(),
    );
    page.gauge("slipway_reports_behind", "Reports that are to be told.", &[(String::new(), behind)]);
    page.counter(
        "slipway_redeliveries_total",
        "Missed deliveries that the forge was asked for again.",
        metrics.redeliveries.get(),
    );
}

pub(super) async fn page(State(services): State<Services>) -> Result<impl IntoResponse, ApiError> {
    let mut gauges = services.driver.query(read).await?;
    services.scalers.show(&mut gauges.pools);
    let metrics = &services.metrics;
    let mut page = Page::default();
    let labelled = |name: &str, values: &[(&str, u64)]| -> Vec<(String, u64)> {
        values.iter().map(|(value, count)| (format!("{name}=\"{value}\""), *count)).collect()
    };
    page.gauge("slipway_epoch", "Epoch of this leader.", &[(String::new(), services.driver.epoch())]);
    page.gauge("slipway_runs_open", "Runs that are not finished.", &[(String::new(), gauges.open_runs)]);
    page.gauge("slipway_queue_length", "Instances that wait for an agent, by labels.", &gauges.queues);
    page.gauge("slipway_leases", "Attempts that are leased.", &[(String::new(), gauges.leased)]);
    let [ready, draining, gone, paused] = gauges.agents;
    let states = [("ready", ready), ("draining", draining), ("gone", gone), ("paused", paused)];
    let agents = labelled("state", &states);
    page.gauge("slipway_agents", "Agents, by state.", &agents);
    let [used, free] = gauges.slots;
    page.gauge(
        "slipway_slots",
        "Slots of connected agents.",
        &labelled("use", &[("used", used), ("free", free)]),
    );
    for_pools(&mut page, &gauges.pools);
    page.counter("slipway_leases_granted_total", "Leases granted.", metrics.leases_granted.get());
    page.counter(
        "slipway_journal_records_total",
        "Entries appended to the journal.",
        metrics.journal_records.get(),
    );
    page.counter(
        "slipway_journal_batches_total",
        "Transactions that appended them.",
        metrics.journal_batches.get(),
    );
    let (end, history) = (metrics.journal_end.get(), metrics.history_position.get());
    // Nobody but the leader makes projections.
    if services.options.history && services.driver.epoch() > 0 {
        let lag = end.saturating_sub(history);
        page.gauge(
            "slipway_history_lag_records",
            "Entries of the journal that the projections do not have yet.",
            &[(String::new(), lag)],
        );
        page.counter(
            "slipway_history_failures_total",
            "How often writing the projections failed.",
            metrics.history_failures.get(),
        );
    }
    page.histogram("slipway_journal_append_seconds", "How long an append took.", &metrics.journal_append);
    page.histogram("slipway_planning_seconds", "How long planning a job took.", &metrics.planning);
    page.counter("slipway_records_total", "Records that agents sent.", metrics.records.get());
    page.counter("slipway_record_bytes_total", "Bytes of record batches.", metrics.record_bytes.get());
    page.counter(
        "slipway_records_stale_total",
        "Record batches refused because their lease was over.",
        metrics.records_stale.get(),
    );
    page.counter("slipway_deliveries_total", "Webhook deliveries accepted.", metrics.deliveries.get());
    collected(&mut page, metrics);
    if services.forge.is_some() {
        for_forge(&mut page, metrics);
    }
    page.counter(
        "slipway_unauthorized_total",
        "Calls with no or a wrong token or signature.",
        metrics.unauthorized.get(),
    );
    if let Some(cache) = &services.cache {
        cached(&mut page, cache.is_up(), cache.stats().await);
        if let Some((up, stats)) = cache.behind().await {
            stored_behind(&mut page, up, &stats);
        }
        moved(&mut page, cache.moved().bytes());
        cached_for(&mut page, &cache.clients());
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.finish()))
}
