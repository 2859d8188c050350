//! `actions/download-artifact`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write};
use std::path::{Component, Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::extract::extract;
use super::pattern::Pattern;
use super::{Client, Listed, leading_number};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::files::normal;
use crate::limits::FILE_BYTES;
use crate::say;
use crate::service::Download;

/// `digest-mismatch`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mismatch {
    Ignore,
    Info,
    Warn,
    Error,
}

/// Which artifacts.
#[derive(Debug)]
enum Wanted {
    Name(String),
    Ids(Vec<u64>),
    Matching(String, Pattern),
    All,
}

/// What a step asks for.
#[derive(Debug)]
struct Inputs {
    wanted: Wanted,
    path: PathBuf,
    merge: bool,
    as_is: bool,
    mismatch: Mismatch,
    /// Another run of this coordinator. The original asks for a token too; where a job has none of the forge's, `github.token` is
    /// empty, and ours needs none.
    other_run: Option<String>,
}

impl Inputs {
    fn read(environment: &Environment) -> Result<Self, Failure> {
        let (name, ids) = (environment.input("name"), environment.input("artifact-ids"));
        let pattern = environment.input("pattern");
        let (merge, as_is) =
            (environment.boolean("merge-multiple")?, environment.boolean("skip-decompress")?);
        let mismatch = match environment.input("digest-mismatch") {
            "ignore" => Mismatch::Ignore,
            "info" => Mismatch::Info,
            "warn" => Mismatch::Warn,
            "error" | "" => Mismatch::Error,
            other => {
                return Err(Failure::new(format!(
                    "Invalid value for 'digest-mismatch': '{other}'. Valid options are: ignore, info, warn, error"
                )));
            }
        };
        let wanted = match (name, ids, pattern) {
            ("", "", "") => Wanted::All,
            ("", "", pattern) => Wanted::Matching(pattern.to_owned(), Pattern::parse(pattern)?),
            ("", ids, _) => Wanted::Ids(read_ids(ids)?),
            (name, "", _) => Wanted::Name(name.to_owned()),
            _ => {
                return Err(Failure::new(
                    "Inputs 'name' and 'artifact-ids' cannot be used together. Please specify only one.",
                ));
            }
        };
        let run = environment.input("run-id");
        let elsewhere = is_run_of_ours(run) && run != environment.variable("GITHUB_RUN_ID");
        let other_run = elsewhere.then(|| run.to_owned());
        let path = match environment.input("path") {
            "" => environment.workspace().to_owned(),
            path => match path.strip_prefix('~') {
                Some(rest) => PathBuf::from(format!("{}{rest}", environment.variable("HOME"))),
                None => PathBuf::from(path),
            },
        };
        Ok(Self { wanted, path: normal(&environment.folder().join(path)), merge, as_is, mismatch, other_run })
    }
}

/// Whether it is the id of a run here: a UUID, where GitHub has a number.
fn is_run_of_ours(run: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    run.split('-').count() == lengths.len()
        && run.split('-').zip(lengths).all(|(part, length)| part.len() == length && hex(part))
}

fn read_ids(text: &str) -> Result<Vec<u64>, Failure> {
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(|id| {
        let number = leading_number(id).and_then(|id| u64::try_from(id).ok());
        number.ok_or_else(|| Failure::new(format!("Invalid artifact ID: '{id}'. Must be a number.")))
    });
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() {
        return Err(Failure::new("No valid artifact IDs provided in 'artifact-ids' input"));
    }
    Ok(ids)
}

/// Runs the action.
///
/// # Errors
/// What fails the step.
pub fn download_action(environment: &Environment) -> Result<(), Failure> {
    download_all(environment).map_err(|failure| failure.after("Unable to download artifact(s): "))
}

fn download_all(environment: &Environment) -> Result<(), Failure> {
    let inputs = Inputs::read(environment)?;
    let mut client = Client::of(environment)?;
    client.other_run.clone_from(&inputs.other_run);
    let artifacts = select(&client, &inputs)?;
    if !artifacts.is_empty() {
        say::info("Preparing to download the following artifacts:");
        for Listed { name, id, size_bytes, digest, .. } in &artifacts {
            say::info(&format!("- {name} (ID: {id}, Size: {size_bytes}, Expected Digest: {digest})"));
        }
    }
    let together = matches!(inputs.wanted, Wanted::Name(_)) || inputs.merge || artifacts.len() == 1;
    let mut mismatches = Vec::new();
    for artifact in &artifacts {
        let folder = if together { inputs.path.clone() } else { inputs.path.join(plain(&artifact.name)?) };
        let is_whole = download(environment, &client, artifact, &folder, &inputs)
            .map_err(|failure| failure.after("Unable to download and extract artifact: "))?;
        if is_whole {
            continue;
        }
        let message = format!(
            "Artifact '{}' digest validation failed. Please verify the integrity of the artifact.",
            artifact.name
        );
        match inputs.mismatch {
            Mismatch::Ignore => {}
            Mismatch::Info => say::info(&message),
            Mismatch::Warn => say::warning(&message),
            Mismatch::Error => mismatches.push(artifact.name.clone()),
        }
    }
    if !mismatches.is_empty() {
        return Err(Failure::new(format!(
            "Digest validation failed for artifact(s): {}. Use 'digest-mismatch: warn' to continue on mismatch.",
            mismatches.join(", ")
        )));
    }
    say::info(&format!("Total of {} artifact(s) downloaded", artifacts.len()));
    environment.set_output("download-path", &inputs.path.to_string_lossy())?;
    say::info("Download artifact has finished successfully");
    Ok(())
}

/// The artifacts that are wanted; of several with one name the newest.
fn select(client: &Client, inputs: &Inputs) -> Result<Vec<Listed>, Failure> {
    match &inputs.wanted {
        Wanted::Name(name) => {
            say::info("Downloading single artifact");
            let newest = client.list(json!({"name_filter": name}))?.into_iter().next();
            newest.map(|artifact| vec![artifact]).ok_or_else(|| {
                Failure::new(format!(
                    "Artifact not found for name: {name}\nPlease ensure that your artifact is not expired, and that this job \
                     `needs` the one that uploads it."
                ))
            })
        }
        Wanted::Ids(ids) => {
            say::info("Downloading artifacts by ID");
            let mut artifacts = latest(client)?;
            artifacts.retain(|artifact| ids.contains(&artifact.id));
            if artifacts.is_empty() {
                return Err(Failure::new("None of the provided artifact IDs were found"));
            }
            let found = |id: &u64| artifacts.iter().any(|artifact| artifact.id == *id);
            let missing: Vec<String> = ids.iter().filter(|id| !found(id)).map(u64::to_string).collect();
            if !missing.is_empty() {
                say::warning(&format!("Could not find the following artifact IDs: {}", missing.join(", ")));
            }
            Ok(artifacts)
        }
        Wanted::Matching(text, pattern) => {
            let mut artifacts = latest(client)?;
            say::info(&format!("Filtering artifacts by pattern '{text}'"));
            artifacts.retain(|artifact| pattern.matches(&artifact.name));
            Ok(artifacts)
        }
        Wanted::All => {
            let artifacts = latest(client)?;
            say::info("No input name, artifact-ids or pattern filtered specified, downloading all artifacts");
            if !inputs.merge {
                say::info("An extra directory with the artifact name will be created for each download");
            }
            Ok(artifacts)
        }
    }
}

fn latest(client: &Client) -> Result<Vec<Listed>, Failure> {
    let mut artifacts = client.list(json!({}))?;
    let mut names = std::collections::HashSet::new();
    artifacts.retain(|artifact| names.insert(artifact.name.clone()));
    say::info(&format!("Found {} artifact(s)", artifacts.len()));
    Ok(artifacts)
}

/// Downloads one into a folder. False: it is not what was uploaded; then it was unpacked only if that does not matter.
fn download(
    environment: &Environment,
    client: &Client,
    artifact: &Listed,
    folder: &Path,
    inputs: &Inputs,
) -> Result<bool, Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::at(folder, error))?;
    let url = client.address(artifact)?;
    let shown = url.split_once('?').map_or(url.as_str(), |(shown, _)| shown);
    say::info(&format!("Redirecting to blob download url: {shown}"));
    say::info(&format!("Starting download of artifact to: {}", folder.display()));
    let mut download = Download::new(&client.service, &url)?;
    let is_zip = is_zip(&download.content_type) || shown.to_ascii_lowercase().ends_with(".zip");
    let is_whole = |sha256: &str| {
        say::info(&format!("SHA256 digest of downloaded artifact is {sha256}"));
        artifact.digest.is_empty() || artifact.digest == format!("sha256:{sha256}")
    };
    let whole = if is_zip && !inputs.as_is {
        // The list of what is in it stands at its end.
        let mut file = draft(environment)?;
        let whole = is_whole(&copy(&mut download, &mut file)?);
        if whole || inputs.mismatch != Mismatch::Error {
            file.rewind()?;
            extract(file, folder)?;
        }
        whole
    } else {
        let path = folder.join(file_name(&download.disposition));
        say::info(&format!("Downloading raw file (non-zip) to: {}", path.display()));
        let mut file = File::create(&path).map_err(|error| Failure::at(&path, error))?;
        is_whole(&copy(&mut download, &mut file)?)
    };
    say::info("Artifact download completed successfully.");
    Ok(whole)
}

/// Copies a download and says what its SHA-256 is.
fn copy(from: &mut Download, into: &mut impl Write) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; FILE_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(bytes);
        into.write_all(bytes)?;
    }
}

/// A file without a name in the temporary folder.
fn draft(environment: &Environment) -> Result<File, Failure> {
    let folder = match environment.variable("RUNNER_TEMP") {
        "" => Path::new("/tmp"),
        folder => Path::new(folder),
    };
    let path = folder.join(format!("artifact-{}.zip", std::process::id()));
    let at = |error| Failure::at(&path, error);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(at)?;
    fs::remove_file(&path).map_err(at)?;
    Ok(file)
}

fn is_zip(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "application/zip" | "application/x-zip-compressed" | "application/zip-compressed")
}

/// The name in a `Content-Disposition` (RFC 6266), without folders.
fn file_name(disposition: &str) -> String {
    let parameter = |name: &str| {
        disposition.split(';').find_map(|part| {
            let (found, value) = part.split_once('=')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let encoded = parameter("filename*").and_then(|value| value.get("UTF-8''".len()..)).map(decoded);
    let plain = parameter("filename").map(|value| value.trim_matches(['"', '\'']).to_owned());
    let name = encoded.or(plain).unwrap_or_default();
    let name = Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "artifact".to_owned())
}

/// Without percent-encoding (RFC 3986).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name that is one folder's.
fn plain(name: &str) -> Result<&Path, Failure> {
    let path = Path::new(name);
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(path),
        _ => Err(Failure::new(format!("the artifact '{name}' can't have a folder of its name"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(more: &[(&str, &str)]) -> Result<Inputs, Failure> {
        let defaults = [
            ("INPUT_MERGE-MULTIPLE", "false"),
            ("INPUT_SKIP-DECOMPRESS", "false"),
            ("INPUT_DIGEST-MISMATCH", "error"),
            ("HOME", "/home/me"),
            ("GITHUB_WORKSPACE", "/w/r"),
        ];
        let all = defaults.into_iter().chain(more.iter().copied());
        Inputs::read(&Environment::new(all, Path::new("/w/r")))
    }

    #[test]
    fn inputs_are_read() {
        for (path, expected) in
            [("", "/w/r"), ("a/../b/", "/w/r/b"), ("~/x", "/home/me/x"), ("/abs", "/abs"), ("../y", "/w/y")]
        {
            assert_eq!(read(&[("INPUT_PATH", path)]).unwrap().path, Path::new(expected), "{path}");
        }
        for (more, expected) in [
            (&[("INPUT_NAME", "a"), ("INPUT_ARTIFACT-IDS", "1")][..], "cannot be used together"),
            (&[("INPUT_ARTIFACT-IDS", "1, x")], "Invalid artifact ID: 'x'. Must be a number."),
            (&[("INPUT_ARTIFACT-IDS", " , ")], "No valid artifact IDs provided"),
            (&[("INPUT_DIGEST-MISMATCH", "shrug")], "Invalid value for 'digest-mismatch': 'shrug'"),
        ] {
            let message = read(more).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn another_run_is_one_of_this_coordinator() {
        let (own, other) = ("7b0e0d3c-5f1e-4f0e-9d5c-3a1b2c3d4e5f", "00000000-5f1e-4f0e-9d5c-3a1b2c3d4e5f");
        let of = |run| read(&[("GITHUB_RUN_ID", own), ("INPUT_RUN-ID", run)]).unwrap().other_run;
        assert_eq!(of(other).as_deref(), Some(other));
        for run in [own, "", "0", "1234567890", "x", &other.replace('-', "_"), &format!("{other}-0")] {
            assert_eq!(of(run), None, "{run}");
        }
    }

    #[test]
    fn files_are_named_as_the_service_says() {
        for (disposition, expected) in [
            ("attachment; filename=\"gr__e.html\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.html", "größe.html"),
            ("attachment; filename=\"a b.txt\"", "a b.txt"),
            ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
            ("attachment; filename=\"..\"", "artifact"),
            ("", "artifact"),
        ] {
            assert_eq!(file_name(disposition), expected, "{disposition}");
        }
        assert!(plain("a b").is_ok());
        for name in ["", ".", "..", "a/b", "/"] {
            assert!(plain(name).is_err(), "{name}");
        }
    }
}
