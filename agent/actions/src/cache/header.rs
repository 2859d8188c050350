//! Headers of members: POSIX's `ustar`, with what does not fit into one in a `pax` header before it, as GNU tar's
//! `--posix` writes it.

use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// Bytes of a name in a header.
const NAME_BYTES: usize = 100;

/// The largest size in a header's eleven octal digits.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// The largest user or group in a header's seven octal digits.
const ID_MAX: u32 = 0o7_777_777;

/// What a member is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    /// A folder.
    Folder,
    /// A file of this many bytes.
    File(u64),
    /// A symbolic link to this.
    Symbolic(&'a Path),
    /// One more name of this member.
    Hard(&'a Path),
}

/// Writes the headers of a member; a file's bytes are the caller's to write with the header that is returned.
pub(super) fn begin<W: Write>(
    tar: &mut Builder<W>,
    name: &Path,
    status: &Metadata,
    kind: Kind<'_>,
) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    let mut more: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut name = name.as_os_str().as_bytes().to_vec();
    let (entry_type, size_bytes, target) = match kind {
        Kind::Folder => (EntryType::Directory, 0, None),
        Kind::File(size_bytes) => (EntryType::Regular, size_bytes, None),
        Kind::Symbolic(target) => (EntryType::Symlink, 0, Some(target)),
        Kind::Hard(target) => (EntryType::Link, 0, Some(target)),
    };
    if matches!(kind, Kind::Folder) && !name.ends_with(b"/") {
        name.push(b'/');
    }
    header.set_entry_type(entry_type);
    header.set_mode(status.mode() & 0o7777);
    let field = &mut header.as_old_mut().name;
    let fitting = name.get(..name.len().min(NAME_BYTES)).unwrap_or_default();
    if let Some(field) = field.get_mut(..fitting.len()) {
        field.copy_from_slice(fitting);
    }
    if name.len() > NAME_BYTES {
        more.push(("path", name));
    }
    if let Some(target) = target.map(|target| target.as_os_str().as_bytes()) {
        header.set_link_name_literal(target.get(..target.len().min(NAME_BYTES)).unwrap_or_default())?;
        if target.len() > NAME_BYTES {
            more.push(("linkpath", target.to_vec()));
        }
    }
    header.set_size(size_bytes.min(SIZE_MAX));
    if size_bytes > SIZE_MAX {
        more.push(("size", size_bytes.to_string().into_bytes()));
    }
    for (key, id) in [("uid", status.uid()), ("gid", status.gid())] {
        let fitting = u64::from(if id > ID_MAX { 0 } else { id });
        if key == "uid" {
            header.set_uid(fitting)
        } else {
            header.set_gid(fitting)
        }
        if id > ID_MAX {
            more.push((key, id.to_string().into_bytes()));
        }
    }
    let (seconds, nanoseconds) = (status.mtime(), status.mtime_nsec());
    header.set_mtime(u64::try_from(seconds).unwrap_or(0).min(SIZE_MAX));
    if nanoseconds != 0 || seconds < 0 {
        more.push(("mtime", time(seconds, nanoseconds).into_bytes()));
    }
    if !more.is_empty() {
        tar.append_pax_extensions(more.iter().map(|(key, value)| (*key, value.as_slice())))?;
    }
    header.set_cksum();
    Ok(header)
}

/// Seconds with a fraction, as POSIX has them: of times before 1970 both parts are negative.
fn time(seconds: i64, nanoseconds: i64) -> String {
    match (seconds, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanoseconds:09}"),
        (-1, _) => format!("-0.{:09}", 1_000_000_000 - nanoseconds),
        _ => format!("{}.{:09}", seconds + 1, 1_000_000_000 - nanoseconds),
    }
}

/// Reads such a time: seconds and the nanoseconds after them.
pub(super) fn read_time(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    Some(match (whole.starts_with('-'), nanoseconds) {
        (true, 1..) => (seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds),
        _ => (seconds, nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions() {
        for (time_, text) in [
            ((1, 0), "1"),
            ((1_700_000_000, 5), "1700000000.000000005"),
            ((-1, 500_000_000), "-0.500000000"),
            ((-3, 250_000_000), "-2.750000000"),
        ] {
            assert_eq!(time(time_.0, time_.1), text);
            assert_eq!(read_time(text), Some(time_));
        }
        assert_eq!(read_time("12.5"), Some((12, 500_000_000)));
        assert_eq!(read_time("x"), None);
    }
}
