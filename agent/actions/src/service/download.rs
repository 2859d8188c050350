//! A download: ranges that come a few at a time and are read in order.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ureq::http::{HeaderMap, StatusCode};

use super::{Service, Tried, broken, loopback, persistently, refused};
use crate::failure::Failure;
use crate::limits::{DOWNLOAD_CONNECTIONS, RANGE_BYTES, RANGES_AHEAD};

/// A download under way; reading it gives its bytes.
#[derive(Debug)]
pub struct Download {
    /// How many bytes it has.
    pub size_bytes: u64,
    /// `Content-Type`
    pub content_type: String,
    /// `Content-Disposition`
    pub disposition: String,
    shared: Arc<Shared>,
    piece: Vec<u8>,
    at: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Ranges there are.
    count: u64,
    /// The next that nobody fetches yet.
    next: u64,
    /// The next that is read.
    wanted: u64,
    there: BTreeMap<u64, Result<Vec<u8>, Failure>>,
    /// Nobody reads any more.
    over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Download {
    /// Begins a download from a signed address. The first range is here when this returns.
    ///
    /// # Errors
    /// When it is refused or can't be reached.
    pub fn new(service: &Service, url: &str) -> Result<Self, Failure> {
        let url = loopback(url);
        let (headers, first, size_bytes) = fetch(service, &url, 0)?;
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let count = size_bytes.div_ceil(RANGE_BYTES);
        let shared = Arc::new(Shared::default());
        *shared.state() = State { count, next: 1, wanted: 1, ..State::default() };
        let further = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        for _ in 0..DOWNLOAD_CONNECTIONS.min(further) {
            let (service, url, shared) = (service.clone(), url.clone(), Arc::clone(&shared));
            std::thread::spawn(move || work(&service, &url, &shared));
        }
        Ok(Self {
            size_bytes,
            content_type: header("content-type"),
            disposition: header("content-disposition"),
            shared,
            piece: first,
            at: 0,
        })
    }

    /// The next range; none at the end.
    fn next_piece(&self) -> Result<Option<Vec<u8>>, Failure> {
        let mut state = self.shared.state();
        if state.wanted >= state.count {
            return Ok(None);
        }
        let wanted = state.wanted;
        loop {
            if let Some(piece) = state.there.remove(&wanted) {
                state.wanted += 1;
                self.shared.changed.notify_all();
                return piece.map(Some);
            }
            state = self.shared.wait(state);
        }
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.piece.len() {
            let Some(piece) = self.next_piece()? else { return Ok(0) };
            (self.piece, self.at) = (piece, 0);
        }
        let left = self.piece.get(self.at..).unwrap_or_default();
        let count = left.len().min(into.len());
        if let (Some(into), Some(left)) = (into.get_mut(..count), left.get(..count)) {
            into.copy_from_slice(left);
        }
        self.at += count;
        Ok(count)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.changed.notify_all();
    }
}

fn work(service: &Service, url: &str, shared: &Shared) {
    loop {
        let mut state = shared.state();
        while !state.over && state.next < state.count && state.next - state.wanted >= RANGES_AHEAD as u64 {
            state = shared.wait(state);
        }
        if state.over || state.next >= state.count {
            return;
        }
        let number = state.next;
        state.next += 1;
        drop(state);
        let piece = fetch(service, url, number).map(|(_, piece, _)| piece);
        shared.state().there.insert(number, piece);
        shared.changed.notify_all();
    }
}

/// Fetches one range; says how much there is in all.
fn fetch(service: &Service, url: &str, number: u64) -> Result<(HeaderMap, Vec<u8>, u64), Failure> {
    let from = number.saturating_mul(RANGE_BYTES);
    let until = from.saturating_add(RANGE_BYTES);
    persistently(|| {
        let asked = service.agent.get(url).header("range", format!("bytes={from}-{}", until - 1)).call();
        let mut answer = asked.map_err(broken)?;
        let status = answer.status();
        let headers = answer.headers().clone();
        if status != StatusCode::PARTIAL_CONTENT {
            // Nothing of nothing can't be given.
            let empty = status == StatusCode::RANGE_NOT_SATISFIABLE && number == 0;
            return if empty && total(&headers) == Some(0) {
                Ok((headers, Vec::new(), 0))
            } else if status.is_success() {
                Err(Tried::Failed(Failure::new("the service did not give the range that was asked for")))
            } else {
                Err(refused(status, None))
            };
        }
        let Some(size_bytes) = total(&headers) else {
            return Err(Tried::Failed(Failure::new("the service did not say how large the download is")));
        };
        let piece = answer.body_mut().with_config().limit(RANGE_BYTES + 1).read_to_vec().map_err(broken)?;
        let expected = until.min(size_bytes).saturating_sub(from);
        if piece.len() as u64 != expected {
            let message = format!("{} bytes came instead of {expected}", piece.len());
            return Err(Tried::Again(Failure::new(message)));
        }
        Ok((headers, piece, size_bytes))
    })
}

/// What stands behind the slash of `Content-Range`.
fn total(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-range")?.to_str().ok()?.rsplit_once('/')?.1.trim().parse().ok()
}
