//! `actions/cache` and its `restore` and `save`: what `@actions/cache` stores, byte for byte compatible.
//!
//! An entry is a tar archive, compressed with zstd, under a key and a version. The version is made of the paths as the
//! workflow has them and of the compression; an image without `zstd` had the original store gzip, so that is looked
//! for as well.

mod archive;
mod entry;
mod header;
mod unpack;

#[cfg(test)]
mod tests;

use std::io::Write as _;

use serde_json::json;

pub use archive::pack;
pub use entry::{Compression, check_keys, paths, version};
pub use unpack::unpack;

use crate::environment::Environment;
use crate::failure::Failure;
use crate::files::{Search, find, relative};
use crate::limits::{COMPRESSION_LEVEL, COMPRESSION_THREADS_MAX};
use crate::say;
use crate::service::{Download, Service, Upload};

const SERVICE: &str = "CacheService";

/// Where an action leaves the keys: `actions/cache` for itself after the steps, `restore` as outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// `GITHUB_STATE`
    State,
    /// `GITHUB_OUTPUT`
    Outputs,
}

impl Memory {
    fn keep_primary(self, environment: &Environment, key: &str) -> Result<(), Failure> {
        match self {
            Self::State => environment.save_state("CACHE_KEY", key),
            Self::Outputs => environment.set_output("cache-primary-key", key),
        }
    }

    fn keep_matched(self, environment: &Environment, key: &str) -> Result<(), Failure> {
        match self {
            Self::State => environment.save_state("CACHE_RESULT", key),
            Self::Outputs => environment.set_output("cache-matched-key", key),
        }
    }
}

/// `actions/cache` before the steps, and `actions/cache/restore`.
///
/// # Errors
/// Inputs that are wrong, and a miss with `fail-on-cache-miss`. A cache that fails is none of them.
pub fn restore_action(environment: &Environment, memory: Memory) -> Result<(), Failure> {
    if environment.variable("ACTIONS_RESULTS_URL").is_empty() {
        warn("Caches can't be reached from this job's container.");
        return environment.set_output("cache-hit", "false");
    }
    if !has_ref(environment) {
        return Ok(());
    }
    let key = environment.required("key")?;
    memory.keep_primary(environment, key)?;
    let restore_keys = lines(environment.input("restore-keys"));
    let paths = paths(environment.required("path")?);
    let is_set = |name: &str| environment.input(name).eq_ignore_ascii_case("true");
    let lookup_only = is_set("lookup-only");
    entry::check_paths(&paths)?;
    let keys: Vec<&str> = std::iter::once(key).chain(restore_keys.iter().map(String::as_str)).collect();
    check_keys(&keys)?;
    let matched = restore(environment, &paths, &keys, lookup_only).unwrap_or_else(|failure| {
        tell("Failed to restore: ", &failure);
        None
    });
    let Some(matched) = matched else {
        if is_set("fail-on-cache-miss") {
            return Err(Failure::new(format!(
                "Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: {key}"
            )));
        }
        say::info(&format!("Cache not found for input keys: {}", keys.join(", ")));
        return Ok(());
    };
    memory.keep_matched(environment, &matched)?;
    environment.set_output("cache-hit", if is_exact(key, &matched) { "true" } else { "false" })?;
    if lookup_only {
        say::info(&format!("Cache found and can be restored from key: {matched}"));
    } else {
        say::info(&format!("Cache restored from key: {matched}"));
    }
    Ok(())
}

/// The matched key; none: a miss.
fn restore(
    environment: &Environment,
    paths: &[String],
    keys: &[&str],
    lookup_only: bool,
) -> Result<Option<String>, Failure> {
    let service = Service::of(environment)?;
    let (key, restore_keys) = keys.split_first().unwrap_or((&"", &[]));
    for compression in [Compression::Zstd, Compression::Gzip] {
        let version = version(paths, compression);
        let message = json!({"key": key, "restore_keys": restore_keys, "version": version});
        let answer = service.call(SERVICE, "GetCacheEntryDownloadURL", &message)?;
        let text = |name: &str| answer.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        if answer.get("ok").and_then(serde_json::Value::as_bool) != Some(true) {
            say::debug(&format!("Cache not found for version {version} of keys: {}", keys.join(", ")));
            continue;
        }
        let matched = text("matched_key").to_owned();
        if matched == *key {
            say::info(&format!("Cache hit for: {matched}"));
        } else {
            say::info(&format!("Cache hit for restore-key: {matched}"));
        }
        if lookup_only {
            say::info("Lookup only - skipping download");
            return Ok(Some(matched));
        }
        let download = Download::new(&service, text("signed_download_url"))?;
        let size_bytes = download.size_bytes;
        let mebibytes = size_bytes.saturating_add(1 << 19) >> 20;
        say::info(&format!("Cache Size: ~{mebibytes} MB ({size_bytes} B)"));
        match compression {
            Compression::Zstd => unpack(zstd::Decoder::new(download)?, environment.workspace())?,
            Compression::Gzip => {
                unpack(flate2::read::MultiGzDecoder::new(download), environment.workspace())?
            }
        }
        say::info("Cache restored successfully");
        return Ok(Some(matched));
    }
    Ok(None)
}

/// `actions/cache` after the steps, and `actions/cache/save`. Nothing that goes wrong here fails a job, as in the original.
pub fn save_action(environment: &Environment, memory: Memory) {
    let saved = save_input(environment, memory);
    if let Err(failure) = &saved {
        warn(&failure.to_string());
    }
    if memory == Memory::Outputs && !matches!(saved, Ok(Saved::Yes | Saved::NotAsked)) {
        say::warning("Cache save failed.");
    }
}

/// What became of saving.
enum Saved {
    Yes,
    /// There is nothing to save.
    NotAsked,
    /// It was told why not.
    No,
}

fn save_input(environment: &Environment, memory: Memory) -> Result<Saved, Failure> {
    if environment.variable("ACTIONS_RESULTS_URL").is_empty() {
        warn("Caches can't be reached from this job's container.");
        return Ok(Saved::NotAsked);
    }
    if !has_ref(environment) {
        return Ok(Saved::NotAsked);
    }
    let (kept, restored) = match memory {
        Memory::State => (environment.state("CACHE_KEY"), environment.state("CACHE_RESULT")),
        Memory::Outputs => ("", ""),
    };
    let key = if kept.is_empty() { environment.input("key") } else { kept };
    if key.is_empty() {
        warn("Key is not specified.");
        return Ok(Saved::NotAsked);
    }
    if is_exact(key, restored) {
        say::info(&format!("Cache hit occurred on the primary key {key}, not saving cache."));
        return Ok(Saved::NotAsked);
    }
    let paths = paths(environment.required("path")?);
    entry::check_paths(&paths)?;
    check_keys(&[key])?;
    let patterns = paths.join("\n");
    let search = Search { patterns: &patterns, descendants: false, hidden: true, folders: true };
    let found = find(environment, search)?;
    if found.paths.is_empty() {
        return Err(Failure::new(
            "Path Validation Error: Path(s) specified in the action for caching do(es) not exist, hence no cache is \
             being saved.",
        ));
    }
    let workspace = environment.workspace();
    let members: Vec<_> = found.paths.iter().map(|path| relative(workspace, path)).collect();
    match save(environment, &members, key, &version(&paths, Compression::Zstd)) {
        Ok(true) => {
            say::info(&format!("Cache saved with key: {key}"));
            Ok(Saved::Yes)
        }
        Ok(false) => Ok(Saved::No),
        Err(failure) => {
            tell("Failed to save: ", &failure);
            Ok(Saved::No)
        }
    }
}

/// Saves; false: another job has the key, or this one may not, which is told.
fn save(
    environment: &Environment,
    members: &[std::path::PathBuf],
    key: &str,
    version: &str,
) -> Result<bool, Failure> {
    let service = Service::of(environment)?;
    let created = service.call(SERVICE, "CreateCacheEntry", &json!({"key": key, "version": version}));
    let is_ok =
        |answer: &serde_json::Value| answer.get("ok").and_then(serde_json::Value::as_bool) == Some(true);
    let text = |answer: &serde_json::Value, name: &str| {
        answer.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let created = match created {
        Ok(answer) if is_ok(&answer) => answer,
        other => {
            match other {
                Ok(answer) if !text(&answer, "message").is_empty() => {
                    say::warning(&format!("Cache reservation failed: {}", text(&answer, "message")));
                }
                Ok(_) => {}
                Err(failure) => say::debug(&format!("Failed to reserve cache: {failure}")),
            }
            say::info(&format!(
                "Failed to save: Unable to reserve cache with key {key}, another job may be creating this cache."
            ));
            return Ok(false);
        }
    };
    let upload = Upload::new(&service, &text(&created, "signed_upload_url"), "application/octet-stream");
    let mut compressed = zstd::Encoder::new(upload, COMPRESSION_LEVEL)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(COMPRESSION_THREADS_MAX);
    compressed.multithread(u32::try_from(threads).unwrap_or(1))?;
    compressed.include_checksum(true)?;
    pack(&mut compressed, environment.workspace(), members)?;
    compressed.flush()?;
    let uploaded = compressed.finish()?.finish()?;
    let message = json!({"key": key, "version": version, "size_bytes": uploaded.size_bytes.to_string()});
    let finished = service.call(SERVICE, "FinalizeCacheEntryUpload", &message)?;
    if !is_ok(&finished) {
        say::warning(&match text(&finished, "message") {
            told if told.is_empty() => {
                format!("Unable to finalize cache with key {key}, another job may be finalizing this cache.")
            }
            told => told,
        });
        return Ok(false);
    }
    Ok(true)
}

/// Whether the run is of a branch or tag; says so if not.
fn has_ref(environment: &Environment) -> bool {
    let is = !environment.variable("GITHUB_REF").is_empty();
    if !is {
        let event = environment.variable("GITHUB_EVENT_NAME");
        warn(&format!(
            "Event Validation Error: The event type {event} is not supported because it's not tied to a branch or tag ref."
        ));
    }
    is
}

/// The original compares keys without case.
fn is_exact(key: &str, matched: &str) -> bool {
    !matched.is_empty() && key.to_lowercase() == matched.to_lowercase()
}

fn lines(text: &str) -> Vec<String> {
    paths(text)
}

/// A line that the original shows as a warning, without an annotation.
fn warn(message: &str) {
    say::info(&format!("[warning]{message}"));
}

/// A failure of the cache, which is no failure of the job.
fn tell(prefix: &str, failure: &Failure) {
    let message = format!("{prefix}{failure}");
    if failure.of_server {
        say::error(&message);
    } else {
        say::warning(&message);
    }
}
