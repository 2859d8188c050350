//! A request of HTTP/1 that is passed on, and may be answered before all of it was sent.
//!
//! Its client may wait for leave to send (`Expect: 100-continue`, RFC 9110 section 10.1.1): it is given here when the coordinator
//! gives it, so that what is refused is not sent. One that sends anyhow is listened to for a while after the answer: a connection
//! that is closed over bytes nobody read is reset, and the answer with it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use slipway_cache::waits_for_leave;
use tokio::sync::oneshot;

use crate::limits::{TUNNEL_LEAVE_MAX, TUNNEL_LINGER_MAX};

/// The request as it goes on to the coordinator.
pub(super) fn pass_on(request: Request<Body>) -> Request<Body> {
    let waits = waits_for_leave(request.headers());
    let (leave, given) = oneshot::channel();
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        let wait = waits.then(|| Box::pin(wait_for(given)) as Pin<Box<dyn Future<Output = ()> + Send>>);
        Body::new(PassedOn { body: Some(body), wait, is_begun: false })
    });
    if waits {
        let leave = std::sync::Mutex::new(Some(leave));
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE
                && let Ok(mut leave) = leave.lock()
                && let Some(leave) = leave.take()
            {
                // The request may be over.
                let _ = leave.send(());
            }
        });
    }
    request
}

/// Also a server that says nothing gets what is sent, as from any client.
async fn wait_for(given: oneshot::Receiver<()>) {
    if let Ok(Err(_)) = tokio::time::timeout(TUNNEL_LEAVE_MAX, given).await {
        // It was answered without leave: nothing of this is wanted, and it is dropped with the connection.
        std::future::pending::<()>().await;
    }
}

/// What a client sends with a request. The server asks the client for it when it is first polled.
struct PassedOn {
    /// Until it was read to its end.
    body: Option<Body>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_begun: bool,
}

impl HttpBody for PassedOn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        self.is_begun = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        let Some(rest) = self.body.take().filter(|body| self.is_begun && !body.is_end_stream()) else {
            return;
        };
        tokio::spawn(async move {
            let _ = tokio::time::timeout(TUNNEL_LINGER_MAX, discard(rest)).await;
        });
    }
}

async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}
