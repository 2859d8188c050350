//! Uploads that are refused while they are sent: their client hears why.

use slipway_agent::tier::Tier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::job::{Doors, Fleet, disk};

/// More than lies in all buffers of the way.
const BYTES: usize = 64 << 20;

/// Begins an upload without the job's token.
async fn begin(doors: &Doors, more: &str) -> UnixStream {
    let mut stream = UnixStream::connect(&doors.socket).await.unwrap();
    let head = format!(
        "PUT /cache/files/a HTTP/1.1\r\nhost: slipway.localhost\r\ncontent-length: {BYTES}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn status_line(stream: &mut UnixStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap().trim_end().to_owned()
}

/// Doors with the agent's disk, and without.
async fn doors(fleet: &mut Fleet, folder: &std::path::Path) -> [Doors; 2] {
    let job = fleet.job("refs/heads/main").await;
    [job.open(fleet, &disk(folder).await), job.open(fleet, &Tier::default())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_leave_to_send_is_refused_before() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    for doors in doors(&mut fleet, folder.path()).await {
        // Which of two comes first is decided anew each time.
        for _ in 0..20 {
            let mut stream = begin(&doors, "expect: 100-continue\r\n").await;
            assert_eq!(status_line(&mut stream).await, "HTTP/1.1 401 Unauthorized");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_token_of_people_gets_leave_and_is_heard() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let people = std::fs::read_to_string(fleet.process.data_dir().join("cache.token")).unwrap();
    let more = format!("expect: 100-continue\r\nauthorization: Bearer {}\r\n", people.trim());
    for doors in doors(&mut fleet, folder.path()).await {
        let mut stream = begin(&doors, &more).await;
        assert_eq!(status_line(&mut stream).await, "HTTP/1.1 100 Continue");
        assert_eq!(status_line(&mut stream).await, "");
        stream.write_all(&vec![7; BYTES]).await.unwrap();
        assert_eq!(status_line(&mut stream).await, "HTTP/1.1 201 Created");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_at_once_hears_it_after_all_was_sent() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    for doors in doors(&mut fleet, folder.path()).await {
        for _ in 0..8 {
            let mut stream = begin(&doors, "").await;
            stream.write_all(&vec![7; BYTES]).await.unwrap();
            assert_eq!(status_line(&mut stream).await, "HTTP/1.1 401 Unauthorized");
        }
    }
}
