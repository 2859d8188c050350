//! A coordinator and agents as processes of their own, to be killed and started again on the same data.

use std::path::{Path, PathBuf};
use std::process::Command;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Server, free_port};
use crate::{Checkout, Outcome, RUNNER_IMAGE, get, program, wait_until};

/// `slipway-coordinator` with data and ports of its own, which outlive the process.
pub struct Coordinator {
    data: TempDir,
    http: u16,
    grpc: u16,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    server: Server,
}

impl Coordinator {
    /// Starts one and waits until it is ready.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_with_variables(arguments, &[])
    }

    /// The same with variables of its environment.
    #[must_use]
    pub fn start_with_variables(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let data = tempfile::Builder::new().prefix("slipway-coordinator-").tempdir().unwrap();
        let (http, grpc) = (free_port(), free_port());
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let server = Self::launch(data.path(), http, grpc, &arguments, &variables);
        Self { data, http, grpc, arguments, variables, server }
    }

    fn launch(
        data: &Path,
        http: u16,
        grpc: u16,
        arguments: &[String],
        variables: &[(String, String)],
    ) -> Server {
        let mut command = Command::new(program("slipway-coordinator"));
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.arg("--data-dir").arg(data.join("data")).args(arguments);
        command.args(["--http", &format!("127.0.0.1:{http}"), "--grpc", &format!("127.0.0.1:{grpc}")]);
        let mut server = Server::start(&mut command, &data.join("coordinator.log"));
        server.wait_for_line("ready ");
        server
    }

    /// `kill -9`, and a new process on the same data and ports.
    pub fn kill9_and_restart(&mut self) {
        self.kill9();
        self.start_again();
    }

    /// `kill -9`, and it stays dead.
    pub fn kill9(&mut self) {
        self.server.kill9();
    }

    /// A new process on the same data and ports.
    pub fn start_again(&mut self) {
        let (data, variables) = (self.data.path(), &self.variables);
        self.server = Self::launch(data, self.http, self.grpc, &self.arguments, variables);
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The exit code once it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.server.ended()
    }

    /// Ends it in good order and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.server.stop()
    }

    /// What it said so far, for people.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.data.path().join("coordinator.log")).unwrap_or_default()
    }

    /// What `/readyz` answers; empty while it does not.
    #[must_use]
    pub fn ready(&self) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "5", &self.url("/readyz")]);
        if self.scheme() == "https" {
            command.arg("--cacert").arg(self.ca_file());
        }
        String::from_utf8_lossy(&command.output().unwrap().stdout).trim().to_owned()
    }

    /// The most memory that the process has held so far, in bytes.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.server.peak_memory_bytes()
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// Its HTTP address, with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme(), self.http)
    }

    fn scheme(&self) -> &'static str {
        if self.arguments.iter().any(|argument| argument == "--http-tls") { "https" } else { "http" }
    }

    /// The authority that certifies it: what is the machine's by its variable `SSL_CERT_FILE`, else its own.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        let machine = self.variables.iter().find(|(name, _)| name == "SSL_CERT_FILE");
        machine.map_or_else(|| self.data_dir().join("ca.pem"), |(_, file)| PathBuf::from(file))
    }

    /// Its gRPC address.
    #[must_use]
    pub fn grpc_url(&self) -> String {
        let has_tls = self.arguments.iter().any(|argument| argument.starts_with("--tls-"));
        format!("{}://127.0.0.1:{}", if has_tls { "https" } else { "http" }, self.grpc)
    }

    /// The token of agents.
    #[must_use]
    pub fn agent_token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("agent.token")).unwrap().trim().to_owned()
    }

    /// The token of the API.
    #[must_use]
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("admin.token")).unwrap().trim().to_owned()
    }

    /// The JSON at a path of its API.
    ///
    /// # Panics
    /// When the answer is not 200.
    #[must_use]
    pub fn api(&self, path: &str) -> Value {
        let answer = get(&self.url(path), &self.token());
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.json()
    }

    /// `slipway ARGUMENTS… --server …` as a person of this coordinator.
    #[must_use]
    pub fn slipway(&self, checkout: &Checkout, arguments: &[&str]) -> Command {
        let mut command = checkout.slipway(arguments);
        self.speak_to(&mut command);
        command
    }

    /// Runs the checkout's workflow here, to its end.
    #[must_use]
    pub fn run(&self, checkout: &Checkout) -> Outcome {
        Outcome::of(&mut self.run_command(checkout))
    }

    /// The command of [`Coordinator::run`].
    #[must_use]
    pub fn run_command(&self, checkout: &Checkout) -> Command {
        self.slipway(checkout, &["run", ".github/workflows/ci.yml", "--json"])
    }

    /// The newest run, once there is one.
    #[must_use]
    pub fn newest_run(&self) -> String {
        wait_until("there is a run", || {
            let listing = self.slipway_json(&["runs", "--json"]);
            listing.as_array()?.first()?["run_id"].as_str().map(str::to_owned)
        })
    }

    /// What `slipway show RUN --json` says.
    #[must_use]
    pub fn show(&self, run: &str) -> Value {
        self.slipway_json(&["show", run, "--json"])
    }

    /// The same once the run has finished.
    #[must_use]
    pub fn finished(&self, run: &str) -> Value {
        wait_until("the run has finished", || {
            let shown = self.show(run);
            (shown["state"] == "finished").then_some(shown)
        })
    }

    /// The log lines of a job so far, as `slipway logs RUN` has them.
    #[must_use]
    pub fn logs(&self, run: &str, job: &str) -> Vec<String> {
        let outcome = self.plain(&["logs", run, "--json"]);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        outcome.log(job)
    }

    /// A command without a checkout.
    #[must_use]
    pub fn plain(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(program("slipway"));
        self.speak_to(command.args(arguments));
        Outcome::of(command.current_dir(self.data.path()))
    }

    /// Has a command speak to this coordinator, and trust its authority where there is TLS.
    fn speak_to(&self, command: &mut Command) {
        command.env("SLIPWAY_SERVER", self.url("")).env("SLIPWAY_TOKEN", self.token());
        if self.scheme() == "https" {
            command.env("SLIPWAY_SERVER_CA", self.ca_file());
        }
    }

    fn slipway_json(&self, arguments: &[&str]) -> Value {
        let outcome = self.plain(arguments);
        assert_eq!(outcome.code, 0, "slipway {arguments:?}: {outcome:#?}");
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {outcome:#?}"))
    }
}

/// How an agent differs from the usual one.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Its name.
    pub name: String,
    /// How many jobs it runs at a time.
    pub slots: u32,
    /// More arguments.
    pub arguments: Vec<String>,
    /// Its program; none: as it was built.
    pub program: Option<PathBuf>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
}

impl AgentOptions {
    /// An agent of this name with two slots.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let (arguments, variables) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), slots: 2, arguments, program: None, variables }
    }
}

/// `slipway-agent` with data of its own, which outlive the process.
pub struct Agent {
    data: TempDir,
    options: AgentOptions,
    grpc: String,
    token_file: PathBuf,
    server: Option<Server>,
}

impl Agent {
    /// Starts one and waits until the coordinator lists it as connected.
    #[must_use]
    pub fn start(coordinator: &Coordinator, options: AgentOptions) -> Self {
        Self::start_among(&[coordinator], options)
    }

    /// The same with another token than the one that all agents share.
    #[must_use]
    pub fn start_with_token(coordinator: &Coordinator, options: AgentOptions, token_file: PathBuf) -> Self {
        let data = tempfile::Builder::new().prefix("slipway-agent-").tempdir().unwrap();
        let mut agent = Self { data, options, grpc: coordinator.grpc_url(), token_file, server: None };
        agent.start_again();
        agent.wait_until_listed(coordinator);
        agent
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// What it said so far, for people.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.data.path().join("agent.log")).unwrap_or_default()
    }

    /// The same with several coordinators that share a journal.
    #[must_use]
    pub fn start_among(coordinators: &[&Coordinator], options: AgentOptions) -> Self {
        let coordinator = coordinators.first().expect("there is a coordinator");
        let data = tempfile::Builder::new().prefix("slipway-agent-").tempdir().unwrap();
        let grpc: Vec<String> = coordinators.iter().map(|coordinator| coordinator.grpc_url()).collect();
        let grpc = grpc.join(",");
        let token_file = coordinator.data_dir().join("agent.token");
        let mut agent = Self { data, options, grpc, token_file, server: None };
        agent.start_again();
        agent.wait_until_listed(coordinator);
        agent
    }

    /// Starts the process on its data.
    pub fn start_again(&mut self) {
        let program = self.options.program.clone().unwrap_or_else(|| program("slipway-agent"));
        let mut command = Command::new(program);
        command.envs(self.options.variables.iter().map(|(name, value)| (name, value)));
        command.args(["--server", &self.grpc]).arg("--token-file").arg(&self.token_file);
        command.arg("--data-dir").arg(self.data.path().join("data"));
        command.args(["--name", &self.options.name, "--slots", &self.options.slots.to_string()]);
        // Jobs of other labels, too: the image that an agent has by default is not made for tests.
        command.args(["--image", &format!("ubuntu-latest={RUNNER_IMAGE}"), "--default-image", RUNNER_IMAGE]);
        command.args(&self.options.arguments);
        self.server = Some(Server::start(&mut command, &self.data.path().join("agent.log")));
    }

    fn wait_until_listed(&self, coordinator: &Coordinator) {
        wait_until("the agent is listed", || {
            let agents = coordinator.slipway_json(&["agents", "--json"]);
            agents.as_array()?.iter().find(|agent| agent["name"] == self.options.name.as_str()).map(drop)
        });
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill9(&mut self) {
        self.server.take().expect("the agent runs").kill9();
    }

    /// SIGTERM, and its exit code once it has ended.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) -> Option<i32> {
        self.server.take().expect("the agent runs").stop()
    }

    /// Sends its process a signal, once it listens for it: before that one ends it, or is lost.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid();
        wait_until("the agent listens for signals", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught >> (signal.as_raw() - 1) & 1 == 1).then_some(())
        });
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the agent runs").pid()
    }

    /// The exit code once it has ended by itself.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(&mut self) -> Option<i32> {
        self.server.take().expect("the agent runs").ended()
    }

    /// What the engine has of it: containers and networks, by their ids.
    #[must_use]
    pub fn in_the_engine(&self) -> Vec<String> {
        let id = std::fs::read_to_string(self.data_dir().join("agent.id")).unwrap();
        let filter = format!("label=slipway.agent={}", id.trim());
        let listed =
            |arguments: &[&str]| crate::docker(&[arguments, &["--quiet", "--filter", &filter]].concat());
        let all = [listed(&["ps", "--all"]), listed(&["network", "ls"])].join("\n");
        all.split_whitespace().map(str::to_owned).collect()
    }

    /// The most memory that the process has held so far, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.server.as_ref().expect("the agent runs").peak_memory_bytes()
    }
}

/// What the agent had from the engine goes with it: nobody will come back for it.
impl Drop for Agent {
    fn drop(&mut self) {
        // Its process first, or it would go on making containers.
        drop(self.server.take());
        remove_agents_containers(&self.data_dir());
    }
}

/// Removes what the agent with this data directory has from the engine. Best effort.
pub fn remove_agents_containers(data_dir: &Path) {
    let Ok(id) = std::fs::read_to_string(data_dir.join("agent.id")) else { return };
    let filter = format!("label=slipway.agent={}", id.trim());
    remove_all(&["ps", "--all", "--quiet", "--filter", &filter], &["rm", "--force", "--volumes"]);
    remove_all(&["volume", "ls", "--quiet", "--filter", &filter], &["volume", "rm", "--force"]);
    remove_all(&["network", "ls", "--quiet", "--filter", &filter], &["network", "rm"]);
}

/// Removes what `list` lists. Best effort: it runs while a failing test unwinds, too.
fn remove_all(list: &[&str], remove: &[&str]) {
    let Ok(listed) = Command::new("docker").args(list).output() else { return };
    let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if !ids.is_empty() {
        let _ = Command::new("docker").args(remove).args(ids).output();
    }
}
