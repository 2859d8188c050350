//! Node for JavaScript actions: the programs that an agent brings into each job's container, as GitHub's runner brings
//! its `externals`.
//!
//! ```text
//! <externals>/<x64|arm64>/
//!   node20/bin/node         for images with glibc
//!   node20_alpine/bin/node  for images with musl
//!   node24/…, node24_alpine/…
//! ```
//!
//! Where a version is missing for a C library, a newer one stands in, and the log says so.
//!
//! Deliberately absent: fetching them (`scripts/fetch-externals.sh` does), and Node of the image: an action gets the
//! version that it names, whatever the image has.

use std::path::{Path, PathBuf};

use crate::options::Architecture;

/// Where they are in a container, as on GitHub.
pub const MOUNT_PATH: &str = "/__e";

/// The versions that there are.
const VERSIONS: [u32; 2] = [20, 24];

/// Where an agent looks for them unless told; the first folder that exists.
const PLACES: [&str; 2] = ["/usr/local/lib/slipway/externals", "/usr/lib/slipway/externals"];

/// The C library of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Libc {
    /// Debian, Ubuntu, Fedora and most others.
    #[default]
    Glibc,
    /// Alpine.
    Musl,
}

/// A Node for an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The program in the container.
    pub path: String,
    /// The version that the action names and the one that it gets, when they differ.
    instead: Option<(u32, u32)>,
}

impl Node {
    /// What the job's log says when an action does not get the version that it names: GitHub's words where that version
    /// is deprecated.
    #[must_use]
    pub fn warning(&self, action: &str) -> Option<String> {
        self.instead.map(|instead| match instead {
            (12 | 16, 20) => format!(
                "The following actions use a deprecated Node.js version and will be forced to run on node20: \
                 {action}. For more info: https://github.blog/changelog/2024-03-07-github-actions-all-actions-will-\
                 run-on-node20-instead-of-node16-by-default/"
            ),
            (named, given) => {
                format!("{action} is made for node{named} and runs on node{given}, which alone this agent has for the image")
            }
        })
    }
}

/// The folder of an agent's architecture, if there is one.
#[derive(Debug, Clone)]
pub struct Externals {
    folder: Option<PathBuf>,
    architecture: Architecture,
}

impl Externals {
    /// Externals below this folder, for containers of this architecture.
    #[must_use]
    pub fn new(folder: Option<PathBuf>, architecture: Architecture) -> Self {
        Self { folder, architecture }
    }

    /// Where they are on this machine.
    fn host(&self) -> Option<PathBuf> {
        let name = match self.architecture {
            Architecture::X64 => "x64",
            Architecture::Arm64 => "arm64",
        };
        self.folder.as_ref().map(|folder| folder.join(name)).filter(|folder| folder.is_dir())
    }

    /// What to mount into a container; none when this machine has nothing for it.
    #[must_use]
    pub fn bind(&self) -> Option<String> {
        self.host().map(|host| format!("{}:{MOUNT_PATH}:ro", host.display()))
    }

    /// The Node for `using: nodeVERSION` in an image with this C library.
    ///
    /// # Errors
    /// There is none; a sentence about what to do.
    pub fn node(&self, version: u32, libc: Libc) -> Result<Node, String> {
        let wanted = match version {
            12 | 16 => 20,
            version if VERSIONS.contains(&version) => version,
            version => {
                return Err(format!("`node{version}` is no runtime of actions; node20 and node24 are"));
            }
        };
        let suffix = match libc {
            Libc::Glibc => "",
            Libc::Musl => "_alpine",
        };
        let program = |version: u32| format!("node{version}{suffix}/bin/node");
        let label = self.architecture.label();
        let Some(host) = self.host() else {
            let place = match &self.folder {
                Some(folder) => format!("{} has none for {label}", folder.display()),
                None => "there is no folder of externals".to_owned(),
            };
            return Err(format!(
                "this agent has no Node for JavaScript actions ({place}): run scripts/fetch-externals.sh on its \
                 machine, or name a folder with --externals"
            ));
        };
        let there = |version: &u32| *version >= wanted && host.join(program(*version)).is_file();
        let Some(given) = VERSIONS.into_iter().find(there) else {
            let program = host.join(program(wanted));
            return Err(format!(
                "this agent has no {}: run scripts/fetch-externals.sh on its machine",
                program.display()
            ));
        };
        let instead = Some((version, given)).filter(|(named, given)| named != given);
        Ok(Node { path: format!("{MOUNT_PATH}/{}", program(given)), instead })
    }
}

/// The folder that is used when none is named.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    let of_user = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map(|folder| folder.join("slipway/externals"));
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.join("lib/slipway/externals")));
    let places = PLACES.iter().map(PathBuf::from).chain(of_user).chain(beside);
    places.into_iter().find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn externals(programs: &[&str]) -> (tempfile::TempDir, Externals) {
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            let path = folder.path().join("arm64").join(program).join("bin");
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("node"), "").unwrap();
        }
        let externals = Externals::new(Some(folder.path().to_owned()), Architecture::Arm64);
        (folder, externals)
    }

    #[test]
    fn an_action_gets_its_version_for_the_images_c_library() {
        let (folder, externals) = externals(&["node20", "node24_alpine"]);
        let path = |version, libc| externals.node(version, libc).map(|node| node.path);
        assert_eq!(path(20, Libc::Glibc).unwrap(), "/__e/node20/bin/node");
        assert_eq!(path(24, Libc::Musl).unwrap(), "/__e/node24_alpine/bin/node");
        let newer = externals.node(20, Libc::Musl).unwrap();
        assert_eq!(newer.path, "/__e/node24_alpine/bin/node");
        assert!(newer.warning("o/r@v1").unwrap().contains("node24"));
        assert!(path(24, Libc::Glibc).unwrap_err().contains("node24/bin/node"));
        assert!(path(18, Libc::Glibc).unwrap_err().contains("`node18`"));
        let bind = format!("{}/arm64:/__e:ro", folder.path().display());
        assert_eq!(externals.bind().unwrap(), bind);
    }

    #[test]
    fn old_versions_run_on_20_with_a_warning() {
        let (_folder, externals) = externals(&["node20"]);
        for version in [12, 16] {
            let node = externals.node(version, Libc::Glibc).unwrap();
            assert_eq!(node.path, "/__e/node20/bin/node");
            assert!(node.warning("o/r@v1").unwrap().contains("o/r@v1"));
        }
        assert_eq!(externals.node(20, Libc::Glibc).unwrap().warning("o/r@v1"), None);
    }

    #[test]
    fn without_externals_the_message_says_what_to_do() {
        let (folder, _) = externals(&["node20"]);
        for none in [
            Externals::new(None, Architecture::X64),
            Externals::new(Some(folder.path().to_owned()), Architecture::X64),
        ] {
            assert_eq!(none.bind(), None);
            let message = none.node(20, Libc::Glibc).unwrap_err();
            assert!(message.contains("--externals") && message.contains("fetch-externals.sh"), "{message}");
        }
    }
}
