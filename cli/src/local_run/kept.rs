//! The files in which runs of private fleets are kept: one for each workflow of each checkout, for its last run.
//!
//! Invariants: a file is written whole or not at all, and only its owner may read it; their number, size and age are
//! bounded. No value of a secret is in one: jobs have no output that holds one (docs/EVENTS.md, "Reruns").

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checkout::Checkout;
use crate::client::types::CarriedJob;
use crate::failure::Failure;
use crate::fleet::Reach;
use crate::input;
use crate::user_folders;

/// Version of the format; another one's files are not read.
const VERSION: u32 = 1;

/// Longest file, in bytes: four jobs' outputs of the greatest length that the coordinator takes.
const KEPT_MAX_BYTES: u64 = 4 << 20;

/// Most files; the oldest go.
const FILES_MAX: usize = 100;

/// How long a run can be repeated. As long as the store with its artifacts is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes of a hash that are in a file's name.
const HASH_BYTES: usize = 16;

/// What a person gave, for those who repeat it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flags {
    /// `--event`, or what was chosen without it.
    pub event: String,
    /// `--event-file`, absolute.
    pub event_file: Option<PathBuf>,
    /// `--input`
    pub inputs: BTreeMap<String, String>,
    /// `--var`
    pub vars: BTreeMap<String, String>,
    /// `--job`
    pub jobs: Vec<String>,
    /// `--image`
    pub images: BTreeMap<String, String>,
    /// `--actions-source`
    pub actions_source: Option<String>,
    /// `--externals`
    pub externals: Option<PathBuf>,
    /// `--original-actions`
    pub original_actions: bool,
    /// `--allow-volume` and what else jobs might reach
    pub reach: Reach,
}

/// A job that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptJob {
    /// As the coordinator gives it.
    pub job: CarriedJob,
    /// What the job, or its caller, said then; see [`super::definition`].
    pub definition: String,
    /// When the run began that did it, Unix milliseconds.
    pub since_ms: u64,
}

/// A workflow's last run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub(super) version: u32,
    /// Path of the workflow in its repository.
    pub workflow_file: String,
    /// `github.run_number`
    pub run_number: u64,
    /// `github.run_attempt`
    pub run_attempt: u64,
    /// When this attempt began, Unix milliseconds.
    pub begun_ms: u64,
    /// `None`: it did not get to its end.
    pub result: Option<String>,
    /// Whether its artifacts were kept.
    pub artifacts: bool,
    /// What it was started with.
    pub flags: Flags,
    /// The names of its secrets.
    pub secret_names: Vec<String>,
    /// What succeeded.
    pub carried: Vec<KeptJob>,
    /// What succeeded was too long to be kept.
    #[serde(default)]
    pub too_long: bool,
}

/// The folder with the files.
#[derive(Debug, Clone)]
pub struct KeptRuns {
    folder: PathBuf,
}

impl KeptRuns {
    /// The user's; `None`: there is no home.
    pub fn of_user() -> Option<Self> {
        user_folders::state().map(|state| KeptRuns::in_folder(state.join("runs")))
    }

    /// One in this folder, which is made with the first file.
    pub fn in_folder(folder: PathBuf) -> Self {
        KeptRuns { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A workflow's last run in this checkout.
    ///
    /// # Errors
    /// The file is damaged, or of another version.
    pub fn find(&self, checkout: &Checkout, workflow_file: &str) -> Result<Option<Kept>, Failure> {
        let path = self.path(checkout, workflow_file);
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    /// The last run in this checkout, of any workflow; files that cannot be read do not count.
    pub fn newest(&self, checkout: &Checkout) -> Option<Kept> {
        self.all(checkout).into_iter().max_by_key(|kept| kept.begun_ms)
    }

    /// The last runs of all its workflows.
    pub fn all(&self, checkout: &Checkout) -> Vec<Kept> {
        let begin = format!("{}-", hash(checkout.root.as_os_str().as_bytes()));
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let own = entries.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&begin) && name.ends_with(".json")
        });
        own.filter_map(|entry| read(&entry.path()).ok()).collect()
    }

    /// Keeps a run. If that is too long, then without what succeeded.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, checkout: &Checkout, kept: &mut Kept) -> io::Result<()> {
        kept.version = VERSION;
        let mut json = serde_json::to_vec(kept)?;
        if json.len() as u64 > KEPT_MAX_BYTES {
            kept.too_long = true;
            kept.carried.clear();
            json = serde_json::to_vec(kept)?;
        }
        if json.len() as u64 > KEPT_MAX_BYTES {
            let message = format!("its flags take more than {KEPT_MAX_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.path(checkout, &kept.workflow_file);
        // Such a file has mode 0600.
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
        file.write_all(&json)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        self.remove_surplus(&path);
        Ok(())
    }

    fn path(&self, checkout: &Checkout, workflow_file: &str) -> PathBuf {
        let checkout = hash(checkout.root.as_os_str().as_bytes());
        self.folder.join(format!("{checkout}-{}.json", hash(workflow_file.as_bytes())))
    }

    /// Removes the oldest files, what killed writers left among them. What cannot be removed goes the next time.
    fn remove_surplus(&self, newest: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.path() != newest)
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_by(|one, other| other.cmp(one));
        for (_, path) in files.into_iter().skip(FILES_MAX - 1) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> Result<Kept, Failure> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let unusable = |why: String| {
        Failure::usage(format!("--failed: {} {why}: run the workflow without --failed", path.display()))
    };
    let bytes = input::read(path, KEPT_MAX_BYTES)?;
    let damaged = |error: serde_json::Error| unusable(format!("is damaged ({error})"));
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version != VERSION {
        return Err(unusable(format!(
            "was kept by another version of slipway (format {version}, not {VERSION})"
        )));
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// The beginning of a SHA-256, in hexadecimal: enough that no two names are one by chance.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
