//! A coordinator as a process of its own: its memory is its own, and it can be killed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use slipway_tests::program;

/// A running `slipway-coordinator`; it ends with its value.
pub struct Process {
    child: Child,
    /// Address of its HTTP API.
    pub http: String,
    /// Address of its gRPC services.
    pub grpc: String,
    folder: PathBuf,
}

impl Process {
    /// Starts one on this data directory; and how long it took until it was ready.
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// When the program was not built in this profile.
    pub fn start(folder: &Path) -> anyhow::Result<(Self, Duration)> {
        Self::start_with(folder, &[])
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// As [`Process::start`].
    ///
    /// # Panics
    /// As [`Process::start`].
    pub fn start_with(folder: &Path, arguments: &[&str]) -> anyhow::Result<(Self, Duration)> {
        let began = Instant::now();
        let mut child = Command::new(program("slipway-coordinator"))
            .arg("--data-dir")
            .arg(folder)
            .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("it has an output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let took = began.elapsed();
        let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
        let (Some(http), Some(grpc)) = (value("http="), value("grpc=")) else {
            bail!("the coordinator did not start: {:?}", child.wait()?);
        };
        let (http, grpc) = (http.to_owned(), grpc.to_owned());
        Ok((Self { child, http, grpc, folder: folder.to_owned() }, took))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The token in this file of its data directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token(&self, file: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.join(file))?.trim().to_owned())
    }

    /// Memory that it holds now (`VmRSS`) and the most that it ever held (`VmHWM`), in MiB.
    ///
    /// # Errors
    /// When it does not run any more.
    pub fn memory_mib(&self) -> anyhow::Result<(f64, f64)> {
        memory_mib(self.pid())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Memory that a process holds now (`VmRSS`) and the most that it ever held (`VmHWM`), in MiB.
///
/// # Errors
/// When it does not run any more.
pub fn memory_mib(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> anyhow::Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("it runs")?;
        let kibibytes: f64 = line.split_whitespace().next().context("a number")?.parse()?;
        Ok(kibibytes / 1024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// What Linux counts times in for programs, on the architectures that Slipway knows (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time that a process has used, in seconds.
///
/// # Errors
/// When it does not run any more.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may have spaces.
    let fields = stat.rsplit_once(')').context("a process has a name")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
