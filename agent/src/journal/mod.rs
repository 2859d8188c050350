//! What a job leaves on the agent's disk, so that the next agent process can go on with it.
//!
//! A journal is a folder of segments; a segment is a row of *groups*; a group is written with one checksum and holds
//! log records, and what became true with them: the job's state, the state of its output stream (how far its spool is
//! read), or both. So a record and the spool offset behind it are on disk together or not at all: a killed agent
//! neither loses nor repeats a line, and a newer agent that would cut or mask lines differently does not renumber what
//! was already sent.
//!
//! Invariant: a record is sent only after its group was written. Numbers start at 1 and have no gap. A segment starts
//! with both states, so segments whose records are all durable elsewhere are deleted whole.
//!
//! Who may read it: the agent alone (mode 0600), like the spool. The secrets themselves are not in it, they are fetched
//! again under the lease; but a state holds the job's environment and outputs and what steps asked to mask, and a
//! workflow may have put a secret there. It is deleted with the job's folder.
//!
//! Deliberately absent: a sync per group. What is written survives the agent's death; when the machine dies, the job's
//! container dies with it, and only a job's outcome is worth a sync.

pub mod format;
pub mod reader;
mod recent;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use slipway_wire::records::Records;
use tokio::sync::watch;

use crate::limits::{JOURNAL_BACKLOG_BYTES, SEGMENT_BYTES};
use format::{Group, read_segment};
use recent::Recent;

/// One file of a journal.
#[derive(Debug, Clone)]
struct Segment {
    path: PathBuf,
    /// Number of the first record in it.
    first: u64,
    size_bytes: u64,
}

/// What writer, reader and uploader share.
#[derive(Debug)]
struct Shared {
    segments: Mutex<VecDeque<Segment>>,
    recent: Mutex<Recent>,
    /// Number of the last record written.
    written: watch::Sender<u64>,
    /// Number of the last record that is durable at the coordinator.
    durable: watch::Sender<u64>,
    /// No more records come: whoever waits for them to be durable waits for the job's end.
    finished: watch::Sender<bool>,
}

impl Shared {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn segments(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.segments.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The writing end: one per job.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    sequence: u64,
    size_bytes: u64,
    /// A part of a group may stand behind `size_bytes`.
    torn: bool,
    /// The latest states: the head of the next segment.
    job: Vec<u8>,
    stream: Vec<u8>,
    shared: Arc<Shared>,
}

/// What an opened journal knew last.
#[derive(Debug)]
pub struct Recovered {
    /// The journal, ready to go on.
    pub journal: Journal,
    /// The job's last state.
    pub job: Vec<u8>,
    /// The last state of its output.
    pub stream: Vec<u8>,
}

/// A handle for who uploads: what is written, what is durable.
#[derive(Debug, Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

impl Journal {
    /// Starts a journal in `folder`, which is made.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn create(folder: &Path, job: Vec<u8>, stream: Vec<u8>) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let shared = Arc::new(Shared {
            segments: Mutex::default(),
            recent: Mutex::default(),
            written: watch::Sender::new(0),
            durable: watch::Sender::new(0),
            finished: watch::Sender::new(false),
        });
        let (file, size_bytes) = start_segment(folder, 1, 1, &job, &stream)?;
        shared.segments().push_back(Segment { path: segment_path(folder, 1), first: 1, size_bytes });
        Ok(Self {
            folder: folder.to_owned(),
            file,
            sequence: 1,
            size_bytes,
            torn: false,
            job,
            stream,
            shared,
        })
    }

    /// Opens what an earlier process wrote; none when it did not get as far as a first state. A group that it did not
    /// finish is cut off.
    ///
    /// # Errors
    /// When a file can't be read, or one other than the last is damaged.
    pub fn open(folder: &Path) -> std::io::Result<Option<Recovered>> {
        let mut sequences = segment_sequences(folder)?;
        sequences.sort_unstable();
        let mut segments = VecDeque::new();
        let (mut job, mut stream) = (Vec::new(), Vec::new());
        let mut next = 0;
        for (at, sequence) in sequences.iter().enumerate() {
            let path = segment_path(folder, *sequence);
            let read = read_segment(&path, |group: Group<'_>| {
                if let Some(state) = group.job {
                    job = state.to_vec();
                }
                if let Some(state) = group.stream {
                    stream = state.to_vec();
                }
            })?;
            let last = at + 1 == sequences.len();
            if read.torn && !last {
                return Err(std::io::Error::other(format!("{} is damaged", path.display())));
            }
            next = read.next;
            segments.push_back(Segment { path, first: read.first, size_bytes: read.size_bytes });
        }
        let Some(last) = segments.back() else { return Ok(None) };
        let mut file = OpenOptions::new().write(true).open(&last.path)?;
        file.set_len(last.size_bytes)?;
        file.seek(SeekFrom::End(0))?;
        let size_bytes = last.size_bytes;
        let sequence = sequences.last().copied().unwrap_or(1);
        let durable = segments.front().map_or(0, |segment| segment.first.saturating_sub(1));
        let shared = Arc::new(Shared {
            segments: Mutex::new(segments),
            recent: Mutex::default(),
            written: watch::Sender::new(next.saturating_sub(1)),
            durable: watch::Sender::new(durable),
            finished: watch::Sender::new(false),
        });
        let journal = Self {
            folder: folder.to_owned(),
            file,
            sequence,
            size_bytes,
            torn: false,
            job: job.clone(),
            stream: stream.clone(),
            shared,
        };
        Ok(Some(Recovered { journal, job, stream }))
    }

    /// Writes a group and gives the number of the last record. With `sync`, waits until it is on the disk.
    ///
    /// # Errors
    /// When the file can't be written: a full disk, above all. Then nothing of it is in the journal, which goes on as it
    /// was; later groups may find room.
    pub fn append(
        &mut self,
        records: &Records,
        job: Option<Vec<u8>>,
        stream: Option<Vec<u8>>,
        sync: bool,
    ) -> std::io::Result<u64> {
        let group = format::encode_group(records, job.as_deref(), stream.as_deref())?;
        let group_bytes = (group.len() + records.bytes().len()) as u64;
        if self.torn {
            self.cut()?;
        }
        let written = write_both(&mut self.file, &group, records.bytes());
        if let Err(error) = written.and_then(|()| if sync { self.file.sync_data() } else { Ok(()) }) {
            // A part of the group may be there. Behind it the next one would be lost at the next start.
            self.torn = self.cut().is_err();
            return Err(error);
        }
        self.size_bytes += group_bytes;
        self.job = job.unwrap_or_else(|| std::mem::take(&mut self.job));
        self.stream = stream.unwrap_or_else(|| std::mem::take(&mut self.stream));
        let before = self.last_record();
        let last = before + records.count() as u64;
        self.shared.recent().push(before + 1, records);
        if let Some(segment) = self.shared.segments().back_mut() {
            segment.size_bytes = self.size_bytes;
        }
        self.shared.written.send_replace(last);
        // The group is there. A segment that cannot be begun now is begun behind a later group.
        if self.size_bytes >= SEGMENT_BYTES
            && let Err(error) = self.roll(last + 1)
        {
            tracing::debug!(folder = %self.folder.display(), %error, "a journal goes on in its segment");
        }
        Ok(last)
    }

    /// Removes what stands behind the last whole group.
    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.size_bytes)?;
        self.file.seek(SeekFrom::Start(self.size_bytes))?;
        self.torn = false;
        Ok(())
    }

    fn roll(&mut self, first: u64) -> std::io::Result<()> {
        let sequence = self.sequence + 1;
        let (file, size_bytes) = start_segment(&self.folder, sequence, first, &self.job, &self.stream)?;
        (self.file, self.sequence, self.size_bytes) = (file, sequence, size_bytes);
        let path = segment_path(&self.folder, sequence);
        self.shared.segments().push_back(Segment { path, first, size_bytes });
        Ok(())
    }

    /// Number of the last record written; 0: none yet.
    #[must_use]
    pub fn last_record(&self) -> u64 {
        *self.shared.written.borrow()
    }

    /// For who uploads.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { shared: Arc::clone(&self.shared) }
    }
}

impl Progress {
    /// Waits until the records that are not durable yet take less than [`JOURNAL_BACKLOG_BYTES`].
    pub async fn room(&self) {
        let mut durable = self.shared.durable.subscribe();
        // An error can't be: the sender is in `shared`, which this holds.
        let _ = durable.wait_for(|_| self.backlog_bytes() < JOURNAL_BACKLOG_BYTES).await;
    }

    fn backlog_bytes(&self) -> u64 {
        self.shared.segments().iter().map(|segment| segment.size_bytes).sum()
    }

    /// Number of the last record written, now and as it rises.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<u64> {
        self.shared.written.subscribe()
    }

    /// Number of the last durable record, now and as it rises.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// No more records are written: those that are not durable are wanted soon.
    pub fn finish(&self) {
        self.shared.finished.send_replace(true);
    }

    /// Whether [`Progress::finish`] was called, now and later.
    #[must_use]
    pub fn finished(&self) -> watch::Receiver<bool> {
        self.shared.finished.subscribe()
    }

    /// All records up to `number` are durable elsewhere: segments that hold no others are deleted.
    pub fn release(&self, number: u64) {
        self.shared.recent().release(number);
        {
            let mut segments = self.shared.segments();
            while segments.get(1).is_some_and(|second| second.first <= number.saturating_add(1)) {
                if let Some(gone) = segments.pop_front()
                    && let Err(error) = std::fs::remove_file(&gone.path)
                {
                    // It is removed with the job's folder; until then it only takes room.
                    tracing::debug!(path = %gone.path.display(), %error, "a journal segment stays");
                }
            }
        }
        self.shared.durable.send_if_modified(|durable| {
            let higher = number > *durable;
            *durable = number.max(*durable);
            higher
        });
    }
}

/// Writes one piece behind the other.
fn write_both(file: &mut File, first: &[u8], second: &[u8]) -> std::io::Result<()> {
    let mut slices = &mut [IoSlice::new(first), IoSlice::new(second)][..];
    while slices.iter().any(|slice| !slice.is_empty()) {
        match file.write_vectored(slices) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn segment_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:08}.log"))
}

fn segment_sequences(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut sequences = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok()) {
            sequences.push(number);
        }
    }
    Ok(sequences)
}

/// Writes a segment's head under another name first, so that a segment that can be found is whole.
fn start_segment(
    folder: &Path,
    sequence: u64,
    first: u64,
    job: &[u8],
    stream: &[u8],
) -> std::io::Result<(File, u64)> {
    let draft = folder.join("next");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let mut head = format::encode_head(first).to_vec();
    head.extend(format::encode_group(&Records::default(), Some(job), Some(stream))?);
    file.write_all(&head)?;
    std::fs::rename(&draft, segment_path(folder, sequence))?;
    Ok((file, head.len() as u64))
}
