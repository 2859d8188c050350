//! Images of Docker actions, built from their Dockerfile.

use std::collections::HashMap;
use std::fs::File;

use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::StreamExt as _;
use tokio_util::io::ReaderStream;

use super::container::Limits;
use super::image::Image;
use super::{Engine, LABEL_AGENT};
use crate::failure::{Cause, Failure};

/// Where the images of actions are; their tags are made of what they were built from.
pub const REPOSITORY: &str = "slipway/action";

/// Why there is no image.
#[derive(Debug)]
pub enum BuildError {
    /// The Dockerfile's fault: the builder's words.
    Work(String),
    /// The engine's.
    Fleet(Failure),
}

impl From<Failure> for BuildError {
    fn from(failure: Failure) -> Self {
        Self::Fleet(failure)
    }
}

/// Where the commands of a Dockerfile run: they are a job's as much as its steps.
#[derive(Debug, Clone)]
pub struct BuildPlace {
    /// The job's network.
    pub network: String,
    /// What they may use. The engine bounds no processes while it builds.
    pub limits: Limits,
    /// For an emulated architecture.
    pub platform: Option<&'static str>,
}

/// The kernel's period for shares of processors, in microseconds.
const CPU_PERIOD_US: i32 = 100_000;

impl Engine {
    /// Builds the image of this name from an archive, unless it is here already; `told` gets the builder's lines.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        &self,
        name: &str,
        dockerfile: &str,
        archive: File,
        place: &BuildPlace,
        mut told: impl FnMut(String) + Send,
    ) -> Result<Image, BuildError> {
        if let Some(image) = self.image(name).await? {
            told(format!("Image {name} is here already"));
            return Ok(image);
        }
        let labels = HashMap::from([(LABEL_AGENT.to_owned(), self.agent.clone())]);
        let mut options = BuildImageOptionsBuilder::default()
            .dockerfile(dockerfile)
            .t(name)
            .rm(true)
            .forcerm(true)
            .networkmode(&place.network)
            .labels(&labels);
        if let Some(memory) = place.limits.memory_bytes {
            // The client's type for it ends at 2 GiB.
            if let Ok(memory) = i32::try_from(memory) {
                options = options.memory(memory).memswap(memory);
            }
        }
        if let Some(millis) = place.limits.cpu_millis {
            let quota = i32::try_from(millis * i64::from(CPU_PERIOD_US) / 1_000).unwrap_or(i32::MAX);
            options = options.cpuperiod(CPU_PERIOD_US).cpuquota(quota);
        }
        if let Some(platform) = place.platform {
            options = options.platform(platform);
        }
        let body = bollard::body_try_stream(ReaderStream::new(tokio::fs::File::from_std(archive)));
        let mut building = std::pin::pin!(self.docker.build_image(options.build(), None, Some(body)));
        while let Some(step) = building.next().await {
            let step = step.map_err(|error| self.build_failure(&error))?;
            for line in
                step.stream.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty())
            {
                told(line.to_owned());
            }
            if let Some(error) = step.error_detail {
                let message = error.message.unwrap_or_default();
                return Err(BuildError::Work(format!("the action's image can't be built: {message}")));
            }
        }
        let missing = || {
            Failure::new(
                Cause::EngineUnavailable,
                format!("image {name} was built, but the engine does not show it"),
            )
        };
        Ok(self.image(name).await?.ok_or_else(missing)?)
    }

    /// The builder speaks of a wrong Dockerfile as of a bad request, or in its stream.
    fn build_failure(&self, error: &bollard::errors::Error) -> BuildError {
        match error {
            bollard::errors::Error::DockerStreamError { error } => {
                BuildError::Work(format!("the action's image can't be built: {error}"))
            }
            bollard::errors::Error::DockerResponseServerError { status_code: 400..=499, message } => {
                BuildError::Work(format!("the action's image can't be built: {message}"))
            }
            error => self.failure(Cause::EngineUnavailable, "cannot build the action's image", error).into(),
        }
    }
}
