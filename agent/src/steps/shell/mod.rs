//! From `shell:` and a script to the command line that runs it.
//!
//! The templates are those of GitHub's runner (`ScriptHandlerHelpers`), and a template's arguments are split as its
//! runtime splits them (the Windows rules: only `"` groups, a backslash escapes only before `"`), because custom
//! templates were written against exactly that. The script's bytes are those of the workflow: UTF-8 without a byte
//! order mark, line ends untouched.
//!
//! It does not look for programs: a launch names a fallback, and whoever starts it knows what the image has.

use thiserror::Error;

/// Longest command line in bytes, so that a template cannot multiply the script's path without end.
pub const MAX_COMMAND_LINE_BYTES: usize = 64 * 1024;

/// Where the step's process runs, which decides the shell when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Semantics {
    /// A job without `container:`: `bash -e {0}`, or `sh -e {0}` in an image without bash.
    Host,
    /// A job with `container:`: `sh -e {0}`, even where the image has bash.
    Container,
}

/// How to run a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program (looked up in the step's `PATH`) and its arguments; never empty.
    pub argv: Vec<String>,
    /// What to run instead if `argv`'s program does not exist.
    pub fallback: Option<Vec<String>>,
    /// The program and its template, for the log: `bash -e {0}`.
    pub display: String,
    /// Where to write [`Launch::script`]; the directory and stem that were asked for, and the shell's extension.
    pub script_path: String,
    /// The script file's bytes.
    pub script: Vec<u8>,
}

/// Why there is no command line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShellError {
    /// The text is GitHub's.
    #[error(
        "Invalid shell option. Shell must be a valid built-in (bash, sh, cmd, powershell, pwsh) or a format string \
         containing '{{0}}'"
    )]
    NoPlaceholder,
    /// A shell of Windows.
    #[error(
        "Shell '{0}' exists only on Windows and this job runs on Linux. Use 'bash', 'sh', 'python' or 'pwsh'"
    )]
    WindowsOnly(String),
    /// Something in braces that is not `{0}`.
    #[error(
        "Invalid shell option '{0}'. Only '{{0}}' may stand in braces; write '{{{{' and '}}}}' for literal braces"
    )]
    Format(String),
    /// The template makes too long a command line.
    #[error("Invalid shell option. The command line is longer than {MAX_COMMAND_LINE_BYTES} bytes")]
    TooLong,
    /// A NUL cannot be passed to a program.
    #[error("Invalid shell option. It holds a NUL character")]
    Nul,
}

/// Resolves a step's shell (`None` or empty: none is named, neither in the step nor in `defaults.run`).
///
/// `script_stem` is the script file's path without an extension, as the step's process sees it.
///
/// # Errors
/// [`ShellError`], whose text is for the step's log.
pub fn launch(
    shell: Option<&str>,
    semantics: Semantics,
    script: &str,
    script_stem: &str,
) -> Result<Launch, ShellError> {
    let Some(shell) = shell.filter(|shell| !shell.is_empty()) else {
        return unspecified(semantics, script, script_stem);
    };
    let (program, arguments) = shell.split_once(' ').unwrap_or((shell, ""));
    if ["cmd", "powershell"].iter().any(|name| program.eq_ignore_ascii_case(name)) {
        return Err(ShellError::WindowsOnly(program.to_owned()));
    }
    let known = Known::find(program);
    let mut template = arguments.trim_start();
    if template.is_empty() {
        template = known.map(Known::template).unwrap_or_default();
    }
    if !template.contains("{0}") {
        return Err(ShellError::NoPlaceholder);
    }
    let script_path = format!("{script_stem}{}", known.map(Known::extension).unwrap_or_default());
    // GitHub compares this one name with case.
    let script = if program == "pwsh" { pwsh_script(script) } else { script.to_owned() };
    Ok(Launch {
        argv: command_line(program, template, &script_path)?,
        fallback: None,
        display: format!("{program} {template}"),
        script_path,
        script: script.into_bytes(),
    })
}

fn unspecified(semantics: Semantics, script: &str, script_stem: &str) -> Result<Launch, ShellError> {
    let template = Known::Sh.template();
    let script_path = format!("{script_stem}{}", Known::Sh.extension());
    let sh = command_line("sh", template, &script_path)?;
    let (program, argv, fallback) = match semantics {
        Semantics::Host => ("bash", command_line("bash", template, &script_path)?, Some(sh)),
        Semantics::Container => ("sh", sh, None),
    };
    Ok(Launch {
        argv,
        fallback,
        display: format!("{program} {template}"),
        script_path,
        script: script.as_bytes().to_vec(),
    })
}

/// The shells with a template of their own.
#[derive(Debug, Clone, Copy)]
enum Known {
    Bash,
    Sh,
    Pwsh,
    Python,
}

impl Known {
    fn find(program: &str) -> Option<Self> {
        [("bash", Self::Bash), ("sh", Self::Sh), ("pwsh", Self::Pwsh), ("python", Self::Python)]
            .into_iter()
            .find(|(name, _)| program.eq_ignore_ascii_case(name))
            .map(|(_, known)| known)
    }

    fn template(self) -> &'static str {
        match self {
            Self::Bash => "--noprofile --norc -e -o pipefail {0}",
            Self::Sh => "-e {0}",
            Self::Pwsh => "-command \". '{0}'\"",
            Self::Python => "{0}",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Bash | Self::Sh => ".sh",
            Self::Pwsh => ".ps1",
            Self::Python => ".py",
        }
    }
}

/// Makes PowerShell stop at the first error and exit with the last program's code.
fn pwsh_script(script: &str) -> String {
    format!(
        "$ErrorActionPreference = 'stop'\n{script}\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) {{ exit $LASTEXITCODE }}"
    )
}

fn command_line(program: &str, template: &str, script_path: &str) -> Result<Vec<String>, ShellError> {
    let line = fill(template, &script_path.replace('"', "\\\""))?;
    if program.contains('\0') || line.contains('\0') {
        return Err(ShellError::Nul);
    }
    let mut argv = vec![program.to_owned()];
    argv.extend(split_arguments(&line));
    Ok(argv)
}

/// `String.Format` with one argument: `{0}` is replaced, doubled braces are literal, other braces are errors.
fn fill(template: &str, path: &str) -> Result<String, ShellError> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        filled.push_str(before);
        if let Some(after) = brace.strip_prefix("{{") {
            filled.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            filled.push('}');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("{0}") {
            filled.push_str(path);
            rest = after;
        } else {
            return Err(ShellError::Format(template.to_owned()));
        }
        if filled.len() > MAX_COMMAND_LINE_BYTES {
            return Err(ShellError::TooLong);
        }
    }
    filled.push_str(rest);
    if filled.len() > MAX_COMMAND_LINE_BYTES {
        return Err(ShellError::TooLong);
    }
    Ok(filled)
}

/// Splits a command line as .NET's `Process` does on every platform (`ParseArgumentsIntoList`).
fn split_arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut rest = line.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let (argument, after) = next_argument(rest);
        arguments.push(argument);
        rest = after.trim_start_matches([' ', '\t']);
    }
    arguments
}

fn next_argument(line: &str) -> (String, &str) {
    let mut argument = String::new();
    let mut quoted = false;
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let after = rest.get(next.len_utf8()..).unwrap_or_default();
        match next {
            '\\' => {
                let tail = rest.trim_start_matches('\\');
                let count = rest.len() - tail.len();
                rest = tail;
                if tail.starts_with('"') {
                    argument.extend(std::iter::repeat_n('\\', count / 2));
                    if count % 2 == 1 {
                        argument.push('"');
                        rest = tail.get(1..).unwrap_or_default();
                    }
                } else {
                    argument.extend(std::iter::repeat_n('\\', count));
                }
            }
            '"' if quoted && after.starts_with('"') => {
                argument.push('"');
                rest = after.get(1..).unwrap_or_default();
            }
            '"' => {
                quoted = !quoted;
                rest = after;
            }
            ' ' | '\t' if !quoted => return (argument, rest),
            other => {
                argument.push(other);
                rest = after;
            }
        }
    }
    (argument, rest)
}

#[cfg(test)]
mod tests;
