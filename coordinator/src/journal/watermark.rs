//! What a coordinator remembers of the journal in its own data directory: how far it saw it, so that a journal that is put
//! back to an earlier state behind its back shows when it starts.
//!
//! Written now and then, so it is a lower bound: what was lost of the last second before a coordinator died as well does not
//! show here. Several marks are kept, the older the sparser, so that it can be told from where on something is missing.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Hash, Journal, JournalError, Mark};

/// The file in the data directory.
pub const WATERMARK_FILE: &str = "journal.watermark";

/// How many marks are kept.
const MARKS_KEPT: usize = 16;

/// Marks of one journal, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The newest epoch that was seen.
    pub epoch: u64,
    marks: Vec<Mark>,
}

/// What is missing of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The last position that is known to be as it was.
    pub agreed: u64,
    /// The last position that was seen.
    pub known: u64,
    /// Where the journal ends now. What it has after `agreed` may be something else.
    pub found: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    epoch: u64,
    marks: Vec<SavedMark>,
}

#[derive(Serialize, Deserialize)]
struct SavedMark {
    position: u64,
    hash: String,
}

impl Watermark {
    /// Reads the file; empty when there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub fn load(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let saved: Saved = serde_json::from_slice(&bytes)?;
        let marks = saved.marks.into_iter().map(|mark| {
            let mut hash = Hash::default();
            hex::decode_to_slice(&mark.hash, &mut hash).map_err(io::Error::other)?;
            Ok(Mark { position: mark.position, hash })
        });
        Ok(Self { epoch: saved.epoch, marks: marks.collect::<io::Result<_>>()? })
    }

    /// Writes the file, whole or not at all. Only a `durable` one survives a power cut for sure.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, path: &Path, durable: bool) -> io::Result<()> {
        let marks = self.marks.iter();
        let marks = marks.map(|mark| SavedMark { position: mark.position, hash: hex::encode(mark.hash) });
        let bytes = serde_json::to_vec(&Saved { epoch: self.epoch, marks: marks.collect() })?;
        let temporary = path.with_extension("watermark.new");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        match path.parent().filter(|_| durable) {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// The newest position that was seen.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.marks.last().map_or(0, |mark| mark.position)
    }

    /// Takes a mark that was seen now. One that is not after the newest is known already.
    pub fn add(&mut self, mark: Mark) {
        if mark.position <= self.position() {
            return;
        }
        self.marks.push(mark);
        if self.marks.len() <= MARKS_KEPT {
            return;
        }
        // The one whose neighbours are nearest to each other, for how old it is.
        let spread = |index: usize| {
            let [before, at, after] = [index - 1, index, index + 1].map(|index| self.marks[index].position);
            (after - before) as f64 / (mark.position - at + 1) as f64
        };
        let dispensable = (1..self.marks.len() - 1).min_by(|a, b| spread(*a).total_cmp(&spread(*b)));
        if let Some(index) = dispensable {
            self.marks.remove(index);
        }
    }

    /// What is missing of a journal that once had all the marks; `None`: nothing.
    ///
    /// # Errors
    /// As [`Journal::hash`].
    pub fn loss(&self, journal: &mut dyn Journal) -> Result<Option<Loss>, JournalError> {
        let begin = journal.anchor().position;
        let known = self.position();
        for mark in self.marks.iter().rev() {
            // What is pruned cannot be compared, and a journal that went on for so long has not lost it.
            if mark.position < begin || journal.hash(mark.position)? == Some(mark.hash) {
                let loss = Loss { agreed: mark.position, known, found: journal.end() };
                return Ok((mark.position < known).then_some(loss));
            }
        }
        let loss = Loss { agreed: begin, known, found: journal.end() };
        Ok((known > 0).then_some(loss))
    }
}

/// Puts the file away under a name with the time and begins a new one with `mark`; gives that name back. The loss that it
/// shows is accepted.
///
/// # Errors
/// The files cannot be written.
pub fn accept(path: &Path, epoch: u64, mark: Mark, unix_s: u64) -> io::Result<Option<PathBuf>> {
    let kept = path.with_extension(format!("watermark.lost-{unix_s}"));
    let kept = match fs::rename(path, &kept) {
        Ok(()) => Some(kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut watermark = Watermark { epoch, marks: Vec::new() };
    watermark.add(mark);
    watermark.save(path, true)?;
    Ok(kept)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::memory::MemoryJournal;
    use crate::journal::{Address, Entry, lead};

    fn journal(records: u64) -> MemoryJournal {
        let mut journal = MemoryJournal::new();
        let epoch = lead(&mut journal, &Address::default()).unwrap();
        for n in 0..records {
            journal.append(epoch, &[Entry { time_ms: n, payload: vec![1] }]).unwrap();
        }
        journal
    }

    fn marked(journal: &mut MemoryJournal, positions: impl IntoIterator<Item = u64>) -> Watermark {
        let mut watermark = Watermark::default();
        for position in positions {
            watermark.add(Mark { position, hash: journal.hash(position).unwrap().unwrap() });
        }
        watermark
    }

    #[test]
    fn marks_are_bounded_and_sparser_the_older() {
        let mut long = journal(1_000);
        let watermark = marked(&mut long, 1..=1_000);
        let positions: Vec<u64> = watermark.marks.iter().map(|mark| mark.position).collect();
        assert_eq!(positions.len(), MARKS_KEPT);
        assert_eq!((positions[0], positions[MARKS_KEPT - 1]), (1, 1_000));
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
        assert!(positions[MARKS_KEPT - 3] > 900, "near the end they are dense: {positions:?}");
        assert_eq!(watermark.loss(&mut long).unwrap(), None);
    }

    #[test]
    fn a_journal_that_was_put_back_shows() {
        let mut whole = journal(10);
        let watermark = marked(&mut whole, [3, 6, 10]);
        let mut older = journal(7);
        let loss = watermark.loss(&mut older).unwrap();
        assert_eq!(loss, Some(Loss { agreed: 6, known: 10, found: 7 }));
        // One that went on differently is as long, and not the same.
        let mut other = journal(5);
        let epoch = lead(&mut other, &Address::default()).unwrap();
        for _ in 0..9 {
            other.append(epoch, &[Entry { time_ms: 99, payload: vec![2] }]).unwrap();
        }
        let loss = watermark.loss(&mut other).unwrap();
        assert_eq!(loss, Some(Loss { agreed: 3, known: 10, found: 14 }));
        assert_eq!(watermark.loss(&mut MemoryJournal::new()).unwrap().unwrap().agreed, 0);
        assert_eq!(Watermark::default().loss(&mut whole).unwrap(), None);
    }

    #[test]
    fn the_file_comes_back_as_it_was_and_is_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WATERMARK_FILE);
        assert_eq!(Watermark::load(&path).unwrap(), Watermark::default());
        let mut journal = journal(5);
        let mut watermark = marked(&mut journal, [2, 5]);
        watermark.epoch = 4;
        for durable in [false, true] {
            watermark.save(&path, durable).unwrap();
            assert_eq!(Watermark::load(&path).unwrap(), watermark);
        }
        let kept = accept(&path, 4, Mark::BEGINNING, 77).unwrap().unwrap();
        assert!(kept.ends_with("journal.watermark.lost-77"), "{}", kept.display());
        assert_eq!(Watermark::load(&kept).unwrap(), watermark);
        assert_eq!(Watermark::load(&path).unwrap().position(), 0);
        fs::write(&path, "{").unwrap();
        Watermark::load(&path).unwrap_err();
    }
}
