//! The index of caches and artifacts on a real server.

use slipway_coordinator::journal::postgres::PostgresOptions;
use slipway_coordinator::results::conformance::{
    IndexAt, check_cuts, check_index, check_older, check_replaced,
};
use slipway_tests::postgres::PostgresServer;

use crate::support::leader;

/// Databases of a server, each with nothing in it.
fn places(server: &PostgresServer) -> impl FnMut() -> IndexAt {
    let mut number = 0;
    move || {
        number += 1;
        let name = format!("index_{number}");
        server.sql("postgres", &format!("CREATE DATABASE {name} OWNER slipway"));
        let url = server.url("sslmode=disable").replace("/slipway?", &format!("/{name}?"));
        IndexAt::Postgres(PostgresOptions::parse(&url).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_conforms() {
    let server = PostgresServer::start();
    check_index(places(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_no_change() {
    let server = PostgresServer::start();
    let place = IndexAt::Postgres(PostgresOptions::parse(&server.url("application_name=index")).unwrap());
    let cut = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'index'";
    check_cuts(&place, || drop(server.sql("postgres", cut))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_replaced_changes_nothing() {
    let server = PostgresServer::start();
    let place = IndexAt::Postgres(PostgresOptions::parse(&server.url("")).unwrap());
    // The journal is there before its index is.
    let lead = || tokio::task::block_in_place(|| leader(&server.url("")).1);
    lead();
    check_replaced(&place, lead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_the_format_before_go_on() {
    let server = PostgresServer::start();
    let mut places = places(&server);
    let place = places();
    let before =
        "ALTER TABLE slipway.artifact DROP COLUMN pinned; UPDATE slipway.results_meta SET format = 1";
    check_older(&place, || drop(server.sql("index_1", before))).await;
    let format =
        "SELECT format || ' ' || (SELECT count(pinned) FROM slipway.artifact) FROM slipway.results_meta";
    assert_eq!(server.sql("index_1", format).trim(), "2 0");
}
