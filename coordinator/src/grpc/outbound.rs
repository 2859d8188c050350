//! What a session's stream gives its agent: the driver's messages straight from its queue, and at the end the reason.
//!
//! One queue and no task of its own between driver and network: there are as many of these as agents.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use slipway_proto::v1::CoordinatorMessage;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Status;

use super::to_wire;
use crate::driver::message::ToAgent;

/// The stream.
pub(super) struct Outbound {
    outbox: Outbox,
    end: oneshot::Receiver<Status>,
}

enum Outbox {
    /// The hello has not been answered.
    Opening(oneshot::Receiver<mpsc::Receiver<Box<ToAgent>>>),
    Open(mpsc::Receiver<Box<ToAgent>>),
    /// No more comes from the driver.
    Closed,
    /// The reason was given, or there was none.
    Over,
}

/// Who opens and ends the stream. Dropped, it ends without a reason.
pub(super) struct Speaker {
    opening: Option<oneshot::Sender<mpsc::Receiver<Box<ToAgent>>>>,
    end: oneshot::Sender<Status>,
}

/// A stream that is not open yet.
pub(super) fn channel() -> (Outbound, Speaker) {
    let (opening, outbox) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    (Outbound { outbox: Outbox::Opening(outbox), end: ended }, Speaker { opening: Some(opening), end })
}

impl Speaker {
    /// From now on the stream gives what is in this queue.
    pub(super) fn open(&mut self, outbox: mpsc::Receiver<Box<ToAgent>>) {
        if let Some(opening) = self.opening.take() {
            // A client that is gone shows in what comes from it: nothing more.
            let _ = opening.send(outbox);
        }
    }

    /// Ends the stream with a reason.
    pub(super) fn end(self, status: Status) {
        // As above.
        let _ = self.end.send(status);
    }
}

impl Stream for Outbound {
    type Item = Result<CoordinatorMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.outbox {
                Outbox::Opening(opening) => match Pin::new(opening).poll(context) {
                    Poll::Ready(Ok(outbox)) => self.outbox = Outbox::Open(outbox),
                    Poll::Ready(Err(_)) => self.outbox = Outbox::Closed,
                    Poll::Pending => return Poll::Pending,
                },
                Outbox::Open(outbox) => match outbox.poll_recv(context) {
                    Poll::Ready(Some(message)) => return Poll::Ready(Some(Ok(to_wire::message(&message)))),
                    Poll::Ready(None) => self.outbox = Outbox::Closed,
                    Poll::Pending => return self.poll_end(context),
                },
                Outbox::Closed => return self.poll_end(context),
                Outbox::Over => return Poll::Ready(None),
            }
        }
    }
}

impl Outbound {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<CoordinatorMessage, Status>>> {
        let end = ready!(Pin::new(&mut self.end).poll(context));
        self.outbox = Outbox::Over;
        Poll::Ready(end.ok().map(Err))
    }
}
