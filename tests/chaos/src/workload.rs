//! The jobs of a campaign: each writes down in a volume what it really did, and prints numbered lines.

use serde_json::{Value, json};
use slipway_tests::{RUNNER_IMAGE, docker};

/// Lines that a job prints.
pub(crate) const LINES: usize = 1_000;
/// They come in so many blocks, with a pause after each.
const BLOCKS: usize = 20;
/// The pauses of a short job, which is over in some three seconds.
const SHORT_PAUSE_SECONDS: &str = "0.15";
/// Those of a long one. It lasts longer than a lease and the margin after it: only so can a second attempt begin while the first
/// goes on, where nothing prevents that.
const LONG_PAUSE_SECONDS: &str = "0.9";

/// Jobs of one run: their ids, and how many instances each has.
pub(crate) const JOBS: [(&str, usize); 3] = [("ordinary", 2), ("strict", 1), ("after", 1)];

/// The job that must never run twice at a time, nor again after it began.
pub(crate) const STRICT: &str = "strict";

/// A volume of the engine that all jobs write into.
pub(crate) struct Executions {
    name: String,
    folder: std::path::PathBuf,
}

/// One line that a job wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `begin`, `end` or `overlap`.
    pub(crate) what: String,
    /// Run, job and number.
    pub(crate) key: String,
    /// The container.
    pub(crate) container: String,
}

impl Executions {
    pub(crate) fn new() -> Self {
        let name = docker(&["volume", "create"]);
        let folder = docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &name]).into();
        let made = Self { name, folder };
        // Whoever the jobs' user is may write.
        made.sh("mkdir /executions/locks && chmod --recursive 0777 /executions");
        made
    }

    fn sh(&self, script: &str) {
        let mount = format!("{}:/executions", self.name);
        docker(&["run", "--rm", "--user", "0", "--volume", &mount, RUNNER_IMAGE, "sh", "-c", script]);
    }

    /// All that was written down so far.
    pub(crate) fn read(&self) -> Vec<Entry> {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let entry = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some(Entry { what: words.next()?, key: words.next()?, container: words.next()? })
        };
        text.lines().filter_map(entry).collect()
    }

    /// A run to submit.
    pub(crate) fn submission(&self) -> Value {
        json!({
            "workflow_file": ".github/workflows/chaos.yml",
            "workflow": workflow(&self.name),
            "event_name": "push",
            "repository": "slipway/chaos",
            "git_ref": "refs/heads/main",
            "actor": "chaos",
        })
    }
}

impl Drop for Executions {
    fn drop(&mut self) {
        // A container that is just going may still hold it; then it stays.
        let _ = std::process::Command::new("docker").args(["volume", "rm", "--force", &self.name]).output();
    }
}

fn workflow(volume: &str) -> String {
    let block = LINES / BLOCKS;
    let job = |more: &str, number: &str, pause: &str| {
        format!(
            r#"
    runs-on: ubuntu-latest
    {more}
    container:
      image: {RUNNER_IMAGE}
      volumes: ["{volume}:/executions"]
    steps:
      - shell: bash
        run: |
          key="$GITHUB_RUN_ID/$GITHUB_JOB/{number}"
          # A lock that ends with its process, whatever ends that.
          exec 9>>"/executions/locks/${{key//\//-}}"
          flock --nonblock 9 || echo "overlap $key $HOSTNAME" >> /executions/log
          echo "begin $key $HOSTNAME" >> /executions/log
          echo "in $HOSTNAME as $key"
          for block in $(seq 0 {last}); do
            seq $((block * {block} + 1)) $((block * {block} + {block}))
            sleep {pause}
          done
          echo "end $key $HOSTNAME" >> /executions/log
"#,
            last = BLOCKS - 1
        )
    };
    let ordinary = format!(
        "strategy: {{ matrix: {{ include: [{{ number: 1, pause: {SHORT_PAUSE_SECONDS} }}, {{ number: 2, pause: {LONG_PAUSE_SECONDS} }}] }} }}"
    );
    format!(
        "on: push\njobs:\n  ordinary:{}\n  strict:{}\n  after:{}",
        job(&ordinary, "${{ matrix.number }}", "${{ matrix.pause }}"),
        job("environment: production", "1", LONG_PAUSE_SECONDS),
        job("needs: [ordinary, strict]\n    if: always()", "1", SHORT_PAUSE_SECONDS),
    )
}
