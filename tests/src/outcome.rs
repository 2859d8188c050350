//! What a command did: its exit code, what it printed, and the objects of `run --json`.

use std::process::Command;

use serde_json::Value;

/// The end of one `slipway` command.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub code: i32,
    /// What it printed for programs.
    pub stdout: String,
    /// What it printed for people.
    pub stderr: String,
}

impl Outcome {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it was ended by a signal, or reported a panic.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let outcome = Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!outcome.stderr.contains("panicked at"), "a panic: {outcome:#?}");
        outcome
    }

    /// Everything it printed as JSON, one object a line.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("`{line}` is no JSON: {e}"));
        self.stdout.lines().map(parse).collect()
    }

    fn of_type(&self, kind: &str) -> Vec<Value> {
        self.objects().into_iter().filter(|object| object["type"] == kind).collect()
    }

    /// The result of the run, from its last line.
    ///
    /// # Panics
    /// When the last line is not that of the run.
    #[must_use]
    pub fn run_result(&self) -> String {
        let last = self.objects().pop().unwrap_or_else(|| panic!("it printed nothing: {self:#?}"));
        assert_eq!(last["type"], "run", "the run's own line comes last: {self:#?}");
        assert!(last["run"].is_string(), "it names the run: {last}");
        text(&last["result"])
    }

    /// (name, result) of each instance of this job, sorted.
    #[must_use]
    pub fn job(&self, id: &str) -> Vec<(String, String)> {
        let mut found: Vec<_> = self
            .of_type("job")
            .iter()
            .filter(|job| job["job"] == id)
            .map(|job| (text(&job["name"]), text(&job["result"])))
            .collect();
        found.sort();
        found
    }

    /// The result of a job that has one instance.
    ///
    /// # Panics
    /// When it has none or several.
    #[must_use]
    pub fn job_result(&self, id: &str) -> String {
        match self.job(id).as_slice() {
            [(_, result)] => result.clone(),
            other => panic!("one line for the job {id} was expected, not {other:?}: {self:#?}"),
        }
    }

    /// The `job` object of a job that has one instance.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn job_object(&self, id: &str) -> Value {
        let found = self.of_type("job").into_iter().find(|job| job["job"] == id);
        found.unwrap_or_else(|| panic!("no line for the job {id}: {self:#?}"))
    }

    /// (outcome, conclusion) of a step of a job, by its id or name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn step(&self, job: &str, step: &str) -> (String, String) {
        let steps = self.of_type("step");
        let found = steps.iter().find(|object| object["job"] == job && object["step"] == step);
        let object = found.unwrap_or_else(|| panic!("no line for the step {step} of {job}: {self:#?}"));
        (text(&object["outcome"]), text(&object["conclusion"]))
    }

    /// The log lines of a job, in order, of all its instances.
    #[must_use]
    pub fn log(&self, job: &str) -> Vec<String> {
        let lines = self.of_type("log");
        lines.iter().filter(|object| object["job"] == job).map(|object| text(&object["line"])).collect()
    }

    /// Fails the test unless it ended so.
    ///
    /// # Panics
    /// When the exit code or the run's result is another.
    pub fn expect(&self, code: i32, result: &str) {
        assert_eq!((self.code, self.run_result().as_str()), (code, result), "{self:#?}");
    }

    /// Fails the test unless its message is one clear message with these parts.
    ///
    /// # Panics
    /// When the exit code is another, a part is missing or the message rambles.
    pub fn expect_refusal(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing: {self:#?}");
        }
        assert!(!self.stderr.contains("RUST_BACKTRACE"), "no stack trace: {self:#?}");
        assert!(self.stderr.lines().count() <= 12, "one clear message: {self:#?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
