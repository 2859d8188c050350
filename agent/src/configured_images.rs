//! The images that an agent is configured with: which of them are not on its machine, and a note of their names for
//! whoever looks after it (`slipway doctor`).
//!
//! Deliberately absent: pulling. That is done when a job needs one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::docker::Engine;
use crate::docker::image::may_be_pulled;
use crate::failure::Failure;

/// The note's name in the data directory: a JSON array of names.
pub const FILE: &str = "configured-images.json";

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// On this machine.
    Here,
    /// Not here; it is pulled when a job first needs it.
    Pulled,
    /// Not here, and never pulled: somebody has to make it. The failure of the jobs that need it says how.
    Missing(Failure),
}

/// Where the image of this name is.
///
/// # Errors
/// When the engine can't be asked.
pub async fn presence(engine: &Engine, name: &str) -> Result<Presence, Failure> {
    if engine.image(name).await?.is_some() {
        return Ok(Presence::Here);
    }
    Ok(may_be_pulled(name).map_or_else(Presence::Missing, |()| Presence::Pulled))
}

/// Says of each image that is not here what becomes of the jobs that need it.
pub(crate) async fn tell(engine: Engine, names: BTreeSet<String>) {
    for name in names {
        match presence(&engine, &name).await {
            Ok(Presence::Here) => {}
            Ok(Presence::Pulled) => {
                tracing::info!(
                    image = name,
                    "an image is not on this machine; it is pulled when a job first needs it"
                );
            }
            Ok(Presence::Missing(failure)) => {
                tracing::warn!(image = name, %failure, "an image is missing; jobs that need it cannot start");
            }
            Err(failure) => {
                tracing::warn!(image = name, %failure, "whether an image is on this machine is not known");
            }
        }
    }
}

/// Notes the names in a data directory.
pub(crate) fn note(data_dir: &Path, names: &BTreeSet<String>) {
    let file = data_dir.join(FILE);
    let draft = file.with_extension("new");
    let text = serde_json::to_vec(names).unwrap_or_default();
    if let Err(error) = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &file)) {
        tracing::warn!(file = %file.display(), %error, "the names of the configured images are not noted for `slipway doctor`");
    }
}

/// The images that the agent with this data directory was configured with when it started last; none where no agent has it.
///
/// # Errors
/// When its note can't be read.
pub fn configured_for(data_dir: &Path) -> std::io::Result<Option<BTreeSet<String>>> {
    match std::fs::read(data_dir.join(FILE)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(configured_for(folder.path()).unwrap(), None);
        for names in [&["a:1", "b:2"][..], &["c:3"]] {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            note(folder.path(), &names);
            assert_eq!(configured_for(folder.path()).unwrap(), Some(names));
        }
        std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert!(configured_for(folder.path()).is_err());
    }
}
