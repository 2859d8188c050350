//! `slipway admin`: what a person does about a journal that lost something, with the coordinator stopped, and about the history,
//! while it works.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use slipway_coordinator::data_dir::DataDir;
use slipway_coordinator::journal::sqlite::{self, CutError, Damage};
use slipway_coordinator::journal::watermark::Loss;
use slipway_coordinator::journal::{self, JournalPlace, SQLITE_FILE};
use slipway_coordinator::options::{self, JournalUrl};

use super::rebuild::Rebuild;
use crate::failure::{Exit, Failure};
use crate::output::{Out, escape};
use crate::settings::Settings;

/// Flags of `slipway admin`.
#[derive(Debug, Args)]
pub struct Admin {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Keep what is good of a damaged SQLite journal, and put the rest aside
    CutJournal(Target),
    /// Go on with a journal that lost what this coordinator saw of it
    AcceptLoss(AcceptLoss),
    /// Make the tables of the history again from the journal, while the coordinator works
    Rebuild(Rebuild),
}

/// Which coordinator.
#[derive(Debug, Args)]
struct Target {
    /// The coordinator's data directory [default: as of `slipway up`]
    #[arg(long, value_name = "D", env = "SLIPWAY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Do it; without, only say what would be done
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct AcceptLoss {
    #[command(flatten)]
    target: Target,
    /// Where the journal is, as for the coordinator [default: sqlite]
    #[arg(long, value_name = "URL", env = "SLIPWAY_JOURNAL", hide_env_values = true)]
    journal: Option<JournalUrl>,
    /// File with what --journal would be given
    #[arg(long, value_name = "FILE", env = "SLIPWAY_JOURNAL_FILE")]
    journal_file: Option<PathBuf>,
}

impl Admin {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::Rebuild(rebuild) => rebuild.run(settings, out).await,
            What::CutJournal(target) => cut(&target.lock(settings)?, target.yes, out),
            What::AcceptLoss(accept) => {
                let data_dir = accept.target.lock(settings)?;
                // Either of them wins over both of the file.
                let (journal, file) = match (accept.journal, accept.journal_file) {
                    (None, None) => (settings.journal.clone(), settings.journal_file.clone()),
                    given => given,
                };
                let place = options::journal_place(journal, file);
                let place = place.map_err(|error| Failure::usage(error.to_string()))?;
                accept_loss(&place, &data_dir, accept.target.yes, out)
            }
        }
    }
}

impl Target {
    /// The data directory, which nobody else uses meanwhile.
    fn lock(&self, settings: &Settings) -> Result<DataDir, Failure> {
        let folder = match self.data_dir.clone().or_else(|| settings.data_dir.clone()) {
            Some(folder) => folder,
            None => crate::settings::default_data_dir()?,
        };
        if !folder.is_dir() {
            return Err(Failure::usage(format!("--data-dir: there is no folder {}", folder.display())));
        }
        DataDir::open(&folder).map_err(|error| Failure::fleet(error.to_string()))
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a command without `--yes` ends with.
fn only_with_yes() -> Failure {
    Failure::usage("nothing was changed; add --yes to do it")
}

fn cut(data_dir: &DataDir, yes: bool, out: &mut Out) -> Result<Exit, Failure> {
    let damage = sqlite::examine(&data_dir.path(SQLITE_FILE)).map_err(explain_cut)?;
    for line in describe(&damage) {
        out.line(&escape::name(&line))?;
    }
    if !yes {
        return Err(only_with_yes());
    }
    let cut = journal::cut_journal(data_dir.root(), unix_s()).map_err(explain_cut)?;
    let shown = |path: &Path| escape::name(&path.display().to_string());
    out.line(&format!("cut: the journal ends at position {} now", cut.damage.good.position))?;
    out.line(&format!("{} records after it are in {}", cut.records, shown(&cut.side_file)))?;
    out.line(&format!(
        "the damaged file is {}; remove it when it is of no more use",
        shown(&cut.damaged_file)
    ))?;
    Ok(Exit::Success)
}

fn describe(damage: &Damage) -> Vec<String> {
    let good = damage.good.position;
    let mut lines = vec![damage.error.to_string(), format!("good: everything up to position {good}")];
    lines.push(match damage.should_end {
        Some(end) if end > good => {
            format!("a cut loses the records {} to {end}, and snapshots that include them", good + 1)
        }
        Some(_) => "a cut loses whatever is after it".to_owned(),
        None => "where the journal should end cannot be read; a cut loses whatever is after it".to_owned(),
    });
    lines
}

fn explain_cut(error: CutError) -> Failure {
    match error {
        CutError::Whole { .. } => Failure::usage(error.to_string()),
        CutError::Journal(_) | CutError::Io { .. } => Failure::fleet(error.to_string()),
    }
}

fn accept_loss(place: &JournalPlace, data_dir: &DataDir, yes: bool, out: &mut Out) -> Result<Exit, Failure> {
    let failed = |error: journal::JournalError| Failure::fleet(error.to_string());
    // It waits for a server by itself.
    let loss = tokio::task::block_in_place(|| journal::loss(place, data_dir.root())).map_err(failed)?;
    let Some(Loss { agreed, known, found }) = loss else {
        return Err(Failure::usage("nothing is lost: the journal has all that this coordinator saw of it"));
    };
    out.line(&format!("good: everything up to position {agreed} is as this coordinator saw it"))?;
    out.line(&format!("lost: what it saw between position {} and {known}, or the end of that", agreed + 1))?;
    out.line(&format!("the journal ends at position {found} now"))?;
    if !yes {
        return Err(only_with_yes());
    }
    let accepting = || journal::accept_loss(place, data_dir.root(), unix_s());
    let kept = tokio::task::block_in_place(accepting).map_err(failed)?;
    if let Some(kept) = kept {
        out.line(&format!(
            "accepted; what was known of it is in {}",
            escape::name(&kept.display().to_string())
        ))?;
    }
    Ok(Exit::Success)
}
