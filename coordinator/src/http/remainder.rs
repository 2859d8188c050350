//! Reads what is left of a refused request's body before the refusal goes out.
//!
//! A server that answers and closes while its client still sends resets the connection, and the client sees "connection
//! reset" in place of the answer that says why. So up to a limit, and for a limited time, the rest is read and
//! forgotten first. Not of a client that waits for leave to send (`Expect: 100-continue`): it would be given by reading.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream;
use slipway_cache::waits_for_leave;

/// The most bytes of a refused body that are read; a client that sends more may see a reset.
const REMAINDER_MAX_BYTES: usize = 64 << 20;

/// How long the remainder may take.
const REMAINDER_TIME: Duration = Duration::from_secs(10);

pub(crate) async fn read_refused(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let waits = waits_for_leave(&head.headers);
    let begun = Arc::new(AtomicBool::new(false));
    let pieces = Arc::new(Mutex::new(body.into_data_stream()));
    // Never held over a poll: the handler's body is gone when the remainder is read.
    let shared = |pieces: Arc<Mutex<axum::body::BodyDataStream>>| {
        let begun = Arc::clone(&begun);
        stream::poll_fn(move |context| {
            begun.store(true, Ordering::Relaxed);
            pieces.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
        })
    };
    let response = next.run(Request::from_parts(head, Body::from_stream(shared(Arc::clone(&pieces))))).await;
    if response.status().is_client_error() && (!waits || begun.load(Ordering::Relaxed)) {
        let mut rest = shared(pieces);
        let read = async {
            let mut read_bytes = 0;
            while let Some(Ok(piece)) = rest.next().await {
                read_bytes += piece.len();
                if read_bytes > REMAINDER_MAX_BYTES {
                    return;
                }
            }
        };
        // Out of time or not, the refusal goes out.
        let _ = tokio::time::timeout(REMAINDER_TIME, read).await;
    }
    response
}
