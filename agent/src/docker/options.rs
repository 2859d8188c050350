//! `container.options`: the arguments of `docker create` that a workflow may give.
//!
//! GitHub hands them to its Docker command line; here they are read and checked, because some would take the job out of
//! its limits (`--pid host`) or break the link to its init (`--entrypoint`). What is not supported is refused by name.

use bollard::models::HealthConfig;
use thiserror::Error;

/// Options that were understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateOptions {
    /// `--user`
    pub user: Option<String>,
    /// `--env`, as `NAME=value`.
    pub env: Vec<String>,
    /// `--cpus`, in billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// `--memory`, in bytes.
    pub memory_bytes: Option<i64>,
    /// `--pids-limit`
    pub pids: Option<i64>,
    /// `--hostname`
    pub hostname: Option<String>,
    /// `--add-host`, as `name:address`.
    pub add_host: Vec<String>,
    /// `--tmpfs`: path and mount options.
    pub tmpfs: Vec<(String, String)>,
    /// `--shm-size`, in bytes.
    pub shm_size_bytes: Option<i64>,
    /// `--ulimit`: name, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    /// `--cap-add`
    pub cap_add: Vec<String>,
    /// `--cap-drop`
    pub cap_drop: Vec<String>,
    /// `--dns`
    pub dns: Vec<String>,
    /// `--group-add`
    pub group_add: Vec<String>,
    /// `--label`
    pub labels: Vec<(String, String)>,
    /// `--volume`, as `host:container[:mode]`.
    pub volumes: Vec<String>,
    /// `--ipc private|shareable|none`
    pub ipc: Option<String>,
    /// `--privileged`, only where the agent allows it.
    pub privileged: bool,
    /// `--read-only`
    pub read_only: bool,
    /// `--security-opt no-new-privileges`
    pub no_new_privileges: bool,
    /// `--workdir`; for services only: a step has its own.
    pub working_dir: Option<String>,
    /// `--name` and `--network-alias`: names in the job's network. A name on the machine could be taken by another job.
    pub aliases: Vec<String>,
    /// `--health-…`, `--no-healthcheck`
    pub health: Option<HealthConfig>,
}

/// Options that can't be used; the text is for the workflow's author.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// Not supported here.
    #[error("container option `{0}` is not supported")]
    Unsupported(String),
    /// Supported, but this agent's administrator does not allow it.
    #[error("container option `{0}` is not allowed on this agent; its administrator can start it with `{1}`")]
    NotAllowed(String, &'static str),
    /// Its value is missing.
    #[error("container option `{0}` needs a value")]
    NoValue(String),
    /// Its value makes no sense.
    #[error("container option `{option}` has the value `{value}`; expected {expected}")]
    BadValue {
        /// The option.
        option: String,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// A quote has no end.
    #[error("container options have a quote without an end")]
    OpenQuote,
}

/// Capabilities that a job may add without being privileged in effect.
const HARMLESS_CAPABILITIES: [&str; 3] = ["SYS_PTRACE", "NET_RAW", "IPC_LOCK"];

impl CreateOptions {
    /// Reads the options. `privileged` says whether the agent allows `--privileged` and what amounts to it.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub fn parse(text: &str, privileged: bool) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        let mut words = split_words(text)?.into_iter();
        while let Some(word) = words.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) if name.starts_with('-') => (name.to_owned(), Some(value.to_owned())),
                _ => (word.clone(), None),
            };
            match (name.as_str(), inline.as_deref()) {
                ("--privileged", None | Some("true")) => {
                    if !privileged {
                        return Err(OptionsError::NotAllowed(name, "--allow-privileged"));
                    }
                    options.privileged = true;
                }
                ("--read-only", None | Some("true")) => options.read_only = true,
                // Without effect here: every job's container is like that anyway.
                ("--rm" | "--init", None) => {}
                ("--no-healthcheck", None | Some("true")) => {
                    options.health().test = Some(vec!["NONE".to_owned()]);
                }
                _ => {
                    if !TAKES_VALUE.contains(&name.as_str()) {
                        return Err(OptionsError::Unsupported(name));
                    }
                    let value =
                        inline.or_else(|| words.next()).ok_or_else(|| OptionsError::NoValue(name.clone()))?;
                    options.set(&name, value, privileged)?;
                }
            }
        }
        Ok(options)
    }

    fn health(&mut self) -> &mut HealthConfig {
        self.health.get_or_insert_default()
    }

    fn set(&mut self, name: &str, value: String, privileged: bool) -> Result<(), OptionsError> {
        let bad = |value: &str, expected| OptionsError::BadValue {
            option: name.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let not_allowed =
            |value: &str| OptionsError::NotAllowed(format!("{name} {value}"), "--allow-privileged");
        let number_of_bytes =
            |value: &str| bytes(value).ok_or_else(|| bad(value, "a size such as 512m or 2g"));
        match name {
            "--user" | "-u" => self.user = Some(value),
            "--env" | "-e" => {
                // Docker takes a bare name from its own environment; the agent's is nobody's business.
                if !value.contains('=') {
                    return Err(bad(&value, "NAME=value"));
                }
                self.env.push(value);
            }
            "--cpus" => {
                let cpus: f64 = value.parse().map_err(|_| bad(&value, "a number such as 1.5"))?;
                if !(0.01..=1_024.0).contains(&cpus) {
                    return Err(bad(&value, "a number between 0.01 and 1024"));
                }
                self.nano_cpus = Some((cpus * 1e9) as i64);
            }
            "--memory" | "-m" => self.memory_bytes = Some(number_of_bytes(&value)?),
            "--shm-size" => self.shm_size_bytes = Some(number_of_bytes(&value)?),
            "--pids-limit" => {
                let pids: i64 = value.parse().map_err(|_| bad(&value, "a number"))?;
                // -1 asks for no limit: then the agent's stands.
                self.pids = (pids > 0).then_some(pids);
            }
            "--hostname" | "-h" => self.hostname = Some(value),
            "--add-host" => {
                if !value.contains(':') {
                    return Err(bad(&value, "name:address"));
                }
                self.add_host.push(value);
            }
            "--tmpfs" => {
                let (path, mount) = value.split_once(':').unwrap_or((&value, ""));
                if !super::volumes::is_place(path) {
                    return Err(bad(&value, "an absolute path that is not init's"));
                }
                self.tmpfs.push((path.to_owned(), mount.to_owned()));
            }
            "--ulimit" => {
                self.ulimits.push(ulimit(&value).ok_or_else(|| bad(&value, "name=soft[:hard]"))?);
            }
            "--cap-add" => {
                let capability = value.trim_start_matches("CAP_").to_ascii_uppercase();
                if !privileged && !HARMLESS_CAPABILITIES.contains(&capability.as_str()) {
                    return Err(not_allowed(&value));
                }
                self.cap_add.push(capability);
            }
            "--cap-drop" => self.cap_drop.push(value),
            "--dns" => self.dns.push(value),
            "--group-add" => self.group_add.push(value),
            "--label" | "-l" => {
                let (name, value) = value.split_once('=').unwrap_or((&value, ""));
                if name.starts_with("slipway.") {
                    return Err(bad(name, "a label that does not start with `slipway.`"));
                }
                self.labels.push((name.to_owned(), value.to_owned()));
            }
            "--workdir" | "-w" => self.working_dir = Some(value),
            "--name" | "--network-alias" => self.aliases.push(value),
            "--health-cmd" => self.health().test = Some(vec!["CMD-SHELL".to_owned(), value]),
            "--health-interval" | "--health-timeout" | "--health-start-period" => {
                let nanos = duration_ns(&value).ok_or_else(|| bad(&value, "a time such as 10s or 1m30s"))?;
                let health = self.health();
                match name {
                    "--health-interval" => health.interval = Some(nanos),
                    "--health-timeout" => health.timeout = Some(nanos),
                    _ => health.start_period = Some(nanos),
                }
            }
            "--health-retries" => {
                let retries: u32 = value.parse().map_err(|_| bad(&value, "a number"))?;
                self.health().retries = Some(i64::from(retries));
            }
            "--volume" | "-v" => self.volumes.push(value),
            "--ipc" => match value.as_str() {
                "private" | "shareable" | "none" => self.ipc = Some(value),
                "host" if privileged => self.ipc = Some(value),
                _ => return Err(not_allowed(&value)),
            },
            "--security-opt" => match value.as_str() {
                "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => {
                    self.no_new_privileges = true;
                }
                _ => return Err(OptionsError::Unsupported(format!("{name} {value}"))),
            },
            _ => return Err(OptionsError::Unsupported(name.to_owned())),
        }
        Ok(())
    }
}

const TAKES_VALUE: [&str; 33] = [
    "--workdir",
    "-w",
    "--name",
    "--network-alias",
    "--health-cmd",
    "--health-interval",
    "--health-timeout",
    "--health-start-period",
    "--health-retries",
    "--user",
    "-u",
    "--env",
    "-e",
    "--cpus",
    "--memory",
    "-m",
    "--shm-size",
    "--pids-limit",
    "--hostname",
    "-h",
    "--add-host",
    "--tmpfs",
    "--ulimit",
    "--cap-add",
    "--cap-drop",
    "--dns",
    "--group-add",
    "--label",
    "-l",
    "--volume",
    "-v",
    "--ipc",
    "--security-opt",
];

/// Reads `512m`, `2g`, `1024`, as Docker does: powers of 1024.
pub(crate) fn bytes(text: &str) -> Option<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, unit) = match lower.char_indices().last()? {
        (at, unit) if unit.is_ascii_alphabetic() => (lower.get(..at)?, unit),
        _ => (lower, ' '),
    };
    let scale: i64 = match unit {
        ' ' => 1,
        'k' => 1 << 10,
        'm' => 1 << 20,
        'g' => 1 << 30,
        't' => 1 << 40,
        _ => return None,
    };
    let value: f64 = digits.trim().parse().ok()?;
    let bytes = value * scale as f64;
    (bytes >= 1.0 && bytes < i64::MAX as f64).then_some(bytes as i64)
}

/// Reads `1m30s`, `500ms`, `10s`, as Go does (`time.ParseDuration`), in nanoseconds; Docker's least is 1 ms.
fn duration_ns(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end)?;
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = next;
    }
    (1e6..i64::MAX as f64).contains(&total).then_some(total as i64)
}

fn ulimit(text: &str) -> Option<(String, i64, i64)> {
    let (name, values) = text.split_once('=')?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    Some((name.to_owned(), soft.parse().ok()?, hard.parse().ok()?))
}

/// Splits like a shell without expansions: blanks, single and double quotes, backslash.
pub(crate) fn split_words(text: &str) -> Result<Vec<String>, OptionsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(OptionsError::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_usual_options_are_read() {
        let options = CreateOptions::parse(
            "--user 1001 --cpus=1.5 -m 2g --env 'A=b c' --ulimit nofile=1024:2048 --tmpfs /tmp:size=1m --hostname h \
             --add-host db:10.0.0.1 --shm-size 512m",
            false,
        )
        .unwrap();
        assert_eq!(options.user.as_deref(), Some("1001"));
        assert_eq!(options.nano_cpus, Some(1_500_000_000));
        assert_eq!(options.memory_bytes, Some(2 << 30));
        assert_eq!(options.env, ["A=b c"]);
        assert_eq!(options.ulimits, [("nofile".to_owned(), 1024, 2048)]);
        assert_eq!(options.tmpfs, [("/tmp".to_owned(), "size=1m".to_owned())]);
        assert_eq!(options.shm_size_bytes, Some(512 << 20));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (text, named) in [
            ("--network host", "--network"),
            ("--entrypoint=/bin/sh", "--entrypoint"),
            ("--pid host", "--pid"),
            ("--privileged", "--privileged"),
            ("--cap-add SYS_ADMIN", "--cap-add SYS_ADMIN"),
            ("--ipc host", "--ipc host"),
            ("--device /dev/kvm", "--device"),
            ("stray", "stray"),
            ("--memory", "--memory"),
            ("--memory lots", "lots"),
            ("--env HOME", "NAME=value"),
            ("--security-opt seccomp=unconfined", "seccomp"),
            ("--label slipway.agent=x", "slipway."),
            ("--user 'open", "quote"),
        ] {
            let message = CreateOptions::parse(text, false).unwrap_err().to_string();
            assert!(message.contains(named), "{text}: {message}");
        }
        assert!(CreateOptions::parse("--privileged --cap-add SYS_ADMIN", true).unwrap().privileged);
    }

    #[test]
    fn a_health_check_is_read() {
        let options = CreateOptions::parse(
            r#"--health-cmd "redis-cli ping" --health-interval 10s --health-timeout=1m30s --health-retries 5 --name db"#,
            false,
        )
        .unwrap();
        let health = options.health.unwrap();
        assert_eq!(health.test.unwrap(), ["CMD-SHELL", "redis-cli ping"]);
        assert_eq!((health.interval, health.timeout), (Some(10_000_000_000), Some(90_000_000_000)));
        assert_eq!(health.retries, Some(5));
        assert_eq!(options.aliases, ["db"]);
        for text in
            ["--health-interval 10", "--health-interval s", "--health-retries many", "--health-timeout 0s"]
        {
            assert!(CreateOptions::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("1k"), Some(1024));
        assert_eq!(bytes("1.5GiB"), Some(3 << 29));
        assert_eq!(bytes("10"), Some(10));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("é"), None);
        assert_eq!(bytes(""), None);
    }
}
