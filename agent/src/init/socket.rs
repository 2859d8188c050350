//! The control socket that the agent serves in a job's run folder.
//!
//! Invariant: whoever connects is the container's first process, or is turned away; the socket is open to all users
//! because the container's user is arbitrary, so a connection alone proves nothing.

use super::program::prepare_folder;
use super::{Connection, InitError, Spool, link};
use rustix::fs::{Mode, OFlags, open};
use slipway_init::limits::SOCKET_NAME;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixListener;

/// Time for a new connection to say hello. Init does so at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after the system refused to accept a connection (no descriptors), so that the agent doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A job's control socket. Dropping it leaves the file: it goes with the run folder, or the next agent replaces it.
#[derive(Debug)]
pub struct JobSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Listens on a socket of this name in a job's run folder, which is made if need be; every user may connect. One that an
/// earlier agent left is replaced.
///
/// # Errors
/// When the folder can't be written.
pub fn bind_socket(run_dir: &Path, name: &str) -> Result<UnixListener, InitError> {
    prepare_folder(run_dir)?;
    let path = run_dir.join(name);
    let prepare = |source: std::io::Error| InitError::Prepare { path: path.clone(), source };
    let draft_name = format!("{name}.draft");
    let draft = run_dir.join(&draft_name);
    let _ = fs::remove_file(&draft);
    // Through a descriptor, because a socket's address has only 107 bytes and folders may have longer names.
    let folder = open(run_dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let folder = folder.map_err(|errno| prepare(errno.into()))?;
    let address = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(&draft_name);
    let listener = UnixListener::bind(address).map_err(prepare)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o666)).map_err(prepare)?;
    // At no time is there a socket under the real name that nobody listens on.
    fs::rename(&draft, &path).map_err(prepare)?;
    Ok(listener)
}

impl JobSocket {
    /// Serves the socket in a job's run folder, which is made if need be. Replaces one that an earlier agent left: init
    /// then connects here.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn bind(run_dir: &Path) -> Result<Self, InitError> {
        let listener = bind_socket(run_dir, SOCKET_NAME)?;
        Ok(Self { listener, path: run_dir.join(SOCKET_NAME) })
    }

    /// Where the socket is on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the container's init has connected and greets it. `container_pid` is the pid of the container's first
    /// process as this agent's pid namespace sees it (`State.Pid` of `docker inspect`). `stop_boottime_ms`: see
    /// [`super::InitLink::stop_time`]; `None` leaves what init has.
    ///
    /// Others who connect are turned away. Waits for ever; race it against the container's end. May be cancelled.
    ///
    /// # Errors
    /// When the init that connected can't be talked to: wrong version, restarted container, invalid greeting.
    pub async fn accept(
        &self,
        container_pid: u32,
        spool: &Spool,
        stop_boottime_ms: Option<u64>,
    ) -> Result<Connection, InitError> {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "cannot accept on a job's control socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = stream.peer_cred().map_err(InitError::Socket)?.pid();
            if peer.and_then(|pid| u32::try_from(pid).ok()) != Some(container_pid) {
                tracing::warn!(?peer, path = %self.path.display(), "turned away who is not the container's init");
                continue;
            }
            let greeting = link::greet(stream, spool, stop_boottime_ms);
            match tokio::time::timeout(HELLO_TIMEOUT, greeting).await {
                Ok(Err(InitError::Closed)) => {}
                Ok(result) => return result,
                Err(_) => {
                    tracing::warn!(path = %self.path.display(), "the container's init did not say hello")
                }
            }
        }
    }
}
