//! A coordinator as a process, and the commands that talk to it. Without agents: no container engine is needed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

use super::{Done, Place, finish};

/// `slipway up` without agents, which ends with its value.
pub struct Up {
    pub child: Child,
    pub stdout: BufReader<ChildStdout>,
    pub http: String,
    pub place: Place,
    /// Its ready line.
    pub line: String,
}

impl Up {
    pub fn start() -> Self {
        Self::start_at(Place::new())
    }

    /// The same in a place that may have a configuration file.
    pub fn start_at(place: Place) -> Self {
        let mut command =
            place.command(&["up", "--agents", "0", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
        if place.path().join("slipway.toml").exists() {
            command.args(["--config", "slipway.toml"]);
        }
        command.args(["--data-dir", "data"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let http =
            line.split(' ').find_map(|word| word.strip_prefix("http=")).expect("a ready line").to_owned();
        Up { child, stdout, http, place, line }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("SLIPWAY_SERVER", &self.http).env("SLIPWAY_DATA_DIR", self.place.path().join("data"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }

    pub fn json(&self, arguments: &[&str]) -> Json {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{done:?}");
        serde_json::from_str(&done.out).unwrap()
    }

    /// Asks until it is so; a limit against hanging is the test runner's.
    pub fn until(&self, arguments: &[&str], is: impl Fn(&Json) -> bool) -> Json {
        loop {
            let answer = self.json(arguments);
            if is(&answer) {
                return answer;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
