//! The programs that this agent carries for the inside of containers, and how they get into a job's run folder.

use super::InitError;
use sha2::{Digest, Sha256};
use slipway_init::limits::{MOUNT_PATH, PROGRAM_NAME};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Read and execute for everyone: the container's user is arbitrary.
const PROGRAM_MODE: u32 = 0o555;

/// A static program, built with this agent for its own architecture. It serves containers of every architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// PID 1 of job containers.
    Init,
    /// The built-in actions.
    Actions,
}

/// Where the programs are installed.
#[derive(Debug, Clone)]
pub struct Programs {
    /// [`Carried::Init`]
    pub init: PathBuf,
    /// [`Carried::Actions`]
    pub actions: PathBuf,
}

impl Programs {
    /// Installs all of them; see [`install`].
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn install(data_dir: &Path) -> Result<Self, InitError> {
        Ok(Self { init: install(data_dir, Carried::Init)?, actions: install(data_dir, Carried::Actions)? })
    }

    /// Puts one of them into a job's run folder; see [`place`].
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn place(&self, program: Carried, run_dir: &Path) -> Result<(), InitError> {
        let installed = match program {
            Carried::Init => &self.init,
            Carried::Actions => &self.actions,
        };
        place(installed, program, run_dir)
    }
}

impl Carried {
    /// The program itself.
    #[must_use]
    pub fn binary(self) -> &'static [u8] {
        match self {
            Self::Init => include_bytes!(env!("SLIPWAY_INIT_PROGRAM")),
            Self::Actions => include_bytes!(env!("SLIPWAY_ACTIONS_PROGRAM")),
        }
    }

    /// Its file in a run folder, which containers have at [`MOUNT_PATH`].
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Init => PROGRAM_NAME,
            Self::Actions => "actions",
        }
    }

    /// Its path in a container.
    #[must_use]
    pub fn path_in_container(self) -> String {
        format!("{MOUNT_PATH}/{}", self.file_name())
    }
}

/// Writes a program into the agent's data folder under a name made of its SHA-256, so that containers of an older
/// agent keep theirs, and returns its path. Does nothing when it is there.
///
/// # Errors
/// When the folder can't be written.
pub fn install(data_dir: &Path, program: Carried) -> Result<PathBuf, InitError> {
    let binary = program.binary();
    let digest = hex::encode(Sha256::digest(binary));
    let name = program.file_name();
    let path = data_dir.join(format!("slipway-{name}-{digest}"));
    let prepare = |source| InitError::Prepare { path: path.clone(), source };
    if fs::read(&path).is_ok_and(|present| present == binary) {
        fs::set_permissions(&path, fs::Permissions::from_mode(PROGRAM_MODE)).map_err(prepare)?;
        return Ok(path);
    }
    // Written under another name first: a crash must not leave half a program under the real one.
    let draft = data_dir.join(format!("slipway-{name}-{digest}.{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o700).open(&draft).map_err(prepare)?;
    file.write_all(binary).and_then(|()| file.sync_all()).map_err(prepare)?;
    drop(file);
    fs::set_permissions(&draft, fs::Permissions::from_mode(PROGRAM_MODE)).map_err(prepare)?;
    fs::rename(&draft, &path).map_err(prepare)?;
    Ok(path)
}

/// Puts an installed program into a job's run folder: a hard link, or a copy where the file system has none. Does
/// nothing when it is there.
///
/// # Errors
/// When the folder can't be written.
pub fn place(installed: &Path, program: Carried, run_dir: &Path) -> Result<(), InitError> {
    let path = run_dir.join(program.file_name());
    let prepare = |source| InitError::Prepare { path: path.clone(), source };
    prepare_folder(run_dir)?;
    match fs::hard_link(installed, &path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) => {
            let draft = run_dir.join(format!("{}.draft", program.file_name()));
            let _ = fs::remove_file(&draft);
            fs::copy(installed, &draft).map_err(prepare)?;
            fs::set_permissions(&draft, fs::Permissions::from_mode(PROGRAM_MODE)).map_err(prepare)?;
            fs::rename(&draft, &path).map_err(prepare)
        }
    }
}

/// Makes the run folder, open to the container's arbitrary user (its parents need not be: it is mounted by itself).
pub(super) fn prepare_folder(run_dir: &Path) -> Result<(), InitError> {
    let prepare = |source| InitError::Prepare { path: run_dir.to_owned(), source };
    fs::create_dir_all(run_dir).map_err(prepare)?;
    fs::set_permissions(run_dir, fs::Permissions::from_mode(0o755)).map_err(prepare)
}
