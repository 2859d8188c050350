//! What the collector asks of the engine.

use std::collections::BTreeSet;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptions, RemoveImageOptionsBuilder};

use super::{Engine, is_missing};
use crate::failure::{Cause, Failure};

impl Engine {
    /// Id and bytes of the image of this name, if it is here.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn image_size(&self, name: &str) -> Result<Option<(String, u64)>, Failure> {
        match self.docker.inspect_image(name).await {
            Ok(found) => {
                let bytes = found.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
                Ok(Some((found.id.unwrap_or_default(), bytes)))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.failure(Cause::EngineUnavailable, "cannot look up an image", &error)),
        }
    }

    /// The id of some image that is here, for a container that needs nothing of it. None: there is none.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn any_image(&self) -> Result<Option<String>, Failure> {
        let found = self.docker.list_images(None::<ListImagesOptions>).await;
        let found =
            found.map_err(|error| self.failure(Cause::EngineUnavailable, "cannot list images", &error))?;
        Ok(found.into_iter().next().map(|image| image.id))
    }

    /// The ids of the images that containers have, whoever made them and whether they run.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn images_in_use(&self) -> Result<BTreeSet<String>, Failure> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let found = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| self.failure(Cause::EngineUnavailable, "cannot list containers", &error))?;
        Ok(found.into_iter().filter_map(|container| container.image_id).collect())
    }

    /// Removes an image's name, and with its last name the image. False: a container has it.
    ///
    /// # Errors
    /// When the engine can't be asked, or can't do it.
    pub async fn remove_image(&self, name: &str) -> Result<bool, Failure> {
        let options = RemoveImageOptionsBuilder::default().force(false).build();
        match self.docker.remove_image(name, Some(options), None).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(true),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(self.failure(Cause::EngineUnavailable, "cannot remove an image", &error)),
        }
    }
}
