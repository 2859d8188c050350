//! GitHub's own clients of caches and artifacts, for actions of tests.

use std::path::Path;
use std::process::Command;

/// Puts the clients that `scripts/prepare-clients.sh` fetched, each in one file as GitHub's own actions carry them, into a
/// folder, where Node finds them for every script below it.
///
/// # Panics
/// When there are none.
pub fn copy_client_packages(folder: &Path) {
    let bundles =
        std::env::var("SLIPWAY_ACTIONS_BUNDLES").expect("scripts/prepare-clients.sh says where they are");
    let modules = [Path::new(&bundles).join("node_modules"), folder.join("node_modules")];
    assert!(Command::new("cp").arg("-r").args(modules).status().unwrap().success());
}
