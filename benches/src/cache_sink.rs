//! A server of the Actions cache that keeps nothing: what GitHub's own client takes by itself, whoever it speaks to.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::post;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Such a server; it ends when dropped.
pub(crate) struct Sink {
    /// Where it is.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";

/// Takes all of a body.
async fn swallow(body: Body) -> StatusCode {
    let mut pieces = body.into_data_stream();
    while let Some(Ok(_)) = pieces.next().await {}
    StatusCode::CREATED
}

/// Starts one.
///
/// # Errors
/// When it cannot listen.
pub(crate) async fn start() -> anyhow::Result<Sink> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let upload =
        json!({"ok": true, "signed_upload_url": format!("http://{address}/account/container/blob?sig=x")});
    let create = async move || Json::<Value>(upload);
    let finish = async || Json::<Value>(json!({"ok": true, "entry_id": "1"}));
    let router = Router::new()
        .route(&format!("{SERVICE}/CreateCacheEntry"), post(create))
        .route(&format!("{SERVICE}/FinalizeCacheEntryUpload"), post(finish))
        .fallback(swallow);
    // It is aborted, never told to end.
    let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(Sink { address, task })
}
