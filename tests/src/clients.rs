//! GitHub's own clients of caches and artifacts, for actions of tests.

use std::path::Path;
use std::process::Command;

/// Puts the packages that `scripts/prepare-clients.sh` fetched into a folder, where Node finds them for every script
/// below it.
///
/// # Panics
/// When there are none.
pub fn copy_client_packages(folder: &Path) {
    let clients =
        std::env::var("SLIPWAY_ACTIONS_CLIENTS").expect("scripts/prepare-clients.sh says where they are");
    let modules = [Path::new(&clients).join("node_modules"), folder.join("node_modules")];
    assert!(Command::new("cp").arg("-r").args(modules).status().unwrap().success());
}
