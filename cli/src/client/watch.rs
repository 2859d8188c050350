//! Following a run's event stream, across a coordinator's restart.
//!
//! Invariant: an event is given out once. After a reconnect the stream begins anew; each instance's events come in the
//! same order again, so as many of each as were seen are left out.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use reqwest::Method;
use slipway_kit::backoff::Backoff;

use super::Client;
use super::types::Event;
use crate::failure::Failure;

/// Longest line, in bytes: a piece of a log is at most 256 KiB, and JSON may make six bytes of one.
const LINE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// First and longest wait before connecting again.
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Failed connections in a row before giving up: some two minutes.
const RECONNECT_TRIES: u32 = 30;

/// A line of the stream.
#[derive(Debug)]
pub struct Line {
    /// As it came.
    pub raw: String,
    /// What it says.
    pub event: Event,
}

type Parts = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// A run being followed.
pub struct Watch {
    client: Client,
    path: String,
    follow: bool,
    stream: Option<Parts>,
    buffer: BytesMut,
    /// No line ends before here.
    scanned: usize,
    seen: HashMap<String, u64>,
    skip: HashMap<String, u64>,
    backoff: Backoff,
    ended: bool,
}

impl Watch {
    pub(super) fn new(client: Client, run: &str, follow: bool, line: u64) -> Self {
        Watch {
            client,
            path: match line {
                // An older coordinator does not know it.
                0..=1 => format!("/runs/{run}/events?follow={follow}"),
                _ => format!("/runs/{run}/events?follow={follow}&from={line}"),
            },
            follow,
            stream: None,
            buffer: BytesMut::new(),
            scanned: 0,
            seen: HashMap::new(),
            skip: HashMap::new(),
            backoff: Backoff::new(RECONNECT_FIRST, RECONNECT_LIMIT),
            ended: false,
        }
    }

    /// The next event; `None` at the end. Safe to drop while it waits: nothing is lost.
    ///
    /// # Errors
    /// The coordinator refuses, stays out of reach, or sends what is no event.
    pub async fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            while let Some(raw) = self.take_line()? {
                if let Some(line) = self.fresh(raw)? {
                    return Ok(Some(line));
                }
            }
            if self.ended {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match stream.next().await {
                Some(Ok(part)) => {
                    self.backoff.reset();
                    self.buffer.extend_from_slice(&part);
                }
                // Without `follow` the stream ends when all is told; with it, the last line says so.
                None if !self.follow => self.ended = true,
                Some(Err(_)) | None => self.broke_off(),
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        if self.backoff.failures() > 0 {
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
        match self.client.send(self.client.stream_request(Method::GET, &self.path)).await {
            Ok(answer) => {
                self.stream = Some(Box::pin(answer.bytes_stream()));
                Ok(())
            }
            Err(Failure::Fleet(_)) if self.backoff.failures() < RECONNECT_TRIES && !self.seen.is_empty() => {
                if self.backoff.failures() == 0 {
                    self.backoff.next_wait();
                }
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn broke_off(&mut self) {
        self.stream = None;
        self.buffer.clear();
        self.scanned = 0;
        self.skip = self.seen.clone();
        // The first reconnect waits too: a coordinator that closes at once must not be hammered.
        self.backoff.next_wait();
    }

    fn take_line(&mut self) -> Result<Option<String>, Failure> {
        let Some(end) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            if self.scanned > LINE_LIMIT_BYTES {
                return Err(Failure::fleet("the coordinator sends a line without an end"));
            }
            return Ok(None);
        };
        let line = self.buffer.split_to(self.scanned + end);
        self.buffer.advance(1);
        self.scanned = 0;
        String::from_utf8(line.into())
            .map(Some)
            .map_err(|_| Failure::fleet("the coordinator sends events that are not UTF-8"))
    }

    fn fresh(&mut self, raw: String) -> Result<Option<Line>, Failure> {
        if raw.trim().is_empty() {
            return Ok(None);
        }
        let event: Event = serde_json::from_str(&raw)
            .map_err(|error| Failure::fleet(format!("the coordinator sends what is no event: {error}")))?;
        if let Some(instance) = event.instance() {
            if let Some(left) = self.skip.get_mut(instance).filter(|left| **left > 0) {
                *left -= 1;
                return Ok(None);
            }
            *self.seen.entry(instance.to_owned()).or_default() += 1;
        }
        self.ended |= matches!(event, Event::Run { .. });
        Ok(Some(Line { raw, event }))
    }
}
