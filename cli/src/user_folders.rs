//! Where this user's programs keep things (XDG Base Directory Specification). A relative path in a variable counts as
//! none, as it says there.

use std::path::PathBuf;

/// Slipway's folder for what may be lost; `None`: there is no home.
pub fn cache() -> Option<PathBuf> {
    of("XDG_CACHE_HOME", ".cache")
}

/// Slipway's folder for what should outlive a program; `None`: there is no home.
pub fn state() -> Option<PathBuf> {
    of("XDG_STATE_HOME", ".local/state")
}

fn of(variable: &str, in_home: &str) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(in_home)));
    folder.map(|folder| folder.join("slipway"))
}
