//! Configuration files: TOML, read into a program's own type.
//!
//! A program's settings come from flags, `SLIPWAY_*` variables and the file named by `--config`, in that order. Flags
//! and variables are clap's; this module reads the file. Its types deny unknown fields, so that a typing mistake is
//! told and not ignored.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// A configuration file larger than this is refused: it is not one.
pub const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// Why a configuration file could not be used. The text is for a person and names the file.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration file {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("the configuration file {path} has {size_bytes} bytes; at most {MAX_CONFIG_BYTES} are read", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },
    /// The text is not TOML, or a field is unknown or has the wrong type; the message has line and column.
    #[error("{path}: {message}", path = .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

/// Reads `path`; without one, the default settings.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned + Default>(path: Option<&Path>) -> Result<T, ConfigError> {
    let Some(path) = path else { return Ok(T::default()) };
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let size_bytes = std::fs::metadata(path).map_err(read_error)?.len();
    if size_bytes > MAX_CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), size_bytes });
    }
    let text = std::fs::read_to_string(path).map_err(read_error)?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        slots: u32,
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slipway.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn reads_a_file_and_defaults_without_one() {
        let (_folder, path) = written("slots = 4\n");
        assert_eq!(load::<Settings>(Some(&path)).unwrap(), Settings { slots: 4 });
        assert_eq!(load::<Settings>(None).unwrap(), Settings::default());
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        let (_folder, path) = written("slots = 1\nslot = 4\n");
        let message = load::<Settings>(Some(&path)).unwrap_err().to_string();
        assert!(message.contains("slipway.toml"), "{message}");
        assert!(message.contains("line 2") && message.contains("`slot`"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = load::<Settings>(Some(Path::new("/nonexistent/slipway.toml"))).unwrap_err().to_string();
        assert!(message.contains("/nonexistent/slipway.toml"), "{message}");
    }
}
