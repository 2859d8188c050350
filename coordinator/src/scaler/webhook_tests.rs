#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::super::call::Verb;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a receiver got, and what it answers in turn; the last answer is repeated.
#[derive(Default)]
struct Receiver {
    answers: Mutex<Vec<(u16, &'static str)>>,
    got: Mutex<Vec<(HeaderMap, Bytes)>>,
}

async fn take(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    receiver.got.lock().unwrap().push((headers, body));
    let mut answers = receiver.answers.lock().unwrap();
    let (status, text) = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
    (StatusCode::from_u16(status).unwrap(), text)
}

async fn serve(answers: &[(u16, &'static str)]) -> (Arc<Receiver>, String) {
    let receiver = Arc::new(Receiver { answers: Mutex::new(answers.to_vec()), ..Receiver::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/scale", listener.local_addr().unwrap());
    let router = Router::new().route("/scale", post(take)).with_state(Arc::clone(&receiver));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (receiver, url)
}

fn call(action: Verb) -> Call {
    let labels = vec!["gpu".to_owned()];
    Call { action, pool: "gpu".into(), arch: "ARM64".into(), labels, agent: "gpu-7".into(), count: 3 }
}

async fn sent(url: &str, action: Verb) -> Result<(), String> {
    send(&crate::https::client().unwrap(), url, "hush", &call(action), PATIENCE).await
}

#[tokio::test]
async fn a_call_is_signed_and_says_all_and_is_repeated_with_the_same_key() {
    let (receiver, url) = serve(&[(503, "later"), (429, ""), (202, "")]).await;
    sent(&url, Verb::Up).await.unwrap();
    let got = receiver.got.lock().unwrap();
    assert_eq!(got.len(), 3);
    for (headers, body) in got.iter() {
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap();
        assert!(signature::is_valid("hush", body, Some(header("x-hub-signature-256"))));
        assert!(!signature::is_valid("other", body, Some(header("x-hub-signature-256"))));
        assert_eq!(header("idempotency-key"), "up-gpu-7");
        assert_eq!(header("content-type"), "application/json");
        let said: serde_json::Value = serde_json::from_slice(body).unwrap();
        let expected = serde_json::json!({
            "action": "up", "pool": "gpu", "arch": "ARM64", "labels": ["gpu"], "agent": "gpu-7", "count": 3,
        });
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_one_that_cannot_serve_is_asked_only_so_often() {
    let (receiver, url) = serve(&[(403, "who are you?")]).await;
    let error = sent(&url, Verb::Down).await.unwrap_err();
    assert!(error.contains("403") && error.ends_with("who are you?"), "{error}");
    assert_eq!(receiver.got.lock().unwrap().len(), 1);
    let (receiver, url) = serve(&[(500, "broken")]).await;
    let error = sent(&url, Verb::Down).await.unwrap_err();
    assert!(error.contains("500") && error.ends_with("broken"), "{error}");
    assert_eq!(receiver.got.lock().unwrap().len(), WEBHOOK_TRIES as usize);
    // Nobody listens there.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/scale", free.local_addr().unwrap());
    drop(free);
    assert!(sent(&url, Verb::Up).await.unwrap_err().contains(&url));
}

#[tokio::test]
async fn one_that_never_answers_is_not_waited_for_for_ever() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/scale", listener.local_addr().unwrap());
    let client = crate::https::client().unwrap();
    let error = send(&client, &url, "hush", &call(Verb::Up), Duration::from_millis(50)).await.unwrap_err();
    assert!(error.contains("did not answer within"), "{error}");
}
