//! Making a backup: a thread of its own writes the tar, a bounded queue leads to whoever takes it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::sum::Sum;
use super::{FORMAT, JOURNAL, MANIFEST, Manifest, SNAPSHOT, SUM, SnapshotHead};
use crate::history::sqlite::HISTORY_FILE;
use crate::journal::JournalPlace;
use crate::options::{Objects, Options};
use crate::services::Services;

/// How many pieces may wait for a slow client.
const PIECES_QUEUED: usize = 8;

/// Size of a piece, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// Databases below the objects' folder: copied as a database and not as a file.
const DATABASES: [&str; 2] = ["small.sqlite", INDEX];

/// The index of caches and artifacts.
const INDEX: &str = "results/index.sqlite";

/// What of the data directory goes along.
const DATA: [&str; 8] =
    ["admin.token", "agent.token", "ca.key", "results.key", "repositories", "secrets", "vault", "vault.key"];

/// A backup as it is made. An error breaks the stream off, which tells the client that it is not whole.
pub(crate) fn stream(services: &Services) -> ReceiverStream<io::Result<Bytes>> {
    let (pieces, stream) = mpsc::channel(PIECES_QUEUED);
    let (services, runtime) = (services.clone(), Handle::current());
    tokio::task::spawn_blocking(move || {
        let outlet = Outlet { pieces: pieces.clone(), waiting: Vec::with_capacity(PIECE_BYTES) };
        if let Err(error) = write(&services, &runtime, outlet) {
            tracing::warn!(%error, "a backup was broken off");
            // A client that is gone needs no reason.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(stream)
}

fn write(services: &Services, runtime: &Handle, outlet: Outlet) -> io::Result<()> {
    // What the state names now has to be there when its copy is made.
    let _nothing_is_removed = runtime.block_on(services.backups.read());
    let mut backup = Backup { tar: tar::Builder::new(outlet), sum: Sum::default() };
    let ask = |position| {
        let piece = runtime.block_on(services.driver.read_journal(position));
        piece.map_err(io::Error::other)
    };
    // Before the journal, so that it goes on from there.
    let history = history(&services.options);
    // The journal as long as it is now; what is copied after it has at least what it names.
    let snapshot = runtime.block_on(services.driver.newest_snapshot()).map_err(io::Error::other)?;
    let begin = snapshot.as_ref().map_or(0, |snapshot| snapshot.position);
    let end = ask(begin)?.end;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: services.clock.unix_ms(),
        position: end,
        epoch: services.driver.epoch(),
    };
    backup.entry(MANIFEST, &serde_json::to_vec_pretty(&manifest)?)?;
    if let Some(snapshot) = &snapshot {
        let (position, version, size_bytes) = (snapshot.position, snapshot.version, snapshot.size_bytes);
        let mut bytes = serde_json::to_vec(&SnapshotHead { position, version, size_bytes })?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&snapshot.packed);
        backup.entry(SNAPSHOT, &bytes)?;
    }
    let mut position = 0;
    while position < end {
        let records = ask(position)?.records;
        let Some(first) = records.first() else {
            return Err(io::Error::other(format!("the journal has nothing after position {position}")));
        };
        let (name, mut bytes) = (format!("{JOURNAL}{:020}", first.position), Vec::new());
        for record in records.iter().take_while(|record| record.position <= end) {
            bytes.extend_from_slice(&record.head());
            bytes.extend_from_slice(&record.payload);
            bytes.extend_from_slice(&record.checksum.to_be_bytes());
            position = record.position;
        }
        backup.entry(&name, &bytes)?;
    }
    let options = &services.options;
    let shared = options.cluster.is_some();
    let objects = match &options.objects {
        Some(Objects::Folder(folder)) => folder.clone(),
        Some(Objects::Bucket(_)) | None => options.data_dir.join("objects"),
    };
    // Of several coordinators each has its tokens from the key file, and the rest lies with the objects.
    {
        // Values of secrets and the keys that they are sealed under belong together.
        let _changing = runtime.block_on(services.vault.changing());
        for name in DATA.iter().filter(|_| !shared) {
            backup.tree(&options.data_dir.join(name), &format!("data/{name}"), &|_| true)?;
        }
    }
    if let Some(history) = &history {
        backup.copy(history, &format!("data/{HISTORY_FILE}"))?;
    }
    if let Some(copy) = index(services, runtime)? {
        backup.copy(&copy, &format!("objects/{INDEX}"))?;
    }
    for name in DATABASES {
        // Of an index that is in a database now there may still be the file that it was.
        if name == INDEX && !services.results.index_is_file() {
            continue;
        }
        if let Some(copy) = copy_of(&objects.join(name), &options.data_dir)? {
            backup.copy(&copy, &format!("objects/{name}"))?;
        }
    }
    let is_database = |name: &str| {
        let name = name.trim_start_matches("objects/");
        DATABASES.iter().any(|database| name.starts_with(database))
    };
    backup.tree(&objects, "objects", &|name| !is_database(name))?;
    let sum = backup.sum.finish();
    backup.entry(SUM, sum.as_bytes())?;
    backup.tar.into_inner()?.flush()
}

struct Backup {
    tar: tar::Builder<Outlet>,
    sum: Sum,
}

impl Backup {
    fn entry(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.data(name, bytes.len() as u64, bytes)
    }

    /// An entry of exactly so many bytes.
    fn data(&mut self, name: &str, size_bytes: u64, data: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size_bytes);
        // There are tokens and secrets in it.
        header.set_mode(0o600);
        self.sum.begin(name, size_bytes);
        let sum = &mut self.sum;
        self.tar.append_data(&mut header, name, Summed { data: data.take(size_bytes), sum })
    }

    /// A file, or all files of a folder, as far as they are still there.
    fn tree(&mut self, place: &Path, name: &str, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let Some(metadata) = there(fs::symlink_metadata(place))? else { return Ok(()) };
        if metadata.is_dir() {
            let Some(entries) = there(fs::read_dir(place))? else { return Ok(()) };
            let mut paths: Vec<PathBuf> =
                entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
            paths.sort();
            for path in paths {
                let Some(part) = path.file_name().and_then(|part| part.to_str()) else { continue };
                let name = format!("{name}/{part}");
                if wanted(&name) {
                    self.tree(&path, &name, wanted)?;
                }
            }
        } else if metadata.is_file() {
            let Some(file) = there(File::open(place))? else { return Ok(()) };
            // A log may grow meanwhile: what it has now is what the copy has.
            let size_bytes = file.metadata()?.len();
            self.data(name, size_bytes, file)?;
        }
        Ok(())
    }

    /// A copy of a database.
    fn copy(&mut self, copy: &Scratch, name: &str) -> io::Result<()> {
        let file = File::open(&copy.0)?;
        let size_bytes = file.metadata()?.len();
        self.data(name, size_bytes, file)
    }
}

/// A database as of one moment, while others write it; `None`: there is none.
fn copy_of(place: &Path, scratch: &Path) -> io::Result<Option<Scratch>> {
    if !place.exists() {
        return Ok(None);
    }
    let copy = Scratch::new(scratch);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    Connection::open_with_flags(place, flags)
        .and_then(|from| from.execute("VACUUM INTO ?1", [copy.0.display().to_string()]))
        .map_err(io::Error::other)?;
    Ok(Some(copy))
}

/// The index of caches and artifacts, where it is in a database: as the file that a restored coordinator has it in.
fn index(services: &Services, runtime: &Handle) -> io::Result<Option<Scratch>> {
    if services.results.index_is_file() {
        return Ok(None);
    }
    let copy = Scratch::new(&services.options.data_dir);
    runtime.block_on(services.results.copy_index(&copy.0)).map_err(io::Error::other)?;
    Ok(Some(copy))
}

/// The projections, which are made again from the journal if they cannot be copied.
fn history(options: &Options) -> Option<Scratch> {
    if options.journal != JournalPlace::Sqlite {
        return None;
    }
    copy_of(&options.data_dir.join(HISTORY_FILE), &options.data_dir).unwrap_or_else(|error| {
        tracing::warn!(%error, "a backup is made without the projections");
        None
    })
}

/// A file that goes when it is not needed any more.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Self {
        Self(folder.join(format!("backup-{}.sqlite", uuid::Uuid::new_v4().simple())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // One that was never made, or stays: a copy without a name that anybody knows.
        let _ = fs::remove_file(&self.0);
    }
}

/// `None` for what was removed meanwhile.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads through, for the hash.
struct Summed<'a, R> {
    data: io::Take<R>,
    sum: &'a mut Sum,
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.data.read(buffer)?;
        if read == 0 && self.data.limit() > 0 && !buffer.is_empty() {
            return Err(io::Error::other("a file became shorter while it was copied; make the backup again"));
        }
        self.sum.bytes(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Where the tar goes.
struct Outlet {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE_BYTES));
        if piece.is_empty() {
            return Ok(());
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked for the backup is gone");
        self.pieces.blocking_send(Ok(piece.into())).map_err(gone)
    }
}
