//! Images: present ones are used as they are, missing ones pulled with a few tries.

use std::sync::Arc;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use slipway_kit::backoff::Backoff;

use super::{Engine, is_missing};
use crate::disk::images::Hold;
use crate::failure::{Cause, Failure};
use crate::limits::{PULL_TRIES, PULL_WAIT_FIRST, PULL_WAIT_MAX};

/// Where `scripts/runner-image.sh` puts the images that it makes on a machine.
const RUNNER_REPOSITORY: &str = "slipway/runner";

/// What the agent has to know of an image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its id (`sha256:…`): containers are created from it, so that a tag moved meanwhile changes nothing.
    pub id: String,
    /// `USER`, empty for root.
    pub user: String,
    /// `ENV`, as `NAME=value`.
    pub env: Vec<String>,
    /// `ENTRYPOINT`
    pub entrypoint: Vec<String>,
    /// `CMD`
    pub command: Vec<String>,
    /// `ONBUILD`: what is done when an image is built from it.
    pub on_build: Vec<String>,
    /// `amd64`, `arm64`; empty when the image does not say.
    pub architecture: String,
    /// Keeps it from being collected for as long as a copy of this lives, where it was chosen for a job.
    pub held: Option<Arc<Hold>>,
}

/// User name and password for a registry.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password; never logged.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Engine {
    /// The image of this name; pulled when it is not here. `platform` is `linux/amd64` or `linux/arm64`, for an
    /// emulated architecture only; `told` gets one line about what takes long.
    ///
    /// # Errors
    /// `image_not_found` when the registry does not know it, `image_pull` when it could not be asked.
    pub async fn ensure_image(
        &self,
        name: &str,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        mut told: impl FnMut(String) + Send,
    ) -> Result<Image, Failure> {
        if let Some(image) = self.image(name).await? {
            return Ok(image);
        }
        may_be_pulled(name)?;
        let mut backoff = Backoff::new(PULL_WAIT_FIRST, PULL_WAIT_MAX);
        loop {
            told(format!("Pulling image {name}"));
            let Err(failure) = self.pull(name, platform, credentials, None).await else { break };
            if failure.cause == Cause::ImageNotFound || backoff.failures() + 1 >= PULL_TRIES {
                return Err(failure);
            }
            told(format!("{failure}; trying again"));
            tokio::time::sleep(backoff.next_wait()).await;
        }
        self.image(name).await?.ok_or_else(|| {
            Failure::new(
                Cause::ImagePull,
                format!("image {name} was pulled, but the engine does not show it"),
            )
        })
    }

    /// The image of this name, if it is here.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        match self.docker.inspect_image(name).await {
            Ok(found) => {
                let config = found.config.unwrap_or_default();
                Ok(Some(Image {
                    id: found.id.unwrap_or_else(|| name.to_owned()),
                    user: config.user.unwrap_or_default(),
                    env: config.env.unwrap_or_default(),
                    entrypoint: config.entrypoint.unwrap_or_default(),
                    command: config.cmd.unwrap_or_default(),
                    on_build: config.on_build.unwrap_or_default(),
                    architecture: found.architecture.unwrap_or_default(),
                    held: None,
                }))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => {
                Err(self.failure(Cause::ImagePull, &format!("cannot look up image {name}"), &error))
            }
        }
    }

    /// Pulls an image for this machine in one try, for someone who waits: the registry must answer within
    /// `answer_limit`; the layers may take as long as they need.
    ///
    /// # Errors
    /// As [`Engine::ensure_image`].
    pub async fn pull_once(&self, name: &str, answer_limit: Duration) -> Result<(), Failure> {
        self.pull(name, None, None, Some(answer_limit)).await
    }

    async fn pull(
        &self,
        name: &str,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        answer_limit: Option<Duration>,
    ) -> Result<(), Failure> {
        may_be_pulled(name)?;
        let mut options = CreateImageOptionsBuilder::default().from_image(name);
        // Without a tag or digest the engine would pull every tag.
        if !has_tag(name) {
            options = options.tag("latest");
        }
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let credentials = credentials.map(|given| DockerCredentials {
            username: Some(given.username.clone()),
            password: Some(given.password.clone()),
            ..DockerCredentials::default()
        });
        let mut progress = std::pin::pin!(self.docker.create_image(Some(options.build()), None, credentials));
        let mut next = match answer_limit {
            // The engine's first word comes when the registry has answered.
            Some(limit) => tokio::time::timeout(limit, progress.next()).await.map_err(|_| {
                let limit = limit.as_secs();
                Failure::new(
                    Cause::ImagePull,
                    format!(
                        "image {name} is not on this machine, and its registry did not answer within {limit} s"
                    ),
                )
            })?,
            None => progress.next().await,
        };
        while let Some(step) = next {
            if let Err(error) = step {
                return Err(self.classify_pull(name, &error));
            }
            next = progress.next().await;
        }
        Ok(())
    }

    fn classify_pull(&self, name: &str, error: &bollard::errors::Error) -> Failure {
        let text = error.to_string();
        // The engine answers 404 both for "no such tag" and, after asking a registry without a login, for "denied or
        // does not exist"; in its stream it only has words for it.
        let missing = is_missing(error)
            || [
                "manifest unknown",
                "not found",
                "does not exist",
                "no such image",
                "invalid reference format",
            ]
            .iter()
            .any(|words| text.contains(words));
        if missing && !matches!(error, bollard::errors::Error::IOError { .. }) {
            return Failure::new(
                Cause::ImageNotFound,
                format!(
                    "image {name} is neither on this machine nor in its registry: check its name ({text})"
                ),
            );
        }
        self.failure(
            Cause::ImagePull,
            &format!("image {name} is not on this machine and could not be pulled"),
            error,
        )
    }
}

/// Refuses names that stand for what is made on the machine.
pub(crate) fn may_be_pulled(name: &str) -> Result<(), Failure> {
    // Whoever can push there could give one job's action the content of another's.
    if is_of_actions(name) {
        let message = format!("image {name} has a name of actions that are built here; it is never pulled");
        return Err(Failure::new(Cause::ImageNotFound, message));
    }
    // Nobody publishes it: whoever took that name at a registry would be let into each machine that lacks the image.
    if is_in(name, RUNNER_REPOSITORY) {
        let message = format!(
            "image {name} is not on this machine and is never pulled: make it there with scripts/runner-image.sh, or \
             give the agent another with --default-image IMAGE or --image LABEL=IMAGE"
        );
        return Err(Failure::new(Cause::ImageNotFound, message));
    }
    Ok(())
}

/// Whether it is in [`super::build::REPOSITORY`], as the engine reads names.
fn is_of_actions(name: &str) -> bool {
    is_in(name, super::build::REPOSITORY)
}

/// Whether an image is in this repository, which stands for one at Docker Hub, as the engine reads names.
fn is_in(name: &str, repository: &str) -> bool {
    let bare = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"];
    let name = bare.iter().find_map(|host| name.strip_prefix(host)).unwrap_or(name);
    name.strip_prefix(repository).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
}

/// Whether the reference names a tag or digest.
fn has_tag(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.contains(':') || last.contains('@')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{RUNNER_REPOSITORY, has_tag, is_in, is_of_actions, may_be_pulled};
    use crate::options::RUNNER_IMAGE;

    #[test]
    fn runner_images_are_known_however_they_are_named() {
        for name in
            [RUNNER_IMAGE, "slipway/runner", "docker.io/slipway/runner:arm64", "slipway/runner@sha256:00"]
        {
            assert!(is_in(name, RUNNER_REPOSITORY), "{name}");
        }
        for name in ["registry.example/slipway/runner:latest", "slipway/runners:1", "team/slipway/runner"] {
            assert!(!is_in(name, RUNNER_REPOSITORY), "{name}");
        }
        let text = may_be_pulled(RUNNER_IMAGE).unwrap_err().to_string();
        assert!(text.contains("scripts/runner-image.sh") && text.contains("--default-image"), "{text}");
    }

    #[test]
    fn images_of_actions_are_known_however_they_are_named() {
        for name in ["slipway/action", "slipway/action:x", "docker.io/slipway/action@sha256:00"] {
            assert!(is_of_actions(name), "{name}");
        }
        assert!(!is_of_actions("slipway/actions:x") && !is_of_actions("registry.example/slipway/action:x"));
    }

    #[test]
    fn a_port_is_not_a_tag() {
        assert!(!has_tag("registry.example:5000/team/image"));
        assert!(has_tag("registry.example:5000/team/image:1"));
        assert!(has_tag("alpine@sha256:00"));
        assert!(!has_tag("alpine"));
    }
}
