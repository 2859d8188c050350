//! The job's way to its caches and artifacts, without a route to the coordinator.
//!
//! Init relays a port of the container's loopback to the socket `run/relay.sock` (docs/INIT.md). This serves that socket. What is
//! for the cache of build tools is answered here, where the agent has a disk for it ([`own`], [`crate::tier`]); every other connection
//! is carried to the coordinator as one `Agents.Tunnel` call ([`through`]): HTTP/2 gives each its own flow control, so
//! nothing is buffered here beyond one piece in each direction. Each job's calls run over a connection of their own: neither
//! logs and lease renewals nor another job ever wait behind its cache.
//!
//! Invariant: of a connection no more is read before the coordinator took it than says whose it is, and that is kept, so that one
//! that comes while the coordinator is away can wait for it and loses nothing. What stood when a connection broke is the client's to
//! repeat.
//!
//! Deliberately absent: any knowledge of who may connect. The socket is open to the whole job; what may be done is decided by the
//! token that each request carries.

mod head;
mod own;
mod passed_on;
mod saved;
mod through;
pub mod variables;

use std::path::Path;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::coordinator::Client;
use crate::init::{InitError, bind_socket};
use crate::lease::Lease;
use crate::limits::{RECONNECT_FIRST, TUNNELS_PER_JOB_MAX};
use crate::tier::JobTier;
use head::Whose;
use through::Way;

/// A job's socket that is served until this is dropped; its connections end with it.
#[derive(Debug)]
pub struct Tunnel {
    task: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnel {
    /// Serves the socket in a job's run folder. Replaces one that an earlier agent left. `tier`: what is answered here.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn serve(
        run_dir: &Path,
        client: Client,
        lease: Lease,
        tier: Option<JobTier>,
    ) -> Result<Self, InitError> {
        let listener = bind_socket(run_dir, slipway_init::limits::RELAY_SOCKET_NAME)?;
        let way = Way { client, lease };
        Ok(Self { task: tokio::spawn(accept(listener, way, tier)) })
    }
}

async fn accept(listener: UnixListener, way: Way, tier: Option<JobTier>) {
    let places = Arc::new(Semaphore::new(TUNNELS_PER_JOB_MAX));
    // Dropped with this task, and all connections with it.
    let mut carried = JoinSet::new();
    loop {
        // Further ones wait in the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (way, tier) = (way.clone(), tier.clone());
                carried.spawn(async move {
                    let _place = place;
                    connection(stream, way, tier).await;
                });
            }
            Err(error) => {
                let attempt = &way.lease.attempt;
                tracing::warn!(%attempt, %error, "cannot accept on a job's relay socket");
                tokio::time::sleep(RECONNECT_FIRST).await;
            }
        }
        while carried.try_join_next().is_some() {}
    }
}

/// Answers or carries one connection to its end.
async fn connection(mut stream: UnixStream, way: Way, tier: Option<JobTier>) {
    let Some(tier) = tier else {
        let (read, write) = stream.into_split();
        return through::carry(bytes::BytesMut::new(), read, write, way).await;
    };
    let Ok((whose, start)) = head::read(&mut stream).await else { return };
    match whose {
        Whose::Agents => own::serve(start, stream, way, tier).await,
        Whose::Coordinators => {
            let (read, write) = stream.into_split();
            through::carry(start, read, write, way).await;
        }
    }
}
