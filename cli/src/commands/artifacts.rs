//! `slipway artifacts`: what a run left, to look at, to download, to keep longer or to remove.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::client::artifacts::Artifact;
use crate::client::{Client, ServerArgs, Target, types};
use crate::failure::{Exit, Failure};
use crate::output::table::{Table, text};
use crate::output::{Out, style};
use crate::settings::Settings;

/// Flags of `slipway artifacts`.
#[derive(Debug, Args)]
pub struct Artifacts {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what a run left
    List(List),
    /// Download artifacts, each into a file; its SHA-256 is checked
    Download(Download),
    /// Keep an artifact until it is removed or unpinned, whatever its retention
    Pin(One),
    /// Let an artifact go when its time is over
    Unpin(One),
    /// Remove an artifact
    Rm(One),
}

#[derive(Debug, Args)]
struct List {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct Download {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// Which ones [default: all]
    names: Vec<String>,
    /// Where the files go; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    to: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct One {
    /// The run: its id, the beginning of it, or `latest`
    run: String,
    /// The artifact's name
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Artifacts {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::List(list) => list.run(settings, out).await,
            What::Download(download) => download.run(settings, out).await,
            What::Pin(one) => one.pin(settings, out, true).await,
            What::Unpin(one) => one.pin(settings, out, false).await,
            What::Rm(one) => one.remove(settings, out).await,
        }
    }
}

impl List {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let run = client.find_run(&self.run).await?;
        let answer: Json = client.artifacts(&run).await?;
        if self.json {
            out.json(&answer)?;
            return Ok(Exit::Success);
        }
        let artifacts: Vec<Artifact> = types::read(answer)?;
        if artifacts.is_empty() {
            out.line(&format!("the run {run} left no artifacts, or their time is over"))?;
            return Ok(Exit::Success);
        }
        let mut table = Table::new(&["NAME", "SIZE", "KEPT UNTIL", "SHA-256"]);
        for artifact in artifacts {
            table.row(vec![
                text(artifact.name.as_str()),
                text(style::bytes(artifact.size_bytes)),
                text(artifact.expires_ms.map_or_else(|| "pinned".to_owned(), moment)),
                text(artifact.sha256.as_str()),
            ]);
        }
        out.text(&table.render(out.colours))?;
        Ok(Exit::Success)
    }
}

fn moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}

impl Download {
    async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let run = client.find_run(&self.run).await?;
        let wanted = match self.names.is_empty() {
            true => types::read(client.artifacts(&run).await?)?,
            false => {
                let mut wanted: Vec<Artifact> = Vec::new();
                for name in &self.names {
                    wanted.push(client.artifact(&run, name).await?);
                }
                wanted
            }
        };
        if wanted.is_empty() {
            return Err(Failure::usage(format!("the run {run} left no artifacts, or their time is over")));
        }
        std::fs::create_dir_all(&self.to).map_err(|error| cannot(&self.to, &error))?;
        for artifact in wanted {
            let file = self.to.join(file_name(&artifact)?);
            save(&client, &run, &artifact, &file).await?;
            out.line(&format!("{}: {}", file.display(), style::bytes(artifact.size_bytes)))?;
        }
        Ok(Exit::Success)
    }
}

/// Under which name an artifact is saved: an archive says so in its name. It came from a job, so it names no other folder.
fn file_name(artifact: &Artifact) -> Result<String, Failure> {
    let name = &artifact.name;
    let archive = artifact.media_type == "application/zip" && !name.to_ascii_lowercase().ends_with(".zip");
    let file = if archive { format!("{name}.zip") } else { name.clone() };
    match file.contains(['/', '\\', '\0']) || matches!(file.as_str(), "" | "." | "..") {
        false => Ok(file),
        true => Err(Failure::usage(format!("`{}` is no name of a file", name.escape_debug()))),
    }
}

fn cannot(place: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", place.display()))
}

/// Downloads into a file of another name first, which goes if something is wrong. A file that is there stays as it is.
async fn save(client: &Client, run: &str, artifact: &Artifact, file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::usage(format!("{} is there already; move it, or give --to", file.display())));
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut part = tempfile::NamedTempFile::new_in(folder).map_err(|error| cannot(folder, &error))?;
    let (mut hash, mut stream) = (Sha256::new(), client.download(run, artifact.id).await?);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Failure::fleet(format!("the download broke off: {error}")))?;
        hash.update(&piece);
        part.write_all(&piece).map_err(|error| cannot(file, &error))?;
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != artifact.sha256 {
        return Err(Failure::fleet(format!(
            "`{}` came with the SHA-256 {found} and not {}: it was damaged on its way or where it is kept",
            artifact.name.escape_debug(),
            artifact.sha256
        )));
    }
    part.as_file().sync_all().map_err(|error| cannot(file, &error))?;
    part.persist_noclobber(file).map_err(|error| cannot(file, &error.error))?;
    Ok(())
}

impl One {
    async fn pin(self, settings: &Settings, out: &mut Out, pinned: bool) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let run = client.find_run(&self.run).await?;
        let artifact = client.artifact(&run, &self.name).await?;
        client.pin_artifact(&run, artifact.id, pinned).await?;
        let name = artifact.name.escape_debug();
        out.line(&match pinned {
            true => format!("`{name}` stays until it is removed or unpinned"),
            false => format!("`{name}` goes when its time is over"),
        })?;
        Ok(Exit::Success)
    }

    async fn remove(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let client = Client::new(Target::resolve(&self.server, settings)?)?;
        let run = client.find_run(&self.run).await?;
        let artifact = client.artifact(&run, &self.name).await?;
        client.remove_artifact(&run, artifact.id).await?;
        out.line(&format!("`{}` is removed", artifact.name.escape_debug()))?;
        Ok(Exit::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_a_file_of_one_folder() {
        let of = |name: &str, media_type: &str| {
            let artifact = Artifact {
                id: 1,
                name: name.to_owned(),
                media_type: media_type.to_owned(),
                size_bytes: 0,
                sha256: String::new(),
                expires_ms: None,
            };
            file_name(&artifact).ok()
        };
        assert_eq!(of("dist", "application/zip").as_deref(), Some("dist.zip"));
        assert_eq!(of("dist.ZIP", "application/zip").as_deref(), Some("dist.ZIP"));
        assert_eq!(of("a b.html", "text/html").as_deref(), Some("a b.html"));
        assert_eq!(of("..", "application/zip").as_deref(), Some("...zip"));
        for bad in ["..", ".", "", "../x", "a/b", "a\\b"] {
            assert_eq!(of(bad, "text/plain"), None, "{bad}");
        }
    }
}
