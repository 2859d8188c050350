//! The frame of a zip archive that is written from front to end (PKWARE's APPNOTE 6.3): what a file came to stands behind
//! it, and once more in the list at the end.

use std::io::{self, Write};

use super::date::Moment;
use super::deflate::Piece;
use crate::failure::Failure;

/// Sizes stand behind the file; its name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;

/// Versions of the format that a reader needs: deflate, and sizes of 64 bits.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;

/// What has 32 bits and is not to be looked at.
const ELSEWHERE: u32 = u32::MAX;

/// A file in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) changed_s: i64,
    /// Whether it is compressed.
    pub(super) deflated: bool,
    /// Whether its sizes have 64 bits.
    pub(super) large: bool,
}

/// A file that is written, or was.
#[derive(Debug)]
struct Entry {
    member: Member,
    offset: u64,
    crc: crc32fast::Hasher,
    packed_bytes: u64,
    size_bytes: u64,
}

/// An archive under way.
#[derive(Debug)]
pub(super) struct ZipWriter<W> {
    out: W,
    at: u64,
    entries: Vec<Entry>,
}

impl<W: Write> ZipWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, at: 0, entries: Vec::new() }
    }

    /// Begins a file.
    pub(super) fn begin(&mut self, member: Member) -> Result<(), Failure> {
        let mut head = Head::default();
        head.u32(0x0403_4b50);
        head.common(&member);
        let size = if member.large { ELSEWHERE } else { 0 };
        head.u32(0).u32(size).u32(size);
        let extra = if member.large { [&[1, 0, 16, 0][..], &[0; 16]].concat() } else { Vec::new() };
        head.lengths(&member, &extra)?;
        head.bytes(member.name.as_bytes()).bytes(&extra);
        let offset = self.at;
        self.write(&head.0)?;
        let crc = crc32fast::Hasher::new();
        self.entries.push(Entry { member, offset, crc, packed_bytes: 0, size_bytes: 0 });
        Ok(())
    }

    /// Writes the next piece of the file that was begun last.
    pub(super) fn piece(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.write(&piece.bytes)?;
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        entry.crc.combine(&piece.crc);
        entry.packed_bytes += piece.bytes.len() as u64;
        entry.size_bytes += piece.size_bytes;
        Ok(())
    }

    /// Ends the file that was begun last.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        let Some(entry) = self.entries.last() else { return Ok(()) };
        let mut head = Head::default();
        head.u32(0x0807_4b50).u32(entry.crc.clone().finalize());
        for size_bytes in [entry.packed_bytes, entry.size_bytes] {
            match u32::try_from(size_bytes) {
                _ if entry.member.large => drop(head.u64(size_bytes)),
                Ok(size_bytes) => drop(head.u32(size_bytes)),
                Err(_) => {
                    let name = &entry.member.name;
                    return Err(Failure::new(format!("{name} became much larger while it was read")));
                }
            }
        }
        self.write(&head.0)?;
        Ok(())
    }

    /// Writes the list of what is there.
    pub(super) fn finish(mut self) -> Result<W, Failure> {
        let start = self.at;
        for entry in std::mem::take(&mut self.entries) {
            let head = entry.listed()?;
            self.write(&head.0)?;
            self.entries.push(entry);
        }
        let (count, length) = (self.entries.len() as u64, self.at - start);
        let fits = count < u64::from(u16::MAX) && self.at < u64::from(ELSEWHERE);
        let mut end = Head::default();
        if !fits {
            end.u32(0x0606_4b50).u64(44).u16(VERSION_64).u16(VERSION_64).u32(0).u32(0);
            end.u64(count).u64(count).u64(length).u64(start);
            end.u32(0x0706_4b50).u32(0).u64(self.at).u32(1);
        }
        let short = |number: u64| if fits { u32::try_from(number).unwrap_or(ELSEWHERE) } else { ELSEWHERE };
        let count = if fits { u16::try_from(count).unwrap_or(u16::MAX) } else { u16::MAX };
        end.u32(0x0605_4b50).u16(0).u16(0).u16(count).u16(count);
        end.u32(short(length)).u32(short(start)).u16(0);
        self.write(&end.0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl Entry {
    fn listed(&self) -> Result<Head, Failure> {
        let member = &self.member;
        let is_far = self.offset >= u64::from(ELSEWHERE);
        let mut fields = Head::default();
        if member.large {
            fields.u64(self.size_bytes).u64(self.packed_bytes);
        }
        if is_far {
            fields.u64(self.offset);
        }
        let mut extra = Head::default();
        if !fields.0.is_empty() {
            extra.u16(1).u16(u16::try_from(fields.0.len()).unwrap_or(0)).bytes(&fields.0);
        }
        let short = |far: bool, number: u64| {
            if far { ELSEWHERE } else { u32::try_from(number).unwrap_or(ELSEWHERE) }
        };
        let mut head = Head::default();
        // Made on Unix: the mode stands in the upper half of the attributes.
        head.u32(0x0201_4b50).u16(3 << 8 | VERSION_64);
        head.common(member);
        head.u32(self.crc.clone().finalize());
        head.u32(short(member.large, self.packed_bytes)).u32(short(member.large, self.size_bytes));
        head.lengths(member, &extra.0)?;
        head.u16(0).u16(0).u16(0).u32((0o100_000 | member.mode) << 16).u32(short(is_far, self.offset));
        head.bytes(member.name.as_bytes()).bytes(&extra.0);
        Ok(head)
    }
}

/// Numbers in the order of their bytes, the least first.
#[derive(Debug, Default)]
struct Head(Vec<u8>);

impl Head {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// What both headers of a file have alike.
    fn common(&mut self, member: &Member) {
        let version = if member.large { VERSION_64 } else { VERSION };
        let (time, date) = dos(member.changed_s);
        self.u16(version).u16(FLAGS).u16(if member.deflated { 8 } else { 0 }).u16(time).u16(date);
    }

    fn lengths(&mut self, member: &Member, extra: &[u8]) -> Result<(), Failure> {
        let long = |_| Failure::new(format!("the path {} is too long for an artifact", member.name));
        self.u16(u16::try_from(member.name.len()).map_err(long)?)
            .u16(u16::try_from(extra.len()).map_err(long)?);
        Ok(())
    }
}

/// Time and date as MS-DOS had them: from 1980 to 2107, every other second.
fn dos(unix_s: i64) -> (u16, u16) {
    let Moment { year, month, day, hour, minute, second } = Moment::of(unix_s);
    match u16::try_from(year - 1980) {
        Ok(years @ 0..=127) => (
            u16::from(hour) << 11 | u16::from(minute) << 5 | u16::from(second) >> 1,
            years << 9 | u16::from(month) << 5 | u16::from(day),
        ),
        _ => (0, 1 << 5 | 1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Cursor, Read as _};

    use super::*;

    fn piece(bytes: &[u8]) -> Piece {
        let mut crc = crc32fast::Hasher::new();
        crc.update(bytes);
        Piece { bytes: bytes.to_vec(), crc, size_bytes: bytes.len() as u64 }
    }

    fn member(name: &str, large: bool) -> Member {
        Member { name: name.to_owned(), mode: 0o640, changed_s: 1_700_000_001, deflated: false, large }
    }

    #[test]
    fn large_files_and_many_files_can_be_read() {
        let mut zip = ZipWriter::new(Vec::new());
        let count = usize::from(u16::MAX) + 3;
        for number in 0..count {
            zip.begin(member(&format!("größe/{number}"), number % 2 == 0)).unwrap();
            zip.piece(&piece(b"one and ")).unwrap();
            zip.piece(&piece(number.to_string().as_bytes())).unwrap();
            zip.end().unwrap();
        }
        let mut read = zip::ZipArchive::new(Cursor::new(zip.finish().unwrap())).unwrap();
        assert_eq!(read.len(), count);
        for number in [0, 1, count - 1] {
            let mut file = read.by_index(number).unwrap();
            assert_eq!(file.name().unwrap(), format!("größe/{number}"));
            assert_eq!(file.unix_mode().unwrap() & 0o777, 0o640);
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("one and {number}"));
        }
    }

    #[test]
    fn times_are_those_of_ms_dos() {
        // 2023-11-14 22:13:20
        assert_eq!(dos(1_700_000_000), (22 << 11 | 13 << 5 | 10, 43 << 9 | 11 << 5 | 14));
        assert_eq!(dos(0), (0, 33));
    }
}
