//! Ports that init relays: whole streams, half-closed connections, targets that are away or refuse.
#![allow(clippy::unwrap_used)]

mod init_support;

use init_support::{Job, PATIENCE, run_dir};
use slipway_agent::init::{InitError, RelayTarget, limits};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// A port that nobody uses at the moment.
async fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, address.port())
}

/// Many times what sockets and init hold.
fn content() -> Vec<u8> {
    (0..8_000_000_u32).map(|number| (number % 251) as u8).collect()
}

/// Sends everything, ends its half, and only then expects the answer.
async fn send_and_read(port: u16, content: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    stream.write_all(content).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_arrives_whole_and_its_half_close_too() {
    let job = Job::new();
    let connection = job.connect().await;
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = free_port().await;
    let address = v4(target.local_addr().unwrap());
    connection.link.relay(port, RelayTarget::Address(address)).await.unwrap();
    connection.link.relay(port, RelayTarget::Address(address)).await.unwrap();
    let serving = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut stream, _) = target.accept().await.unwrap();
            tokio::spawn(async move {
                // Answers only after the client's half has ended.
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                all.reverse();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    let content = content();
    let mut reversed = content.clone();
    reversed.reverse();
    let three = async {
        tokio::join!(
            send_and_read(port, &content),
            send_and_read(port, &content),
            send_and_read(port, b"short")
        )
    };
    let (first, second, third) = tokio::time::timeout(PATIENCE, three).await.unwrap();
    assert!(first == reversed && second == reversed);
    assert_eq!(third, b"trohs");
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_waits_for_an_agent_that_is_away() {
    let job = Job::new();
    let connection = job.connect().await;
    let port = free_port().await;
    connection.link.relay(port, RelayTarget::Agent).await.unwrap();
    // The agent's restart: relays stay, connections made meanwhile wait.
    drop(connection);
    let asking = tokio::spawn(async move { send_and_read(port, b"ping").await });
    let connection = job.connect().await;
    connection.link.relay(port, RelayTarget::Agent).await.unwrap();
    let socket = UnixListener::bind(run_dir(&job.folder).join(limits::RELAY_SOCKET_NAME)).unwrap();
    let (mut stream, _) = tokio::time::timeout(PATIENCE, socket.accept()).await.unwrap().unwrap();
    let mut asked = Vec::new();
    stream.read_to_end(&mut asked).await.unwrap();
    stream.write_all(b"pong").await.unwrap();
    drop(stream);
    assert_eq!(asked, b"ping");
    assert_eq!(tokio::time::timeout(PATIENCE, asking).await.unwrap().unwrap(), b"pong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_told_and_a_target_that_refuses_ends_the_connection() {
    let job = Job::new();
    let connection = job.connect().await;
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let taken = holder.local_addr().unwrap().port();
    let refused = connection.link.relay(taken, RelayTarget::Agent).await.unwrap_err();
    assert!(matches!(&refused, InitError::Relay { port, .. } if *port == taken), "{refused}");
    assert!(refused.to_string().contains("in use"), "{refused}");
    drop(holder);
    // Free again: the earlier answer does not stick.
    connection.link.relay(taken, RelayTarget::Agent).await.unwrap();

    let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port().await);
    let port = free_port().await;
    connection.link.relay(port, RelayTarget::Address(nobody)).await.unwrap();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
    // Closed or reset, but never left open.
    assert!(end.is_err() || end.is_ok_and(|count| count == 0));
}
