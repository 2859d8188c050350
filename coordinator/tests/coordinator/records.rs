//! Record uploads: resumed, repeated, refused.

use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, batch, encoded, line};
use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_where_it_broke_off_without_gap_or_repeat() {
    let mut fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    assert_eq!(agent.durable(&lease).await.durable, 0);
    let lines = |from: u64, to: u64| (from..=to).map(|n| line(&n.to_string())).collect::<Vec<_>>();
    agent.upload(&lease, 1, lines(1, 500)).await;
    fixture.kill_and_restart().await;

    let hello = crate::fake_agent::hello(FIRST, 4, vec![lease.clone()]);
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello).await;
    assert_eq!(agent.welcome.kept, vec![lease.clone()]);
    assert_eq!(agent.durable(&lease).await.durable, 500);
    // It never heard of the last acknowledgements, and sends some again: all of them known, then some.
    assert_eq!(agent.upload(&lease, 1, lines(1, 300)).await.durable, 500);
    agent.upload(&lease, 301, lines(301, 1_000)).await;
    // A batch that would leave a gap is answered with where to go on.
    let batch = batch(&lease, 2_000, encoded(&lines(2_000, 2_001)));
    let mut acks = agent.client.records(tokio_stream::once(batch)).await.unwrap().into_inner();
    assert_eq!(acks.message().await.unwrap().unwrap().durable, 1_000);
    agent.report(&lease, v1::Result::Success, 1_000).await;
    agent.accepted().await;
    // After the report it may still ask, and add nothing.
    assert_eq!(
        agent.durable(&lease).await,
        v1::RecordAck { attempt: lease.attempt.clone(), durable: 1_000, stale: false, takes_delimited: true }
    );
    assert!(agent.upload(&lease, 1_001, lines(1_001, 1_001)).await.stale);

    fixture.finished(&run).await;
    let logs = fixture.call(reqwest::Method::GET, &format!("/api/v1/runs/{run}/logs?job=build"), None).await;
    let logs = logs.text().await.unwrap();
    assert!(logs.lines().eq((1..=1_000).map(|n| n.to_string())), "{} lines", logs.lines().count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_without_its_records_fails_its_attempt() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.report(&lease, v1::Result::Success, 5).await;
    agent.accepted().await;
    let tried = |shown: &serde_json::Value| !shown["instances"][0]["attempts"][0]["cause"].is_null();
    let shown = fixture.run_until(&run, tried).await;
    let attempt = &shown["instances"][0]["attempts"][0];
    assert_eq!(
        (attempt["cause"].as_str(), attempt["records"].as_u64()),
        (Some("internal"), Some(0)),
        "{shown}"
    );
    assert!(
        attempt["message"].as_str().unwrap().contains("5 records are reported, 0 are durable"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_go_both_ways_and_are_checked() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let bytes = vec![7_u8; 3 << 20];
    let digest = slipway_cas::Digest::of(&bytes);
    let wire = slipway_wire::digest::to_wire(&digest);
    let chunks = |bytes: &[u8]| -> Vec<v1::BlobChunk> {
        let data = |(n, part): (usize, &[u8])| v1::BlobChunk {
            digest: (n == 0).then(|| wire.clone()),
            data: part.to_vec().into(),
        };
        bytes.chunks(1 << 20).enumerate().map(data).collect()
    };
    let wrong = agent.client.put_blob(tokio_stream::iter(chunks(&bytes[1..]))).await.unwrap_err();
    assert_eq!(wrong.code(), tonic::Code::InvalidArgument);
    let stored = agent.client.put_blob(tokio_stream::iter(chunks(&bytes))).await.unwrap().into_inner();
    assert_eq!(stored.digest, Some(wire.clone()));
    let request = v1::GetBlobRequest { digest: Some(wire), offset: 10 };
    let mut pieces = agent.client.get_blob(request).await.unwrap().into_inner();
    let mut length = 0;
    while let Some(piece) = pieces.message().await.unwrap() {
        assert!(piece.data.len() <= 1 << 20);
        length += piece.data.len();
    }
    assert_eq!(length, bytes.len() - 10);
    let absent = slipway_wire::digest::to_wire(&slipway_cas::Digest::of(b"absent"));
    let request = v1::GetBlobRequest { digest: Some(absent), offset: 0 };
    assert_eq!(agent.client.get_blob(request).await.unwrap_err().code(), tonic::Code::NotFound);
}
