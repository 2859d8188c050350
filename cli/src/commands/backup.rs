//! `slipway backup FILE`: all that the coordinator keeps, while it works. `slipway restore FILE`: a new data directory from it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::StreamExt as _;
use slipway_coordinator::backup::{self, Restored};

use crate::client::{Client, ServerArgs, Target};
use crate::failure::{Exit, Failure};
use crate::output::Out;
use crate::settings::Settings;

/// Flags of `slipway backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to make; it holds tokens and secrets, so keep it safe
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// Flags of `slipway restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// A backup
    file: PathBuf,
    /// The data directory to make; nothing may be there yet
    #[arg(long, value_name = "D", env = "SLIPWAY_DATA_DIR")]
    data_dir: PathBuf,
}

impl Backup {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        if self.file.exists() {
            return Err(Failure::usage(format!(
                "{} is there already; choose another name",
                self.file.display()
            )));
        }
        let mut part = self.file.clone().into_os_string();
        part.push(".part");
        let part = Part(part.into());
        save(&client, &part.0).await?;
        let checked = backup::check(&part.0).map_err(|error| Failure::fleet(error.to_string()))?;
        let cannot = |error| cannot(&self.file, &error);
        std::fs::rename(&part.0, &self.file).map_err(cannot)?;
        let size_bytes = std::fs::metadata(&self.file).map_err(cannot)?.len();
        out.line(&format!("{}: {}, {size_bytes} bytes, whole", self.file.display(), told(&checked)))?;
        Ok(Exit::Success)
    }
}

impl Restore {
    pub(crate) fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        let restored = backup::restore(&self.file, &self.data_dir);
        let restored = restored.map_err(|error| Failure::usage(error.to_string()))?;
        let place = self.data_dir.display();
        out.line(&format!("{place}: {}", told(&restored)))?;
        out.line(&format!("start it with `slipway-coordinator --data-dir {place}`; agents that are told its address come back with what they run"))?;
        Ok(Exit::Success)
    }
}

fn told(backup: &Restored) -> String {
    let made = i64::try_from(backup.manifest.made_ms).ok();
    let made = made.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let made = made.map_or_else(String::new, |made| format!(" of {made}"));
    format!(
        "the journal up to position {} ({} records) and {} files{made}",
        backup.manifest.position, backup.records, backup.files
    )
}

fn cannot(place: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", place.display()))
}

/// A file that goes if it is not renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After the rename there is none.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Takes the backup as it comes; only its owner may read it.
async fn save(client: &Client, place: &Path) -> Result<(), Failure> {
    let cannot = |error| cannot(place, &error);
    let mut stream = client.backup().await?;
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(place).map_err(cannot)?;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Failure::fleet(format!("the backup broke off: {error}")))?;
        file.write_all(&piece).map_err(cannot)?;
    }
    file.sync_all().map_err(cannot)
}
