//! The machine's `git`, in a folder of the agent's own.
//!
//! Neither the machine's git configuration nor a repository can make git run anything: no system or user
//! configuration, no hooks, no prompts, no `ext::` transport, no submodule of this machine's files.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Longest line of git's that is shown.
const LINE_MAX_BYTES: u64 = 4096;

/// Most that is read of git's output: a listing of the largest tree that is taken.
const OUTPUT_MAX_BYTES: u64 = 128 * 1024 * 1024;

/// Why git did not do it, with its own words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// The repository has no such ref or commit.
    #[error("{0}")]
    NoRef(String),
    /// The server has no such repository, or shows it to nobody without a name and password.
    #[error("{0}")]
    NoRepository(String),
    /// No space left on this machine.
    #[error("{0}")]
    DiskFull(String),
    /// The server, the network or git itself failed: it may go better later.
    #[error("{0}")]
    Failed(String),
}

/// What a server wants to know before it answers. It goes to git through its environment, where no other user sees it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// `https://host/`: nobody else gets it.
    server: String,
    header: String,
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Authorization {
    /// A forge's token for the server of this address, as `actions/checkout` gives it. None for an address without one.
    pub(crate) fn of_token(url: &str, token: &str) -> Option<Self> {
        use base64::Engine as _;
        let (scheme, rest) =
            url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
        let host = rest.split('/').next().filter(|host| !host.is_empty())?;
        // It becomes part of git's configuration.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if !host.bytes().all(plain) || token.chars().any(char::is_control) {
            return None;
        }
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        Some(Self { server: format!("{scheme}://{host}/"), header: format!("AUTHORIZATION: basic {basic}") })
    }

    /// The server that it is for, with a slash at its end.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The key of git's configuration.
    pub(crate) fn key(&self) -> String {
        format!("http.{}.extraheader", self.server)
    }

    /// Its value.
    pub(crate) fn value(&self) -> &str {
        &self.header
    }
}

/// A git command in `folder`.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "gc.auto=0"])
        .args(["-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_OBJECT_DIRECTORY")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs git; `say` gets the lines it writes while it works.
pub(crate) async fn run(
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), GitError> {
    run_as(None, folder, arguments, say).await
}

/// The same, for a server that wants to know more.
pub(crate) async fn run_as(
    authorization: Option<&Authorization>,
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), GitError> {
    let mut command = command(folder, arguments);
    if let Some(authorization) = authorization {
        command.env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", authorization.key()).env("GIT_CONFIG_VALUE_0", authorization.value());
    }
    let mut child = start(command.stdout(Stdio::null()))?;
    let said = words(&mut child, say).await;
    ended(child, arguments, said).await
}

/// Runs git and gives what it prints.
pub(crate) async fn output(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
    let mut child = start(command(folder, arguments).stdout(Stdio::piped()))?;
    let stdout = child.stdout.take();
    let mut ignore = |_: String| {};
    let (printed, said) = tokio::join!(
        async {
            let mut printed = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(OUTPUT_MAX_BYTES).read_to_end(&mut printed).await?;
            }
            std::io::Result::Ok(printed)
        },
        words(&mut child, &mut ignore)
    );
    ended(child, arguments, said).await?;
    printed.map_err(|error| GitError::Failed(format!("git's output cannot be read: {error}")))
}

fn start(command: &mut Command) -> Result<Child, GitError> {
    command.stderr(Stdio::piped()).spawn().map_err(|error| unusable(&error))
}

fn unusable(error: &std::io::Error) -> GitError {
    GitError::Failed(format!("the agent's machine has no usable `git` ({error}): install it"))
}

/// What git said of a failure.
#[derive(Default)]
struct Said {
    last: String,
    no_ref: bool,
    no_repository: bool,
}

/// Reads git's words until it has closed its standard error.
async fn words(child: &mut Child, say: &mut (dyn FnMut(String) + Send)) -> Said {
    let mut said = Said::default();
    let Some(stderr) = child.stderr.take() else { return said };
    let mut lines = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut lines).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return said,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let has = |words: &[&str]| words.iter().any(|words| line.contains(words));
        said.no_ref |= has(&["couldn't find remote ref", "not our ref", "did not match any"]);
        // Forges ask for a password where there is nothing, so as not to tell what is private.
        said.no_repository |= line.starts_with("fatal: repository") && line.contains("not found")
            || has(&[
                "does not appear to be a git repository",
                "could not read Username",
                "Repository not found",
            ]);
        if !line.is_empty() {
            say(line.clone());
            // What follows the reason is advice.
            if !said.last.starts_with("fatal:") {
                said.last = line;
            }
        }
    }
}

async fn ended(mut child: Child, arguments: &[&str], said: Said) -> Result<(), GitError> {
    let status = child.wait().await.map_err(|error| unusable(&error))?;
    if status.success() {
        return Ok(());
    }
    // What follows `-c` is a setting.
    let mut words =
        arguments.iter().copied().skip_while(|argument| argument.starts_with('-') || argument.contains('='));
    let what = words.next().unwrap_or_default();
    let text = format!("git {what} failed: {}", said.last);
    Err(if said.no_ref {
        GitError::NoRef(text)
    } else if said.last.contains("No space left on device") {
        GitError::DiskFull(text)
    } else if said.no_repository {
        GitError::NoRepository(text)
    } else {
        GitError::Failed(text)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Authorization;

    #[test]
    fn a_token_is_for_its_server_alone() {
        let authorization = Authorization::of_token("https://git.example:8443/o/r.git", "t").unwrap();
        assert_eq!(authorization.key(), "http.https://git.example:8443/.extraheader");
        assert_eq!(authorization.value(), "AUTHORIZATION: basic eC1hY2Nlc3MtdG9rZW46dA==");
        assert!(!format!("{authorization:?}").contains("basic"));
        for (url, token) in [
            ("file:///o/r", "t"),
            ("ssh://h/o", "t"),
            ("https://a\"b/o", "t"),
            ("https://u@h/o", "t"),
            ("https://h/o", "a\nb"),
        ] {
            assert!(Authorization::of_token(url, token).is_none(), "{url}");
        }
    }
}
