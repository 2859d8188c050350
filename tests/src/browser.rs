//! A real browser (Debian's Chromium), driven by `tests/browser/drive.mjs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A browser with one page. It is gone when dropped.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// When `scripts/prepare-tests.sh` did not say where its packages are, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let packages =
            std::env::var("SLIPWAY_BROWSER_PACKAGES").expect("scripts/prepare-tests.sh says where they are");
        // Where it is not a package of the distribution's, as on Ubuntu.
        let chromium = std::env::var("SLIPWAY_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/drive.mjs");
        let mut child = Command::new("node")
            .arg(driver)
            .args([format!("{packages}/node_modules"), chromium])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn command(&mut self, command: &str, mut given: Value) -> Value {
        given["command"] = json!(command);
        writeln!(self.input, "{given}").expect("the browser runs");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the browser answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{given}: `{line}` ({e})"));
        match answer.get("failed") {
            Some(why) => panic!("{given}: {why}\n{}", self.text()),
            None => answer["done"].clone(),
        }
    }

    /// What a person sees now; for messages of tests.
    fn text(&mut self) -> String {
        let ask = json!({"command": "ask", "expression": "location.href + '\\n' + document.body.innerText"});
        let mut line = String::new();
        let asked = writeln!(self.input, "{ask}").and_then(|()| self.output.read_line(&mut line));
        if asked.is_ok() { line } else { String::new() }
    }

    /// Opens an address; a path is one of the address opened before. Gives the status.
    pub fn open(&mut self, url: &str) -> u64 {
        self.command("open", json!({ "url": url }))["status"].as_u64().unwrap_or_default()
    }

    /// Makes it as wide, and prefers `light` or `dark`.
    pub fn look(&mut self, scheme: &str, width: u32) {
        self.command("look", json!({"scheme": scheme, "width": width}));
    }

    /// Writes into a field.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.command("fill", json!({"selector": selector, "text": text}));
    }

    /// Presses on an element with the mouse.
    pub fn click(&mut self, selector: &str) {
        self.command("click", json!({ "selector": selector }));
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &[&str]) {
        self.command("press", json!({ "keys": keys }));
    }

    /// Waits until an expression of the page holds.
    pub fn wait(&mut self, expression: &str) {
        self.command("wait", json!({ "expression": expression }));
    }

    /// Waits until the page has this text.
    pub fn wait_text(&mut self, text: &str) {
        self.wait(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// What an expression of the page is.
    pub fn ask(&mut self, expression: &str) -> Value {
        self.command("ask", json!({ "expression": expression }))
    }

    /// What axe finds wrong with the page as it is.
    pub fn axe(&mut self) -> Vec<Value> {
        self.command("axe", json!({})).as_array().cloned().unwrap_or_default()
    }

    /// Whether failed requests are no trouble from now on: the coordinator is away.
    pub fn expect_failures(&mut self, failures: bool) {
        self.command("expect", json!({ "failures": failures }));
    }

    /// Errors on the console, violations of the content security policy, dialogs, requests to other hosts since the last time.
    pub fn troubles(&mut self) -> Vec<Value> {
        self.command("troubles", json!({})).as_array().cloned().unwrap_or_default()
    }

    /// Keeps a picture of the page.
    pub fn screenshot(&mut self, path: &Path, full: bool) {
        self.command("screenshot", json!({"path": path, "full": full}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its browser ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
