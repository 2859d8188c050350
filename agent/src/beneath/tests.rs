#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, RenameFlags, fstat, mknodat, renameat_with};
use tempfile::TempDir;

use super::*;
use crate::limits::BENEATH_LINKS_MAX;

/// Device and number.
type Found = Result<(u64, u64), Errno>;

/// What callers ask for, and the rest of it.
const FLAGS: [OFlags; 4] = [
    OFlags::PATH,
    OFlags::PATH.union(OFlags::DIRECTORY),
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY),
    OFlags::RDONLY.union(OFlags::DIRECTORY),
];

const HOW: [ResolveFlags; 3] = [NO_LINKS, LINKS_BELOW, NO_LINKS_ONE_FILE_SYSTEM];

#[derive(Debug, Clone)]
enum Node {
    Folder(BTreeMap<String, Node>),
    File,
    Pipe,
    Link(String),
}

impl Node {
    /// Only folders that were just made are walked through here: nothing is written through a link.
    fn make(&self, at: &Path) {
        match self {
            Self::Folder(entries) => {
                std::fs::create_dir(at).unwrap();
                entries.iter().for_each(|(name, node)| node.make(&at.join(name)));
            }
            Self::File => std::fs::write(at, "").unwrap(),
            Self::Pipe => mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap(),
            Self::Link(to) => symlink(to, at).unwrap(),
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    "[abc]"
}

/// Of few names, so that many lead somewhere; with `..`, slashes too many, at the beginning and at the end.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => name(),
        2 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        1 => Just("outside".to_owned()),
    ];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.join("/"))
}

fn entries(node: BoxedStrategy<Node>) -> impl Strategy<Value = BTreeMap<String, Node>> {
    prop::collection::btree_map(name(), node, 1..4)
}

fn tree() -> impl Strategy<Value = BTreeMap<String, Node>> {
    let link = path().prop_filter("a link says something", |path| !path.is_empty()).prop_map(Node::Link);
    let leaf = prop_oneof![2 => Just(Node::File), 1 => Just(Node::Pipe), 5 => link];
    let node = leaf.prop_recursive(
        3,
        24,
        3,
        move |inner| prop_oneof![1 => inner.clone(), 3 => entries(inner).prop_map(Node::Folder)],
    );
    entries(node.boxed())
}

fn root(at: &Path) -> OwnedFd {
    rustix::fs::open(at, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn identity(opened: Result<OwnedFd, Errno>) -> Found {
    opened.and_then(fstat).map(|status| (status.st_dev, status.st_ino))
}

/// How often the kernel is asked: it refuses `..` while anything on this machine is renamed, and tests beside this one
/// rename without a pause.
const KERNEL_TRIES_MAX: usize = 1_000_000;

fn by_kernel(root: &OwnedFd, path: &Path, flags: OFlags, how: ResolveFlags) -> Found {
    let found = (0..KERNEL_TRIES_MAX)
        .map(|_| identity(rustix::fs::openat2(root, path, flags, Mode::empty(), how)))
        .find(|found| *found != Err(Errno::AGAIN))
        .expect("the kernel resolves a path at last");
    assert_ne!(found, Err(Errno::NOSYS), "this test compares with the kernel's `openat2`: Linux 5.6");
    found
}

fn by_walk(root: &OwnedFd, path: &Path, flags: OFlags, how: ResolveFlags) -> Found {
    identity(again(|| walk::open(root.as_fd(), path, flags, how)))
}

/// Both ways, with all that callers ask for.
fn compare(root: &OwnedFd, path: &str) {
    for flags in FLAGS.into_iter().flat_map(|flags| [flags, flags | OFlags::NOFOLLOW]) {
        for how in HOW {
            let (flags, path) = (flags | OFlags::CLOEXEC, Path::new(path));
            let (kernel, walk) = (by_kernel(root, path, flags, how), by_walk(root, path, flags, how));
            assert_eq!(walk, kernel, "{} with {flags:?}, {how:?}", path.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_walk_finds_what_the_kernel_finds(tree in tree(), paths in prop::collection::vec(path(), 12)) {
        let folder = tempfile::tempdir().unwrap();
        Node::Folder(tree).make(&folder.path().join("root"));
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("a"), "outside as well").unwrap();
        let root = root(&folder.path().join("root"));
        for path in paths {
            compare(&root, &path);
            // What leads there from everywhere, inside or not.
            compare(&root, &folder.path().join(&path).to_string_lossy());
        }
    }
}

#[test]
fn the_walk_has_the_bounds_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    std::fs::write(folder.path().join("link-0"), "").unwrap();
    for number in 1..=BENEATH_LINKS_MAX + 1 {
        symlink(format!("link-{}", number - 1), folder.path().join(format!("link-{number}"))).unwrap();
    }
    symlink("itself", folder.path().join("itself")).unwrap();
    symlink("/", folder.path().join("all")).unwrap();
    let deep = vec!["d"; 1_500].join("/");
    for path in [
        "",
        "/",
        "itself",
        "itself/a",
        "all",
        "all/etc",
        &format!("link-{BENEATH_LINKS_MAX}"),
        &format!("link-{}", BENEATH_LINKS_MAX + 1),
        &format!("link-{BENEATH_LINKS_MAX}/"),
        &"n".repeat(255),
        &"n".repeat(256),
        &"./".repeat(2_047),
        &"./".repeat(2_048),
        &format!("/{}", "n/".repeat(2_048)),
        &deep,
    ] {
        compare(&root, path);
    }
    // Deeper than a process may have files open, in most places.
    let mut at = root;
    for _ in 0..1_500 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o700)).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap();
    }
    compare(&super::tests::root(folder.path()), &deep);
    compare(&super::tests::root(folder.path()), &format!("{deep}/{}d/", "../".repeat(300)));
    crate::removal::remove(&folder.path().join("d")).unwrap();
}

#[test]
fn the_walk_stays_in_a_file_system_where_it_has_to() {
    let root = root(Path::new("/"));
    for path in ["proc", "proc/self", "proc/self/..", "proc/.", "dev/../proc/1"] {
        compare(&root, path);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    assert_eq!(by_walk(&root, Path::new("proc"), flags, NO_LINKS_ONE_FILE_SYSTEM), Err(Errno::XDEV));
    assert!(by_walk(&root, Path::new("proc"), flags, NO_LINKS).is_ok());
}

#[test]
fn without_the_system_call_the_walk_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    // Of the whole process: for the tests beside this one it makes no difference.
    KERNEL_LACKS_OPENAT2.store(true, Ordering::Relaxed);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let inside = open_beneath(root(folder.path()), Path::new("file"), flags, NO_LINKS);
    let outside = open_beneath(root(folder.path()), Path::new("../file"), flags, NO_LINKS);
    KERNEL_LACKS_OPENAT2.store(false, Ordering::Relaxed);
    assert!(inside.is_ok());
    assert_eq!(outside.map(drop), Err(Errno::XDEV));
}

#[test]
fn renames_elsewhere_refuse_nothing() {
    // The kernel gives up almost each time, as the path takes longer than a rename does.
    let elsewhere = Swapped::start("root/file", "root/in/file", None);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (root, path) = (root(folder.path()), format!("{}file", "d/../".repeat(800)));
    let expected = by_walk(&root, Path::new("file"), OFlags::PATH, NO_LINKS);
    for _ in 0..100 {
        let found = open_beneath(&root, Path::new(&path), OFlags::RDONLY | OFlags::CLOEXEC, NO_LINKS);
        assert_eq!(identity(found), expected);
    }
    drop(elsewhere);
}

/// A folder of a job, one outside of it with the same names, and a thread that exchanges two paths until it is dropped.
struct Swapped {
    folder: TempDir,
    outside: Found,
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapped {
    /// `one` and `other` are below the temporary folder; with `link`, `other` is made as a link that says this.
    fn start(one: &str, other: &str, link: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["root/in/deep", "outside/in/deep"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["root/in/file", "root/file", "outside/file", "outside/in/file", "root/in/deep/file"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        // One file under every name outside.
        for name in ["outside/in/file", "outside/in/deep/file"] {
            let _ = std::fs::remove_file(folder.path().join(name));
            std::fs::hard_link(folder.path().join("outside/file"), folder.path().join(name)).unwrap();
        }
        let paths: [PathBuf; 2] = [one, other].map(|path| folder.path().join(path));
        if let Some(link) = link {
            symlink(link.replace("OUTSIDE", &folder.path().join("outside").to_string_lossy()), &paths[1])
                .unwrap();
        }
        let outside = by_walk(&root(folder.path()), Path::new("outside/file"), OFlags::PATH, NO_LINKS);
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                renameat_with(CWD, &paths[0], CWD, &paths[1], RenameFlags::EXCHANGE).unwrap();
            }
        });
        Self { folder, outside, stop, thread: Some(thread) }
    }

    /// Opens a path until it was found and was refused so often; it is never what is outside.
    fn open_again_and_again(&self, path: &str, times: usize) {
        let root = root(&self.folder.path().join("root"));
        for how in [NO_LINKS, LINKS_BELOW] {
            for flags in [OFlags::PATH, OFlags::RDONLY, OFlags::RDONLY | OFlags::NOFOLLOW] {
                let (mut found, mut refused) = (0, 0);
                while found < times || refused < times {
                    match identity(walk::open(root.as_fd(), Path::new(path), flags | OFlags::CLOEXEC, how)) {
                        Ok(file) => {
                            assert_ne!(Ok(file), self.outside, "{path} with {flags:?}, {how:?}");
                            found += 1;
                        }
                        Err(errno) => {
                            let refusals = [Errno::XDEV, Errno::LOOP, Errno::AGAIN, Errno::NOENT];
                            assert!(refusals.contains(&errno), "{path} with {flags:?}, {how:?}: {errno}");
                            refused += 1;
                        }
                    }
                }
            }
        }
    }
}

impl Drop for Swapped {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It has failed already if it panicked: then nothing was exchanged.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_folder_that_turns_into_a_link_and_back_leads_nowhere_else() {
    Swapped::start("root/in", "root/link", Some("OUTSIDE")).open_again_and_again("in/file", 500);
    Swapped::start("root/in", "root/link", Some("../outside")).open_again_and_again("in/file", 500);
    Swapped::start("root/file", "root/link", Some("OUTSIDE/file")).open_again_and_again("file", 500);
}

#[test]
fn a_folder_that_is_moved_out_leads_nowhere_by_its_parent() {
    Swapped::start("root/in/deep", "outside/in/deep", None).open_again_and_again("in/deep/../file", 100);
}
