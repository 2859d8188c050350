//! Reading a backup: checked as a whole, then put in place as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::sum::Sum;
use super::{FORMAT, JOURNAL, MANIFEST, Manifest, RESTORED_EPOCHS, SNAPSHOT, SUM, SnapshotHead};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{Journal, JournalError, MAX_PAYLOAD_BYTES, Record, Snapshot};

/// The longest manifest, in bytes.
const MANIFEST_MAX_BYTES: u64 = 64 << 10;

/// The longest head of a snapshot, in bytes.
const SNAPSHOT_HEAD_MAX: usize = 1_024;

/// Buffer for reading, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Why a backup cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not a backup, or not all of one.
    #[error("{file} is no whole backup: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Made by a later version.
    #[error(
        "{file} was made by Slipway {version} (format {found}, this build reads ≤ {FORMAT}); restore it with that version"
    )]
    Newer {
        /// The file.
        file: String,
        /// Who made it.
        version: String,
        /// Its format.
        found: u32,
    },
    /// There is something already.
    #[error("{0} is not empty; a backup is restored into a new data directory")]
    Occupied(String),
    /// The file or the directory.
    #[error("{place}: {source}")]
    Io {
        /// Which.
        place: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The journal in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// How many records the journal has.
    pub records: u64,
    /// How many other files there are.
    pub files: u64,
}

fn io_at(place: &Path) -> impl Fn(io::Error) -> RestoreError {
    let place = place.display().to_string();
    move |source| RestoreError::Io { place: place.clone(), source }
}

/// Reads a backup to its end and checks that it is whole.
///
/// # Errors
/// [`RestoreError`].
pub fn check(file: &Path) -> Result<Restored, RestoreError> {
    unpack(file, &mut Nowhere)
}

/// Restores a backup into a data directory that is not there yet, or empty: all of it, or nothing.
///
/// # Errors
/// [`RestoreError`].
pub fn restore(file: &Path, data_dir: &Path) -> Result<Restored, RestoreError> {
    let at = io_at(data_dir);
    match fs::read_dir(data_dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => return Err(RestoreError::Occupied(data_dir.display().to_string())),
            None => fs::remove_dir(data_dir).map_err(&at)?,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
    }
    let draft = Draft::new(data_dir)?;
    let mut place = Place { root: draft.0.clone(), journal: None };
    let restored = unpack(file, &mut place)?;
    let mut journal = place.take_journal()?;
    journal.import(&[], restored.manifest.epoch.saturating_add(RESTORED_EPOCHS))?;
    drop(journal);
    sync_all(&draft.0).map_err(io_at(&draft.0))?;
    fs::rename(&draft.0, data_dir).map_err(&at)?;
    if let Some(parent) = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(io_at(parent))?;
    }
    Ok(restored)
}

/// A folder beside the data directory that goes if it is not renamed.
struct Draft(PathBuf);

impl Draft {
    fn new(data_dir: &Path) -> Result<Self, RestoreError> {
        let mut name = data_dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".restoring-{}", std::process::id()));
        let folder = data_dir.with_file_name(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_at(&folder))?;
        Ok(Self(folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After the rename there is nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Where a backup's parts go.
trait Target {
    fn file(&mut self, name: &Path, data: &mut dyn Read) -> Result<(), RestoreError>;
    fn records(&mut self, records: Vec<Record>) -> Result<(), RestoreError>;
    fn snapshot(&mut self, snapshot: Snapshot) -> Result<(), RestoreError>;
}

/// For checking alone.
struct Nowhere;

impl Target for Nowhere {
    fn file(&mut self, name: &Path, data: &mut dyn Read) -> Result<(), RestoreError> {
        io::copy(data, &mut io::sink()).map(drop).map_err(io_at(name))
    }
    fn records(&mut self, _records: Vec<Record>) -> Result<(), RestoreError> {
        Ok(())
    }
    fn snapshot(&mut self, _snapshot: Snapshot) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// A new data directory.
struct Place {
    root: PathBuf,
    journal: Option<SqliteJournal>,
}

impl Place {
    fn take_journal(&mut self) -> Result<SqliteJournal, RestoreError> {
        match self.journal.take() {
            Some(journal) => Ok(journal),
            None => Ok(SqliteJournal::open(&self.root.join("journal.db"))?),
        }
    }
}

impl Target for Place {
    fn file(&mut self, name: &Path, data: &mut dyn Read) -> Result<(), RestoreError> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_at(folder))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(io_at(&path))?;
        io::copy(data, &mut file).and_then(|_| file.flush()).map_err(io_at(&path))
    }

    fn records(&mut self, records: Vec<Record>) -> Result<(), RestoreError> {
        let mut journal = self.take_journal()?;
        journal.import(&records, 0)?;
        self.journal = Some(journal);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: Snapshot) -> Result<(), RestoreError> {
        let mut journal = self.take_journal()?;
        journal.save_snapshot(&snapshot)?;
        self.journal = Some(journal);
        Ok(())
    }
}

/// Reads through, for the hash.
struct Summed<'a, R> {
    data: R,
    sum: &'a mut Sum,
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.data.read(buffer)?;
        self.sum.bytes(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn unpack(file: &Path, target: &mut dyn Target) -> Result<Restored, RestoreError> {
    let damaged = |reason: String| RestoreError::Damaged { file: file.display().to_string(), reason };
    let unreadable = |error: io::Error| damaged(error.to_string());
    let opened = File::open(file).map_err(io_at(file))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(BUFFER_BYTES, opened));
    let (mut sum, mut manifest, mut snapshot) = (Sum::default(), None::<Manifest>, None);
    let (mut records, mut files, mut whole) = (0, 0, false);
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let name = path.to_str().ok_or_else(|| damaged("a name in it is not UTF-8".to_owned()))?.to_owned();
        let size_bytes = entry.size();
        if name == SUM {
            let (mut told, ours) = (String::new(), sum.finish());
            entry.take(2 * ours.len() as u64).read_to_string(&mut told).map_err(unreadable)?;
            if told != ours {
                return Err(damaged("its hash is another: it was changed".to_owned()));
            }
            whole = true;
            break;
        }
        sum.begin(&name, size_bytes);
        let mut data = Summed { data: entry, sum: &mut sum };
        match (&manifest, name.as_str()) {
            (None, MANIFEST) => {
                let mut bytes = Vec::new();
                data.by_ref().take(MANIFEST_MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
                let read: Manifest =
                    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
                if read.format > FORMAT {
                    let file = file.display().to_string();
                    return Err(RestoreError::Newer { file, version: read.version, found: read.format });
                }
                manifest = Some(read);
            }
            (None, _) => return Err(damaged("it does not begin with what it is".to_owned())),
            (Some(_), SNAPSHOT) => snapshot = Some(read_snapshot(&mut data).map_err(unreadable)?),
            (Some(_), name) if name.starts_with(JOURNAL) => {
                let read = read_records(&mut data).map_err(unreadable)?;
                records += read.len() as u64;
                target.records(read)?;
            }
            (Some(_), _) => {
                target.file(
                    &below(&path).ok_or_else(|| damaged(format!("`{name}` is no name of its own")))?,
                    &mut data,
                )?;
                files += 1;
            }
        }
        // What a reader left over counts too.
        io::copy(&mut data, &mut io::sink()).map_err(unreadable)?;
    }
    match manifest {
        Some(manifest) if whole => {
            if let Some(snapshot) = snapshot {
                target.snapshot(snapshot)?;
            }
            Ok(Restored { manifest, records, files })
        }
        _ => Err(damaged("its end is missing; make the backup again".to_owned())),
    }
}

/// Where a file goes below the data directory; `None` for a name that leads elsewhere.
fn below(path: &Path) -> Option<PathBuf> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let place = path.strip_prefix("data").ok().map(Path::to_owned);
    let place = place.or_else(|| path.starts_with("objects").then(|| path.to_owned()))?;
    (plain && place.components().next().is_some()).then_some(place)
}

fn read_snapshot(data: &mut impl Read) -> io::Result<Snapshot> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    loop {
        data.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        if head.len() == SNAPSHOT_HEAD_MAX {
            return Err(io::Error::other("its snapshot has no head"));
        }
        head.extend_from_slice(&byte);
    }
    let SnapshotHead { position, version, size_bytes } = serde_json::from_slice(&head)?;
    let mut packed = Vec::new();
    data.read_to_end(&mut packed)?;
    Ok(Snapshot { position, version, size_bytes, packed })
}

fn read_records(data: &mut impl Read) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut head = [0; Record::HEAD_BYTES];
    loop {
        if data.read(&mut head[..1])? == 0 {
            return Ok(records);
        }
        data.read_exact(&mut head[1..])?;
        let (mut record, length) = Record::from_head(&head);
        if length > MAX_PAYLOAD_BYTES as u64 {
            return Err(io::Error::other(format!("record {} is too long", record.position)));
        }
        record.payload = vec![0; length as usize];
        data.read_exact(&mut record.payload)?;
        let mut checksum = [0; 4];
        data.read_exact(&mut checksum)?;
        record.checksum = u32::from_be_bytes(checksum);
        records.push(record);
    }
}
