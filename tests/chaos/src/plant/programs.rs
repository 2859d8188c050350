//! How coordinators and agents are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use slipway_tests::{RUNNER_IMAGE, program};

use super::certificate::Certificate;
use super::{LEASE, SLOTS};

/// What a coordinator is told.
pub(super) struct CoordinatorPlaces<'a> {
    /// The campaign's folder.
    pub(super) folder: &'a Path,
    /// Its data directory.
    pub(super) data: PathBuf,
    /// The journal that several share; none: SQLite in its data directory.
    pub(super) journal: Option<&'a str>,
    /// The cache's Redis.
    pub(super) cache: &'a str,
    pub(super) certificate: &'a Certificate,
    pub(super) http: &'a str,
    pub(super) grpc: &'a str,
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A coordinator.
pub(super) fn coordinator(places: &CoordinatorPlaces<'_>) -> impl Fn() -> Command + use<> {
    let CoordinatorPlaces { folder, data, journal, cache, certificate, http, grpc } = places;
    let mut arguments: Vec<String> = Vec::new();
    let mut give = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    give("--config", text(&folder.join("coordinator.toml")));
    give("--data-dir", text(data));
    give("--cache", (*cache).to_owned());
    give("--lease-seconds", LEASE.as_secs().to_string());
    give("--http", (*http).to_owned());
    give("--grpc", (*grpc).to_owned());
    give("--tls-cert", text(&certificate.certificate));
    give("--tls-key", text(&certificate.key));
    if let Some(journal) = journal {
        give("--journal", (*journal).to_owned());
        give("--advertise-grpc", format!("https://{grpc}"));
        give("--objects", format!("file://{}", text(&folder.join("objects/shared"))));
        give("--cluster-key-file", text(&folder.join("cluster.key")));
        arguments.push("--objects-shared".to_owned());
    }
    move || {
        let mut command = Command::new(program("slipway-coordinator"));
        command.args(&arguments);
        command
    }
}

/// An agent in a network namespace.
pub(super) fn agent(
    number: usize,
    namespace: String,
    disk: &Path,
    servers: &[String],
    token_file: &Path,
    authority: &Path,
) -> impl Fn() -> Command + use<> {
    let (disk, servers) = (disk.to_owned(), servers.join(","));
    let (token_file, authority) = (token_file.to_owned(), authority.to_owned());
    move || {
        // `ip netns exec` becomes the program: the process is the agent's.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace]).arg(program("slipway-agent"));
        command.arg("--data-dir").arg(&disk).args(["--name", &format!("agent-{number}")]);
        command.args(["--slots", &SLOTS.to_string(), "--server", &servers]);
        command.arg("--token-file").arg(&token_file).arg("--ca-file").arg(&authority);
        command.args(["--image", &format!("ubuntu-latest={RUNNER_IMAGE}")]);
        // Jobs write down what they did in a volume that outlives them.
        command.arg("--allow-privileged");
        command
    }
}
