//! What an agent left that was killed and will not come back, such as that of a private fleet.
//!
//! Invariant: nothing of an agent that lives is touched; its data directory is held by a lock that ends with its
//! process.

use std::path::Path;

use crate::agent::StartError;
use crate::docker::Engine;
use crate::docker::network::{AddressRange, NetworkPool};
use crate::identity::Identity;

/// Removes the containers and networks of the agent with this data directory; gives the number of containers. The
/// directory itself stays.
///
/// # Errors
/// The agent lives, its directory cannot be used, or the engine does not answer.
pub async fn remove(docker_host: &str, data_dir: &Path) -> Result<usize, StartError> {
    let identity = Identity::take(data_dir)?;
    let engine = Engine::connect(docker_host, &identity.id.to_string()).await?;
    let containers = engine.own_containers().await?;
    for container in &containers {
        engine.remove_container(&container.id).await?;
    }
    // A pool that keeps none removes each network it takes over.
    NetworkPool::new(engine, AddressRange::DEFAULT, 0).adopt(&[]).await?;
    Ok(containers.len())
}
