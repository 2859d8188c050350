//! Removes what jobs leave on the agent's disk; see [`slipway_init::removal`].

pub(crate) use slipway_init::removal::remove;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::fd::{AsFd as _, OwnedFd};
    use std::path::Path;

    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::remove;
    use crate::init::limits::REMOVAL_LEVELS;

    fn folder<P: rustix::path::Arg>(at: std::os::fd::BorrowedFd<'_>, name: P) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(at, name, flags, Mode::empty()).unwrap()
    }

    /// A chain of so many folders with a file at its end, made as a shell would: name by name.
    fn deep(top: &Path, levels: usize) {
        let mut at = folder(CWD, top);
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = folder(at.as_fd(), "d");
        }
        openat(&at, "file", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
            .unwrap();
    }

    #[test]
    fn any_depth_goes_with_few_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("job");
        std::fs::create_dir_all(top.join("wide/a")).unwrap();
        std::fs::write(top.join("wide/file"), "x").unwrap();
        // In the way of what is moved.
        std::fs::create_dir_all(top.join(".removed-1/full")).unwrap();
        std::fs::write(top.join(".removed-2"), "x").unwrap();
        // Deeper than the stack of a thread or its descriptors would bear.
        deep(&top, 20_000);
        deep(&top.join("wide"), 2 * REMOVAL_LEVELS);
        remove(&top).unwrap();
        assert!(!top.exists());
        remove(&top).unwrap();
    }

    #[test]
    fn links_are_removed_and_what_they_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        let top = folder.path().join("job");
        std::fs::create_dir(&top).unwrap();
        std::os::unix::fs::symlink(outside.path(), top.join("link")).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && outside.path().join("kept").exists());
        std::os::unix::fs::symlink(outside.path(), &top).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && outside.path().join("kept").exists());
    }
}
