//! A job's work folder for two users: the job's own, and the root of its private engine where that is another (docs/ISOLATION.md).
//!
//! By an access control list that all that is made in the folder inherits (acl(5)): neither user, nor any of their programs, has to know.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;

/// Version of the list in the attribute (`linux/posix_acl_xattr.h`).
const VERSION: u32 = 2;

/// Read, write and enter; read and enter.
const ALL: u16 = 7;
const READ: u16 = 5;

/// No entry of a list names this one.
const NO_ID: u32 = u32::MAX;

/// The list: owner, this user, the group, the most that others than the owner get, all others.
fn list(user: u32) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(0x01, ALL, NO_ID), (0x02, ALL, user), (0x04, READ, NO_ID), (0x10, ALL, NO_ID), (0x20, READ, NO_ID)];
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&rights.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// Makes a work folder, in which nothing may be yet, and lets this user at all that will be in it. Where the file system has no such lists,
/// the folder is as any other.
///
/// # Errors
/// When it can't be made.
pub(super) fn make(work: &Path, user: u32) -> std::io::Result<()> {
    match std::fs::create_dir(work) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for name in ["system.posix_acl_access", "system.posix_acl_default"] {
        match setxattr(work, name, &list(user), XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_made_in_it_is_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        make(&work, 1_900_000_000).unwrap();
        make(&work, 1_900_000_000).unwrap();
        std::fs::create_dir(work.join("inner")).unwrap();
        let mut value = [0_u8; 256];
        let Ok(length) = rustix::fs::getxattr(work.join("inner"), "system.posix_acl_default", &mut value)
        else {
            // A file system without lists.
            return;
        };
        assert_eq!(value[..length], list(1_900_000_000));
        let mode = std::fs::metadata(work.join("inner")).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0o005, "nobody else may write");
    }
}
