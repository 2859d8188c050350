//! `actions/upload-artifact`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::archive::{Compressed, member, pack};
use super::date::Moment;
use super::names::{check_name, media_type};
use super::search::{Files, files};
use super::{Client, leading_number, number, text};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::FILE_BYTES;
use crate::say;
use crate::service::{Upload, Uploaded};

/// What a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Inputs {
    name: String,
    path: String,
    if_none: IfNone,
    retention_days: Option<i64>,
    compressed: Compressed,
    overwrite: bool,
    hidden: bool,
    archive: bool,
}

/// `if-no-files-found`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfNone {
    Warn,
    Error,
    Ignore,
}

impl Inputs {
    fn read(environment: &Environment) -> Result<Self, Failure> {
        let path = environment.required("path")?.to_owned();
        let (overwrite, hidden) =
            (environment.boolean("overwrite")?, environment.boolean("include-hidden-files")?);
        let archive = environment.boolean("archive")?;
        let if_none = match environment.input("if-no-files-found") {
            "warn" => IfNone::Warn,
            "error" => IfNone::Error,
            "ignore" => IfNone::Ignore,
            other => {
                return Err(Failure::new(format!(
                    "Unrecognized if-no-files-found input. Provided: {other}. Available options: warn,error,ignore"
                )));
            }
        };
        let retention_days = match environment.input("retention-days") {
            "" => None,
            days => Some(leading_number(days).ok_or_else(|| Failure::new("Invalid retention-days"))?),
        };
        let compressed = match environment.input("compression-level") {
            "" => 6,
            level => leading_number(level).ok_or_else(|| Failure::new("Invalid compression-level"))?,
        };
        let compressed = Compressed::new(compressed)
            .ok_or_else(|| Failure::new("Invalid compression-level. Valid values are 0-9"))?;
        let name = environment.input("name").to_owned();
        Ok(Self { name, path, if_none, retention_days, compressed, overwrite, hidden, archive })
    }
}

/// Runs the action.
///
/// # Errors
/// What fails the step.
pub fn upload_action(environment: &Environment) -> Result<(), Failure> {
    let inputs = Inputs::read(environment)?;
    let found = files(environment, &inputs.path, inputs.hidden)?;
    if found.files.is_empty() {
        let message = format!(
            "No files were found with the provided path: {}. No artifacts will be uploaded.",
            inputs.path
        );
        match inputs.if_none {
            IfNone::Warn => say::warning(&message),
            IfNone::Error => return Err(Failure::new(message)),
            IfNone::Ignore => say::info(&message),
        }
        return Ok(());
    }
    let count = found.files.len();
    let plural = if count == 1 { "" } else { "s" };
    say::info(&format!("With the provided path, there will be {count} file{plural} uploaded"));
    if !inputs.archive && count > 1 {
        return Err(Failure::new(format!(
            "When 'archive' is set to false, only a single file can be uploaded. Found {count} files to upload."
        )));
    }
    let client = Client::of(environment)?;
    if inputs.overwrite {
        delete(&client, &inputs.name);
    }
    let (uploaded, id) = upload(environment, &client, &inputs, &found)?;
    say::info(&format!(
        "Artifact {} has been successfully uploaded! Final size is {} bytes. Artifact ID is {id}",
        inputs.name, uploaded.size_bytes
    ));
    environment.set_output("artifact-id", &id.to_string())?;
    environment.set_output("artifact-digest", &uploaded.sha256)?;
    let url = format!(
        "{}/{}/actions/runs/{}/artifacts/{id}",
        environment.variable("GITHUB_SERVER_URL"),
        environment.variable("GITHUB_REPOSITORY"),
        environment.variable("GITHUB_RUN_ID")
    );
    say::info(&format!("Artifact download URL: {url}"));
    environment.set_output("artifact-url", &url)
}

/// Deletes an artifact of this name. That it can't be done shows when the new one is uploaded.
fn delete(client: &Client, name: &str) {
    let deleted = client.list(json!({"name_filter": name})).and_then(|listed| {
        let Some(newest) = listed.into_iter().next() else {
            say::debug(&format!("Skipping deletion of '{name}', it does not exist"));
            return Ok(());
        };
        let of = json!({
            "workflow_run_backend_id": newest.run,
            "workflow_job_run_backend_id": newest.job,
            "name": newest.name,
        });
        let id = number(&client.call("DeleteArtifact", of)?, "artifact_id");
        say::info(&format!("Artifact '{name}' (ID: {id}) deleted"));
        Ok(())
    });
    if let Err(failure) = deleted {
        say::debug(&format!("Unable to delete artifact: {failure}"));
    }
}

fn upload(
    environment: &Environment,
    client: &Client,
    inputs: &Inputs,
    found: &Files,
) -> Result<(Uploaded, u64), Failure> {
    let first = found.files.first().map(std::path::PathBuf::as_path).unwrap_or(Path::new("/"));
    let (name, file_name) = if inputs.archive {
        (inputs.name.clone(), format!("{}.zip", inputs.name))
    } else {
        let name = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.clone(), name)
    };
    check_name(&name)?;
    say::info("Artifact name is valid!");
    if !found.root.is_dir() {
        let root = found.root.display();
        return Err(Failure::new(format!("The provided rootDirectory {root} is not a valid directory")));
    }
    say::info("Root directory input is valid!");
    if inputs.archive {
        for file in &found.files {
            member(&found.root, file)?;
        }
    }
    let content_type = media_type(&file_name);
    let mut wish = json!({"name": name, "mime_type": content_type, "version": 7});
    if let (Some(expires), Some(wish)) = (expires(environment, inputs.retention_days), wish.as_object_mut()) {
        wish.insert("expires_at".to_owned(), Value::String(expires));
    }
    let created = client.call("CreateArtifact", wish)?;
    check_ok(&created, "CreateArtifact")?;
    say::info(&format!("Uploading artifact: {file_name}"));
    let mut upload = Upload::new(&client.service, &text(&created, "signed_upload_url"), content_type);
    say::info("Beginning upload of artifact content to blob storage");
    if inputs.archive {
        pack(&mut upload, &found.root, &found.files, inputs.compressed)?;
    } else {
        copy(first, &mut upload)?;
    }
    let uploaded = upload.finish()?;
    say::info(&format!("Uploaded bytes {}", uploaded.size_bytes));
    say::info("Finished uploading artifact content to blob storage!");
    say::info(&format!("SHA256 digest of uploaded artifact is {}", uploaded.sha256));
    say::info("Finalizing artifact upload");
    let finished = client.call(
        "FinalizeArtifact",
        json!({
            "name": name,
            "size": uploaded.size_bytes.to_string(),
            "hash": format!("sha256:{}", uploaded.sha256),
        }),
    )?;
    check_ok(&finished, "FinalizeArtifact")?;
    let id = number(&finished, "artifact_id");
    say::info(&format!("Artifact {name} successfully finalized. Artifact ID {id}"));
    Ok((uploaded, id))
}

fn check_ok(answer: &Value, method: &str) -> Result<(), Failure> {
    match answer.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        _ => Err(Failure::new(format!("{method}: response from backend was not ok"))),
    }
}

fn copy(from: &Path, into: &mut Upload) -> Result<(), Failure> {
    let at = |error| Failure::at(from, error);
    let mut file = File::open(from).map_err(at)?;
    let mut buffer = vec![0; FILE_BYTES];
    loop {
        let count = file.read(&mut buffer).map_err(at)?;
        if count == 0 {
            return Ok(());
        }
        into.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

/// When an artifact goes; none: when the service says so.
fn expires(environment: &Environment, days: Option<i64>) -> Option<String> {
    let mut days = days.filter(|days| *days != 0)?;
    if let Some(most) = leading_number(environment.variable("GITHUB_RETENTION_DAYS"))
        && most > 0
        && most < days
    {
        say::warning(&format!(
            "Retention days cannot be greater than the maximum allowed retention set within the repository. Using {most} \
             instead."
        ));
        days = most;
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let until_s = i64::try_from(now_s).ok()?.checked_add(days.checked_mul(86_400)?)?;
    Some(Moment::of(until_s).text())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(more: &[(&str, &str)]) -> Result<Inputs, Failure> {
        let defaults = [
            ("INPUT_NAME", "artifact"),
            ("INPUT_PATH", "dist"),
            ("INPUT_IF-NO-FILES-FOUND", "warn"),
            ("INPUT_COMPRESSION-LEVEL", "6"),
            ("INPUT_OVERWRITE", "false"),
            ("INPUT_INCLUDE-HIDDEN-FILES", "false"),
            ("INPUT_ARCHIVE", "true"),
        ];
        Inputs::read(&Environment::new(defaults.into_iter().chain(more.iter().copied()), Path::new("/")))
    }

    #[test]
    fn wrong_inputs_are_told_by_name() {
        assert_eq!(read(&[("INPUT_RETENTION-DAYS", "3")]).unwrap().retention_days, Some(3));
        for (input, value, expected) in [
            ("INPUT_PATH", "", "Input required and not supplied: path"),
            ("INPUT_IF-NO-FILES-FOUND", "shout", "Unrecognized if-no-files-found input. Provided: shout."),
            ("INPUT_RETENTION-DAYS", "soon", "Invalid retention-days"),
            ("INPUT_COMPRESSION-LEVEL", "x", "Invalid compression-level"),
            ("INPUT_COMPRESSION-LEVEL", "10", "Valid values are 0-9"),
            ("INPUT_OVERWRITE", "maybe", "Core Schema\" specification: overwrite"),
        ] {
            let message = read(&[(input, value)]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
