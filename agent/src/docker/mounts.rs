//! What the kernel says is mounted (`/proc/PID/mountinfo`, proc(5)); anybody may read it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// What of which file system: the same in every mount of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountKey {
    /// `major:minor`
    device: String,
    /// Path in the file system.
    root: PathBuf,
}

#[derive(Debug)]
struct Line {
    key: MountKey,
    at: PathBuf,
}

/// The mounts that a process has.
#[derive(Debug)]
pub(super) struct Mounts(Vec<Line>);

impl Mounts {
    /// Those of a process: its number, or `self`.
    pub(super) fn of(process: &str) -> std::io::Result<Self> {
        let text = std::fs::read(format!("/proc/{process}/mountinfo"))?;
        Ok(Self(text.split(|byte| *byte == b'\n').filter_map(line).collect()))
    }

    /// What a path is, that has no links.
    pub(super) fn key(&self, path: &Path) -> Option<MountKey> {
        // Of several at one place the last is on top.
        let covering = self.0.iter().filter(|line| path.starts_with(&line.at));
        let line = covering.max_by_key(|line| line.at.components().count())?;
        let root = line.key.root.join(path.strip_prefix(&line.at).ok()?);
        Some(MountKey { device: line.key.device.clone(), root: root.components().collect() })
    }

    /// How often it is mounted.
    pub(super) fn times(&self, key: &MountKey) -> usize {
        self.0.iter().filter(|line| line.key == *key).count()
    }
}

/// `36 35 98:0 /root /at options…`
fn line(text: &[u8]) -> Option<Line> {
    let mut fields = text.split(|byte| *byte == b' ').skip(2);
    let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let key = MountKey { device, root: path(fields.next()?) };
    Some(Line { key, at: path(fields.next()?) })
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn path(text: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, more @ ..] = rest {
        let digits = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    debug_assert!(!path.as_os_str().as_bytes().is_empty());
    path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_is_known_by_its_file_system_and_its_path_there() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 /sub /data rw - ext4 /dev/b rw\n3 1 8:3 / /a\\040b rw - x y z\n";
        let own = Mounts(text.split(|byte| *byte == b'\n').filter_map(line).collect());
        let key = |path: &str| own.key(Path::new(path)).unwrap();
        assert_eq!(key("/x/y"), MountKey { device: "8:1".to_owned(), root: "/x/y".into() });
        assert_eq!(key("/data/jobs"), MountKey { device: "8:2".to_owned(), root: "/sub/jobs".into() });
        assert_eq!(key("/a b"), MountKey { device: "8:3".to_owned(), root: "/".into() });
        assert_eq!(own.times(&MountKey { device: "8:2".to_owned(), root: "/sub".into() }), 1);
    }

    #[test]
    fn ones_own_mounts_can_be_read() {
        assert!(Mounts::of("self").unwrap().key(Path::new("/proc/self")).is_some());
    }
}
