//! An upload: what is written goes in blocks, a few at a time (Azure's *Put Block*, *Put Block List*).

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Service, broken, loopback, persistently, refused};
use crate::failure::Failure;
use crate::limits::{BLOCK_BYTES, UPLOAD_CONNECTIONS};

/// A block on its way: its number and bytes.
type Block = (usize, Vec<u8>);

/// An upload under way. Nothing counts before [`Upload::finish`].
#[derive(Debug)]
pub struct Upload {
    service: Service,
    url: String,
    content_type: String,
    block: Vec<u8>,
    blocks: usize,
    size_bytes: u64,
    hash: Sha256,
    queue: Option<SyncSender<Block>>,
    workers: Vec<JoinHandle<()>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// What was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// How much.
    pub size_bytes: u64,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
}

impl Upload {
    /// Begins an upload to a signed address.
    #[must_use]
    pub fn new(service: &Service, url: &str, content_type: &str) -> Self {
        Self {
            service: service.clone(),
            url: loopback(url),
            content_type: content_type.to_owned(),
            block: Vec::new(),
            blocks: 0,
            size_bytes: 0,
            hash: Sha256::new(),
            queue: None,
            workers: Vec::new(),
            failure: Arc::default(),
        }
    }

    /// Sends what is left and says in which order the blocks stand.
    ///
    /// # Errors
    /// When any of it was refused, or could not be sent.
    pub fn finish(mut self) -> Result<Uploaded, Failure> {
        let last = std::mem::take(&mut self.block);
        if self.blocks == 0 {
            // One block is sent as the whole.
            send(&self.service, &self.url, &self.content_type, &last)?;
        } else {
            if !last.is_empty() {
                self.enqueue(last)?;
            }
            self.queue = None;
            for worker in self.workers.drain(..) {
                worker.join().map_err(|_| Failure::new("an upload's thread ended"))?;
            }
            self.check()?;
            let mut list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
            for number in 0..self.blocks {
                list.push_str(&format!("<Latest>{}</Latest>", block_id(number)));
            }
            list.push_str("</BlockList>");
            let url = format!("{}&comp=blocklist", self.url);
            send(&self.service, &url, &self.content_type, list.as_bytes())?;
        }
        Ok(Uploaded { size_bytes: self.size_bytes, sha256: hex::encode(self.hash.finalize()) })
    }

    fn enqueue(&mut self, block: Vec<u8>) -> Result<(), Failure> {
        self.check()?;
        if self.queue.is_none() {
            let (queue, jobs) = sync_channel(1);
            let jobs = Arc::new(Mutex::new(jobs));
            for _ in 0..UPLOAD_CONNECTIONS {
                let (service, url) = (self.service.clone(), self.url.clone());
                let (jobs, failure) = (Arc::clone(&jobs), Arc::clone(&self.failure));
                self.workers.push(std::thread::spawn(move || work(&service, &url, &jobs, &failure)));
            }
            self.queue = Some(queue);
        }
        let number = self.blocks;
        self.blocks += 1;
        let gone = || Failure::new("the upload's threads ended");
        self.queue.as_ref().ok_or_else(gone)?.send((number, block)).map_err(|_| gone())
    }

    fn check(&self) -> Result<(), Failure> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.capacity() == 0 {
            self.block.reserve_exact(BLOCK_BYTES);
        }
        let room = BLOCK_BYTES.saturating_sub(self.block.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.block.extend_from_slice(taken);
        self.hash.update(taken);
        self.size_bytes = self.size_bytes.saturating_add(taken.len() as u64);
        if self.block.len() >= BLOCK_BYTES {
            let block = std::mem::take(&mut self.block);
            self.enqueue(block)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends blocks until there are no more. After a failure they are only taken, so that nobody waits.
fn work(service: &Service, url: &str, jobs: &Mutex<Receiver<Block>>, failure: &Mutex<Option<Failure>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, block)) = next else { return };
        if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            continue;
        }
        let url = format!("{url}&comp=block&blockid={}", block_id(number));
        if let Err(why) = send(service, &url, "application/octet-stream", &block) {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        }
    }
}

fn send(service: &Service, url: &str, content_type: &str, body: &[u8]) -> Result<(), Failure> {
    persistently(|| {
        let sent = service
            .agent
            .put(url)
            .header("content-type", content_type)
            .header("x-ms-blob-type", "BlockBlob")
            .header("x-ms-blob-content-type", content_type)
            .send(body);
        let mut answer = sent.map_err(broken)?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let text = answer.body_mut().read_to_string().map_err(broken)?;
        if status.is_success() { Ok(()) } else { Err(refused(status, azure_message(&text))) }
    })
}

/// The sentence in one of Azure's errors.
fn azure_message(text: &str) -> Option<&str> {
    text.split_once("<Message>")?.1.split_once("</Message>").map(|(message, _)| message)
}

/// All ids of one blob have one length. Digits in base64 need no further encoding in an address.
fn block_id(number: usize) -> String {
    STANDARD.encode(format!("{number:048}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_blocks_can_stand_in_an_address() {
        for number in [0, 1, 9_999] {
            let id = block_id(number);
            assert_eq!(id.len(), 64);
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
        assert_eq!(azure_message("<Error><Message>gone</Message></Error>"), Some("gone"));
    }
}
