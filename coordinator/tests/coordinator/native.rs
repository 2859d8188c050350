//! The built-in actions against the service, and with GitHub's own clients at the other end.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use slipway_actions::environment::Environment;

use crate::clients::{job, run_with};
use crate::fixture::Fixture;

const CLIENTS: &str = "SLIPWAY_ACTIONS_CLIENTS";

/// A job's side: its folders, its token, and what its steps leave.
struct Side<'a> {
    fixture: &'a Fixture,
    token: String,
}

impl Side<'_> {
    fn work(&self) -> PathBuf {
        self.fixture.folder.path().join("work")
    }

    /// Runs a built-in action with these inputs; its outputs and state, or what failed it.
    async fn act(&self, command: &str, inputs: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let (work, temp) = (self.work(), self.fixture.folder.path().join("temp"));
        for folder in [&work, &temp] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let left = self.fixture.folder.path().join("left");
        std::fs::write(&left, "").unwrap();
        let mut variables: Vec<(String, String)> = inputs
            .iter()
            .map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), (*value).to_owned()))
            .collect();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        for (name, value) in [
            ("GITHUB_REF", "refs/heads/main".to_owned()),
            ("GITHUB_SERVER_URL", "https://git.example.com".to_owned()),
            ("GITHUB_REPOSITORY", "o/r".to_owned()),
            ("GITHUB_RUN_ID", "7".to_owned()),
            ("GITHUB_WORKSPACE", text(&work)),
            ("GITHUB_OUTPUT", text(&left)),
            ("GITHUB_STATE", text(&left)),
            ("RUNNER_TEMP", text(&temp)),
            ("HOME", text(&self.fixture.folder.path().join("home"))),
            ("ACTIONS_RESULTS_URL", self.fixture.url("/")),
            ("ACTIONS_RUNTIME_TOKEN", self.token.clone()),
        ] {
            variables.push((name.to_owned(), value));
        }
        let command = command.to_owned();
        let done = tokio::task::spawn_blocking(move || {
            let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            slipway_actions::run(&command, &Environment::new(variables, &work))
        });
        done.await.unwrap().map_err(|failure| failure.to_string())?;
        let text = std::fs::read_to_string(left).unwrap();
        let mut lines = text.lines();
        let mut outputs = BTreeMap::new();
        while let Some((name, _)) = lines.next().and_then(|line| line.split_once("<<")) {
            outputs.insert(name.to_owned(), lines.next().unwrap().to_owned());
            lines.next();
        }
        Ok(outputs)
    }

    async fn client(&self, half: &str) -> serde_json::Value {
        run_with(self.fixture, CLIENTS, "halves.mjs", half, &self.token, true).await["done"].clone()
    }

    /// Files of some size, with a mode, a link, and something beside the workspace.
    fn fill(&self) {
        let work = self.work();
        std::fs::create_dir_all(work.join("data/deep")).unwrap();
        // Larger than some blocks, and nothing that compresses well.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(40 << 20)
        .collect();
        std::fs::write(work.join("data/blob"), noise).unwrap();
        std::fs::write(work.join("data/deep/größe"), "a text\n".repeat(1_000)).unwrap();
        std::fs::write(work.join("data/empty"), "").unwrap();
        std::fs::set_permissions(work.join("data/empty"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("deep/größe", work.join("data/link")).unwrap();
        let beside = self.fixture.folder.path().join("home/.tool");
        std::fs::create_dir_all(&beside).unwrap();
        std::fs::write(beside.join("x"), "beside").unwrap();
    }

    /// Moves what [`Self::fill`] made out of the way.
    fn put_aside(&self) {
        std::fs::rename(self.work().join("data"), self.fixture.folder.path().join("kept")).unwrap();
        std::fs::remove_dir_all(self.fixture.folder.path().join("home")).unwrap();
    }

    /// Removes what was restored.
    fn remove(&self) {
        std::fs::remove_dir_all(self.work().join("data")).unwrap();
        std::fs::remove_dir_all(self.fixture.folder.path().join("home")).unwrap();
    }

    /// Whether a folder has the files of [`Self::fill`].
    fn has_files(&self, folder: &Path) {
        let kept = self.fixture.folder.path().join("kept");
        for name in ["blob", "deep/größe", "empty"] {
            assert!(
                std::fs::read(kept.join(name)).unwrap() == std::fs::read(folder.join(name)).unwrap(),
                "{name}"
            );
        }
    }

    fn is_restored(&self) {
        let data = self.work().join("data");
        self.has_files(&data);
        assert_eq!(std::fs::read_link(data.join("link")).unwrap(), Path::new("deep/größe"));
        assert_eq!(std::fs::metadata(data.join("empty")).unwrap().permissions().mode() & 0o777, 0o755);
        let beside = self.fixture.folder.path().join("home/.tool/x");
        assert_eq!(std::fs::read_to_string(beside).unwrap(), "beside");
    }
}

const PATHS: (&str, &str) = ("path", "data\n~/.tool");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_are_restored_by_either() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let side = Side { fixture: &fixture, token };
    side.fill();
    for half in ["cache-save", "cache-save-gzip"] {
        assert!(side.client(half).await.as_i64().unwrap() > 0, "{half}");
    }
    side.act("cache save", &[PATHS, ("key", "by-us")]).await.unwrap();
    side.put_aside();
    for key in ["by-client", "by-gzip"] {
        let outputs = side.act("cache restore", &[PATHS, ("key", key)]).await.unwrap();
        assert_eq!((outputs["cache-hit"].as_str(), outputs["cache-matched-key"].as_str()), ("true", key));
        side.is_restored();
        side.remove();
    }
    assert_eq!(side.client("cache-restore").await, "by-us");
    side.is_restored();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_is_kept_under_its_key() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let side = Side { fixture: &fixture, token };
    side.fill();
    let none = side.act("cache main", &[PATHS, ("key", "k-1"), ("restore-keys", "k-")]).await.unwrap();
    assert_eq!(none.keys().collect::<Vec<_>>(), ["CACHE_KEY"], "a miss sets no output");
    side.act("cache save", &[PATHS, ("key", "k-1")]).await.unwrap();
    // A second save changes nothing and fails nothing.
    side.act("cache save", &[PATHS, ("key", "k-1")]).await.unwrap();
    side.put_aside();
    let found = side.act("cache main", &[PATHS, ("key", "k-2"), ("restore-keys", "x\nk-")]).await.unwrap();
    assert_eq!((found["cache-hit"].as_str(), found["CACHE_RESULT"].as_str()), ("false", "k-1"));
    side.is_restored();
    side.remove();
    let looked = [PATHS, ("key", "K-1"), ("restore-keys", "k-1"), ("lookup-only", "true")];
    let looked = side.act("cache restore", &looked).await.unwrap();
    assert_eq!(looked["cache-hit"], "true", "as in the original, case does not matter here");
    assert!(!side.work().join("data").exists());
    let missed = [("path", "data"), ("key", "k-1"), ("fail-on-cache-miss", "true")];
    let missed = side.act("cache restore", &missed).await.unwrap_err();
    assert!(missed.ends_with("Exiting as fail-on-cache-miss is set. Input key: k-1"), "{missed}");
    let wrong = side.act("cache restore", &[PATHS, ("key", "a,b")]).await.unwrap_err();
    assert!(wrong.contains("cannot contain commas"), "{wrong}");
    let keyless = side.act("cache restore", &[PATHS]).await.unwrap_err();
    assert_eq!(keyless, "Input required and not supplied: key");
}

const UPLOAD: [(&str, &str); 5] = [
    ("if-no-files-found", "warn"),
    ("compression-level", "6"),
    ("overwrite", "false"),
    ("include-hidden-files", "false"),
    ("archive", "true"),
];
const DOWNLOAD: [(&str, &str); 2] = [("merge-multiple", "false"), ("skip-decompress", "false")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_downloaded_by_either() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let side = Side { fixture: &fixture, token };
    side.fill();
    let upload = |more: &[(&'static str, &'static str)]| [&UPLOAD[..], &[("path", "data")], more].concat();
    let uploaded = side.act("artifact upload", &upload(&[("name", "by-us")])).await.unwrap();
    let id = &uploaded["artifact-id"];
    assert_eq!(uploaded["artifact-digest"].len(), 64);
    let url = format!("https://git.example.com/o/r/actions/runs/7/artifacts/{id}");
    assert_eq!(uploaded["artifact-url"], url);
    side.act("artifact upload", &upload(&[("name", "stored"), ("compression-level", "0")])).await.unwrap();
    let raw = upload(&[("path", "data/blob"), ("archive", "false")]);
    side.act("artifact upload", &raw).await.unwrap();
    let again = side.act("artifact upload", &upload(&[("name", "by-us")])).await.unwrap_err();
    assert!(
        again.starts_with("Failed to CreateArtifact: Received non-retryable error: Failed request: (409)"),
        "{again}"
    );
    side.client("artifact-upload").await;
    side.put_aside();

    assert_eq!(side.client("artifact-download").await, json!([false, false, false]));
    for folder in ["down-by-us", "down-stored"] {
        side.has_files(&side.work().join(folder));
    }
    assert_eq!(std::fs::metadata(side.work().join("down-blob/blob")).unwrap().len(), 40 << 20);

    let download = |more: &[(&'static str, &'static str)]| [&DOWNLOAD[..], more].concat();
    let one = download(&[("name", "by-client"), ("path", "one")]);
    let downloaded = side.act("artifact download", &one).await.unwrap();
    assert_eq!(downloaded["download-path"], side.work().join("one").to_str().unwrap());
    side.has_files(&side.work().join("one/data"));
    side.act("artifact download", &download(&[("path", "all")])).await.unwrap();
    let mut all = names(&side.work().join("all"));
    all.sort();
    assert_eq!(all, ["blob", "by-client", "by-us", "stored"]);
    side.has_files(&side.work().join("all/stored"));
    let merged = download(&[("pattern", "{stored,blob}"), ("merge-multiple", "true"), ("path", "merged")]);
    side.act("artifact download", &merged).await.unwrap();
    side.has_files(&side.work().join("merged"));
    let as_is = download(&[("name", "stored"), ("skip-decompress", "true"), ("path", "as-is")]);
    side.act("artifact download", &as_is).await.unwrap();
    assert_eq!(names(&side.work().join("as-is")), ["stored.zip"]);
    let missing = side.act("artifact download", &download(&[("artifact-ids", "999999")])).await.unwrap_err();
    assert_eq!(missing, "Unable to download artifact(s): None of the provided artifact IDs were found");
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
