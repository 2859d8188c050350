//! Caches in an object store that answers 503: for a while, and for longer than anybody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use reqwest::StatusCode;
use slipway_cas::objects::object_store::path::Path;
use slipway_coordinator::options::Objects;
use slipway_coordinator::results::conformance::{BytesAt, check_bytes};

use crate::clients::job;
use crate::fixture::Fixture;
use crate::results::{create, finalize, find, put};
use crate::s3::{S3, pass_on};

/// Stands before a server and refuses as many requests as it is told.
#[derive(Clone)]
struct Unsteady {
    server: u16,
    refusals: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    http: reqwest::Client,
}

impl Unsteady {
    async fn start(s3: &S3) -> (Self, u16) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let unsteady = Self {
            server: s3.port(),
            refusals: Arc::default(),
            refused: Arc::default(),
            http: slipway_tests::http_client(),
        };
        let app = axum::Router::new().fallback(pass).with_state(unsteady.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (unsteady, port)
    }

    fn refuse(&self, requests: u64) {
        self.refusals.store(requests, Ordering::SeqCst);
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }
}

async fn pass(State(unsteady): State<Unsteady>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let less = |left: u64| left.checked_sub(1);
    if unsteady.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
        unsteady.refused.fetch_add(1, Ordering::SeqCst);
        return (StatusCode::SERVICE_UNAVAILABLE, "<Error><Code>SlowDown</Code></Error>").into_response();
    }
    pass_on(unsteady.server, &unsteady.http, head, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_conform_on_a_real_way() {
    let s3 = S3::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    check_bytes(|| {
        number += 1;
        let address = s3.address(&format!("s3://logs/bytes-{number}"));
        let bucket = slipway_cas::objects::Bucket::open(&address).unwrap();
        BytesAt::Bucket(bucket, folder.path().join("none"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_busy_for_a_while_costs_time_and_nothing_else() {
    let s3 = S3::start().await;
    let (unsteady, port) = Unsteady::start(&s3).await;
    let address = S3::address_at("s3://logs/team", port);
    let fixture = Fixture::start_with(|options| options.objects = Some(Objects::Bucket(address))).await;
    let (_agent, _lease, token) = job(&fixture).await;
    let content: Vec<u8> = (0..20_u32 << 20).map(|at| (at >> 9) as u8).collect();
    let (_, begun) = create(&fixture, &token, "k").await;
    unsteady.refuse(3);
    let sent = put(&fixture, begun["signed_upload_url"].as_str().unwrap(), "", content.clone()).await;
    assert_eq!((sent.status(), unsteady.refused()), (StatusCode::CREATED, 3));
    assert_eq!(finalize(&fixture, &token, "k", content.len()).await.1["ok"], true);
    let found = find(&fixture, &token, "k", &[]).await;
    unsteady.refuse(4);
    let read = fixture.http.get(found["signed_download_url"].as_str().unwrap()).send().await.unwrap();
    assert!(read.bytes().await.unwrap() == content);
    assert_eq!(unsteady.refused(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stays_away_is_told_and_leaves_nothing() {
    let s3 = S3::start().await;
    let (unsteady, port) = Unsteady::start(&s3).await;
    let address = S3::address_at("s3://logs/team", port);
    let fixture = Fixture::start_with(|options| options.objects = Some(Objects::Bucket(address))).await;
    let (_agent, _lease, token) = job(&fixture).await;
    let (_, begun) = create(&fixture, &token, "k").await;
    let address = begun["signed_upload_url"].as_str().unwrap();
    unsteady.refuse(u64::MAX);
    let refused = put(&fixture, address, "", "bytes").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let message = refused.text().await.unwrap();
    assert!(message.contains("s3://logs/team/results/1/") && message.contains("503"), "{message}");
    assert_eq!(finalize(&fixture, &token, "k", 5).await.1["code"], "failed_precondition");
    // It is back: the client's next try goes through.
    unsteady.refuse(0);
    assert_eq!(put(&fixture, address, "", "bytes").await.status(), StatusCode::CREATED);
    assert_eq!(finalize(&fixture, &token, "k", 5).await.1["ok"], true);
    let parts = s3.names(Path::from("results").as_ref()).await;
    assert_eq!(parts.len(), 1, "{parts:?}");
    let found = find(&fixture, &token, "k", &[]).await;
    let address = found["signed_download_url"].as_str().unwrap();
    unsteady.refuse(u64::MAX);
    let read = fixture.http.get(address).send().await;
    let read = match read {
        Ok(answer) => answer.text().await,
        Err(error) => Err(error),
    };
    assert!(read.is_err(), "a download that breaks off is no answer: {read:?}");
    unsteady.refuse(0);
    let read = fixture.http.get(address).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "bytes");
}
