//! Programs under test as child processes: where they are, ending them, waiting for what they do.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long [`wait_until`] looks at most. A limit against hanging, not an expectation of speed.
const PATIENCE: Duration = Duration::from_secs(150);

/// The path of a program of this workspace, as `scripts/prepare-tests.sh` built it.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("SLIPWAY_BIN_DIR").map_or_else(beside_this_test, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// `target/debug`, from `target/debug/deps/this-test` or `target/debug/this-program`.
fn beside_this_test() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().unwrap();
    if folder.ends_with("deps") { folder.parent().unwrap().to_owned() } else { folder.to_owned() }
}

/// Looks again and again until `look` finds something.
///
/// # Panics
/// When it found nothing for [`PATIENCE`]; `what` says what was waited for.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs `docker` with these arguments and gives back what it printed, without the last line break.
///
/// # Panics
/// When it fails.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "docker {arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A port of the loopback that was free a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A child that is killed when dropped. Its errors go to a file beside its data, for whoever reads a failed test.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    errors: PathBuf,
}

impl Server {
    /// Starts it; its errors are added to the file `errors`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, errors: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(errors).unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .expect("a built program starts");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, errors: errors.to_owned() }
    }

    /// Waits for a line on its output that starts so, and returns it.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for_line(&mut self, start: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(_) => {}
                Err(_) => panic!(
                    "the program said no line starting with `{start}`; its errors:\n{}",
                    std::fs::read_to_string(&self.errors).unwrap_or_default()
                ),
            }
        }
    }

    /// `kill -9`: no chance to tidy up or to say good-bye.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs still.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The exit code once it has ended by itself.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(&mut self) -> Option<i32> {
        wait_until("the program ends by itself", || self.child.try_wait().unwrap()).code()
    }

    /// SIGTERM, and the exit code once it has ended.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.child.wait().unwrap().code()
    }

    /// The most memory it has held so far, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
