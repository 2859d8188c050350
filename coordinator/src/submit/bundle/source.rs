//! Where called files come from: the request, the run's repository, or the source of actions.

use std::path::Path;

use slipway_kit::actions_source::Place;
use slipway_workflow::action::lock::pin_key;
use slipway_workflow::calls::FileName;
use slipway_workflow::job_spec::Source;

use crate::mirror::{MirrorError, is_commit};
use crate::services::Services;
use crate::submit::{MAX_WORKFLOW_BYTES, NewRun};

/// A file, and of another repository its `owner/repo@ref` with the commit.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) commit: Option<(String, String)>,
}

/// Why a file cannot be had.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

fn missing(message: impl Into<String>) -> Missing {
    Missing { message: message.into(), hint: None }
}

fn unread(error: &MirrorError) -> Missing {
    let hint = matches!(error, MirrorError::Missing(_))
        .then_some("check its owner, name and version, and --actions-source of the coordinator");
    Missing { message: format!("it cannot be read: {error}"), hint }
}

pub(super) async fn find(services: &Services, new: &NewRun, key: &FileName) -> Result<Found, Missing> {
    if let Some(text) = new.called.get(&key.to_string()) {
        let text = text.clone();
        if text.len() > MAX_WORKFLOW_BYTES {
            return Err(missing(format!("it is longer than {MAX_WORKFLOW_BYTES} bytes")));
        }
        // What was pinned for the run that this repeats stays so.
        let commit = match key {
            FileName::Remote { owner, name, git_ref, .. } => {
                let place = format!("{owner}/{name}@{git_ref}");
                new.called_commits.get(&place).map(|sha| (place.clone(), sha.clone()))
            }
            FileName::Local { .. } => None,
        };
        return Ok(Found { text, commit });
    }
    match key {
        FileName::Local { path } => match &new.source {
            Source::Git { clone_url, sha, .. } => {
                let text = at_commit(services, clone_url, sha, path).await?;
                Ok(Found { text, commit: None })
            }
            Source::None | Source::Tree { .. } => Err(Missing {
                message: "the checkout has no such file".to_owned(),
                hint: Some("a client gives the called files of a working tree in `called`"),
            }),
        },
        FileName::Remote { owner, name, path, git_ref } => {
            let url = match services.options.actions_source.place(owner, name).map_err(missing)? {
                Place::Git(url) => url,
                Place::Plain(folder) => return plain(&folder.join(path)).await,
            };
            let pin = new
                .action_pins
                .as_ref()
                .and_then(|pins| pins.get(&pin_key(&format!("{owner}/{name}"), git_ref)));
            let sha = match pin {
                Some(pin) => pin.clone(),
                None => commit(services, &url, git_ref).await?,
            };
            let text = at_commit(services, &url, &sha, path).await?;
            Ok(Found { text, commit: Some((format!("{owner}/{name}@{git_ref}"), sha)) })
        }
    }
}

/// A file of a folder that is no repository: it has one version.
async fn plain(place: &Path) -> Result<Found, Missing> {
    let told = |error: std::io::Error| missing(format!("{} cannot be read: {error}", place.display()));
    let size_bytes = tokio::fs::metadata(place).await.map_err(told)?.len();
    if size_bytes > MAX_WORKFLOW_BYTES as u64 {
        return Err(missing(format!("it is longer than {MAX_WORKFLOW_BYTES} bytes")));
    }
    Ok(Found { text: tokio::fs::read_to_string(place).await.map_err(told)?, commit: None })
}

/// The commit of a version: a commit itself, a tag, or a branch.
async fn commit(services: &Services, url: &str, git_ref: &str) -> Result<String, Missing> {
    if is_commit(git_ref) {
        return Ok(git_ref.to_ascii_lowercase());
    }
    let names = if git_ref.starts_with("refs/") {
        vec![git_ref.to_owned()]
    } else {
        vec![format!("refs/tags/{git_ref}"), format!("refs/heads/{git_ref}")]
    };
    let mut last = MirrorError::Missing(format!("there is no `{git_ref}`"));
    for name in names {
        match services.mirrors.tip(url, &name).await {
            Ok(sha) => return Ok(sha),
            Err(error @ MirrorError::Missing(_)) => last = error,
            Err(error) => return Err(unread(&error)),
        }
    }
    Err(unread(&last))
}

async fn at_commit(services: &Services, url: &str, sha: &str, path: &str) -> Result<String, Missing> {
    let found = services.mirrors.file(url, sha, path).await.map_err(|error| unread(&error))?;
    found.ok_or_else(|| missing(format!("there is no such file at {sha}")))?.text.map_err(missing)
}
