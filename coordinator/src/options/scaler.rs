//! What starts and stops the agents of a pool: `[[scaler]]` of the configuration file. docs/FLEET.md describes it.
//!
//! All of it is checked when the coordinator starts, but for whether the pool has bounds: those can be set at any time.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::github::is_private_address;
use super::{OptionsError, read_secret, wrong};

const TABLE: &str = "[[scaler]]";

/// Pools with scalers beyond this are a mistake.
const SCALERS_MAX: usize = 100;

/// The longest name of a pool, in bytes.
const POOL_BYTES_MAX: usize = 64;

/// Words of a command, and the bytes of each, beyond this are a mistake.
const WORDS_MAX: usize = 64;
/// See [`WORDS_MAX`].
const WORD_BYTES_MAX: usize = 4_096;

/// Instances of a unit beyond this are a mistake.
const INSTANCES_MAX: usize = 1_000;

/// The longest name of a unit that systemd takes, in bytes.
const UNIT_BYTES_MAX: usize = 255;

/// Stands in a unit's name for its instance.
const INSTANCE: &str = "{n}";

/// The most agents that may be on their way to one pool at a time.
const AT_ONCE_MAX: u32 = 1_000;

/// The longest of the times, in seconds: a day.
const SECONDS_MAX: u64 = 24 * 60 * 60;

/// The longest that one call of a driver may take, in seconds.
const TIMEOUT_SECONDS_MAX: u64 = 60 * 60;

/// How long nothing more is asked for or let go after something was, by default.
const COOLDOWN: Duration = Duration::from_secs(10);

/// For how long there have to be too many agents before one is let go, by default.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// How many agents may be on their way at once, by default.
const AT_ONCE: u32 = 10;

/// Within what time an agent that was asked for has to come, by default.
const START: Duration = Duration::from_secs(5 * 60);

/// How long one call of a driver may take, by default.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `[[scaler]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScalerSetting {
    pool: String,
    driver: Driver,
    up: Option<Vec<String>>,
    down: Option<Vec<String>>,
    url: Option<String>,
    secret_file: Option<PathBuf>,
    units: Option<String>,
    instances: Option<Instances>,
    systemctl: Option<Vec<String>>,
    cooldown_seconds: Option<u64>,
    quiet_seconds: Option<u64>,
    at_once: Option<u32>,
    start_seconds: Option<u64>,
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Driver {
    Command,
    Webhook,
    Systemd,
}

/// `[1, 2, "blue"]`, or `"1-8"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Instances {
    Listed(Vec<Instance>),
    Range(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Instance {
    Number(u32),
    Name(String),
}

/// What signs webhooks; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScalerSecret(pub(crate) String);

impl ScalerSecret {
    /// A secret from a file's text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ScalerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScalerSecret(…)")
    }
}

/// What starts and stops the agents of a pool; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalerOptions {
    /// The pool's name in lower case.
    pub pool: String,
    /// How it is done.
    pub driver: ScalerDriver,
    /// How long nothing more is asked for or let go after something was.
    pub cooldown: Duration,
    /// For how long there have to be too many agents before one is let go.
    pub quiet: Duration,
    /// How many agents may be on their way at once.
    pub at_once: u32,
    /// Within what time an agent that was asked for has to come.
    pub start_limit: Duration,
    /// How long one call of the driver may take.
    pub timeout: Duration,
}

/// How agents are started and stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScalerDriver {
    /// Programs on the coordinator's machine, each with its arguments.
    Command {
        /// Starts an agent.
        up: Vec<String>,
        /// Stops one.
        down: Vec<String>,
    },
    /// A server that is told.
    Webhook {
        /// Its address.
        url: String,
        /// What signs what it is told.
        secret: ScalerSecret,
    },
    /// Units of systemd.
    Systemd {
        /// The units' names, in order.
        units: Vec<String>,
        /// `systemctl`, or what runs it on another machine.
        systemctl: Vec<String>,
    },
}

impl ScalerDriver {
    /// Its name in the configuration file.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Webhook { .. } => "webhook",
            Self::Systemd { .. } => "systemd",
        }
    }
}

/// Checks what the file says.
///
/// # Errors
/// The table, the pool, what is wrong with it, and what to write.
pub(super) fn load(settings: Vec<ScalerSetting>) -> Result<Vec<ScalerOptions>, OptionsError> {
    if settings.len() > SCALERS_MAX {
        return Err(wrong(TABLE, format!("there are more than {SCALERS_MAX}")));
    }
    let (mut seen, mut units) = (BTreeSet::new(), BTreeSet::new());
    let mut scalers = Vec::new();
    for setting in settings {
        let scaler = scaler(setting)?;
        if !seen.insert(scaler.pool.clone()) {
            return Err(wrong(TABLE, format!("there are two for the pool `{}`", scaler.pool)));
        }
        if let ScalerDriver::Systemd { units: own, systemctl } = &scaler.driver {
            for unit in own {
                if !units.insert((systemctl.clone(), unit.clone())) {
                    let reason = format!("`{}`: `units`: {unit} is another pool's, too", scaler.pool);
                    return Err(wrong(TABLE, reason));
                }
            }
        }
        scalers.push(scaler);
    }
    Ok(scalers)
}

fn scaler(setting: ScalerSetting) -> Result<ScalerOptions, OptionsError> {
    let pool = setting.pool.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=POOL_BYTES_MAX).contains(&pool.len()) || !pool.bytes().all(plain) {
        let reason = format!(
            "`pool`: `{}` cannot be a pool's name: it has 1 to {POOL_BYTES_MAX} letters, digits, `-`, `_` and `.`",
            setting.pool.escape_debug()
        );
        return Err(wrong(TABLE, reason));
    }
    let refuse = |reason: String| wrong(TABLE, format!("`{pool}`: {reason}"));
    let seconds = |field: &str, given: Option<u64>, or: Duration, least: u64, most: u64| match given {
        None => Ok(or),
        Some(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(seconds) => {
            Err(refuse(format!("`{field}`: {seconds} is not a number of seconds from {least} to {most}")))
        }
    };
    let at_once = setting.at_once.unwrap_or(AT_ONCE);
    if !(1..=AT_ONCE_MAX).contains(&at_once) {
        return Err(refuse(format!(
            "`at_once`: {at_once} is not a number of agents from 1 to {AT_ONCE_MAX}"
        )));
    }
    let cooldown = seconds("cooldown_seconds", setting.cooldown_seconds, COOLDOWN, 0, SECONDS_MAX)?;
    let quiet = seconds("quiet_seconds", setting.quiet_seconds, QUIET, 0, SECONDS_MAX)?;
    let start_limit = seconds("start_seconds", setting.start_seconds, START, 1, SECONDS_MAX)?;
    let timeout = seconds("timeout_seconds", setting.timeout_seconds, TIMEOUT, 1, TIMEOUT_SECONDS_MAX)?;
    let driver = driver(setting, &refuse)?;
    Ok(ScalerOptions { pool: pool.clone(), driver, cooldown, quiet, at_once, start_limit, timeout })
}

fn driver(
    setting: ScalerSetting,
    refuse: &dyn Fn(String) -> OptionsError,
) -> Result<ScalerDriver, OptionsError> {
    use Driver::{Command, Systemd, Webhook};
    let fields = [
        ("up", setting.up.is_some(), Command),
        ("down", setting.down.is_some(), Command),
        ("url", setting.url.is_some(), Webhook),
        ("secret_file", setting.secret_file.is_some(), Webhook),
        ("units", setting.units.is_some(), Systemd),
        ("instances", setting.instances.is_some(), Systemd),
        ("systemctl", setting.systemctl.is_some(), Systemd),
    ];
    let foreign = fields.iter().find(|(_, given, driver)| *given && *driver != setting.driver);
    if let Some((field, ..)) = foreign {
        let word = format!("{:?}", setting.driver).to_ascii_lowercase();
        return Err(refuse(format!("`{field}` means nothing with driver `{word}`")));
    }
    let needs = |field: &str| refuse(format!("needs `{field}`"));
    Ok(match setting.driver {
        Command => ScalerDriver::Command {
            up: program("up", setting.up.ok_or_else(|| needs("up"))?, true, refuse)?,
            down: program("down", setting.down.ok_or_else(|| needs("down"))?, true, refuse)?,
        },
        Webhook => {
            let url = setting.url.ok_or_else(|| needs("url"))?;
            if !is_private_address(&url) {
                let reason =
                    format!("`url`: `{}` is no https address; write https://HOST/PATH", url.escape_debug());
                return Err(refuse(reason));
            }
            let path = setting.secret_file.ok_or_else(|| needs("secret_file"))?;
            let secret = read_secret("`secret_file`", &path).map_err(|error| refuse(error.to_string()))?;
            ScalerDriver::Webhook { url, secret: ScalerSecret(secret) }
        }
        Systemd => {
            let template = setting.units.ok_or_else(|| needs("units"))?;
            let instances = setting.instances.ok_or_else(|| needs("instances"))?;
            let systemctl = setting.systemctl.unwrap_or_else(|| vec!["systemctl".to_owned()]);
            ScalerDriver::Systemd {
                units: units(&template, instances, refuse)?,
                systemctl: program("systemctl", systemctl, false, refuse)?,
            }
        }
    })
}

/// A program with its arguments, as it is run: without a shell.
fn program(
    field: &str,
    words: Vec<String>,
    whole_path: bool,
    refuse: &dyn Fn(String) -> OptionsError,
) -> Result<Vec<String>, OptionsError> {
    let good = |word: &String| word.len() <= WORD_BYTES_MAX && !word.contains('\0');
    let first = words.first().filter(|first| !first.is_empty() && (first.starts_with('/') || !whole_path));
    if first.is_none() || words.len() > WORDS_MAX || !words.iter().all(good) {
        let reason = format!(
            "`{field}` is a program and its arguments, such as [\"/path\", \"argument\"]: at most {WORDS_MAX}{}",
            if whole_path { ", the program by its whole path" } else { "" }
        );
        return Err(refuse(reason));
    }
    Ok(words)
}

fn units(
    template: &str,
    instances: Instances,
    refuse: &dyn Fn(String) -> OptionsError,
) -> Result<Vec<String>, OptionsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@');
    let rest = template.replacen(INSTANCE, "", 1);
    let is_template = template.contains(INSTANCE) && template.contains('@') && !template.starts_with('@');
    if !is_template || !template.ends_with(".service") || !rest.bytes().all(plain) {
        let reason = format!(
            "`units`: `{}` is no template of services; write NAME@{INSTANCE}.service",
            template.escape_debug()
        );
        return Err(refuse(reason));
    }
    let named: Vec<String> = match instances {
        Instances::Listed(listed) => listed
            .into_iter()
            .map(|instance| match instance {
                Instance::Number(number) => number.to_string(),
                Instance::Name(name) => name,
            })
            .collect(),
        Instances::Range(range) => {
            let ends = range.split_once('-').and_then(|(first, last)| {
                Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
            });
            let in_order = ends.filter(|(first, last)| {
                first <= last && usize::try_from(last - first).is_ok_and(|more| more < INSTANCES_MAX)
            });
            let (first, last) = in_order.ok_or_else(|| {
                refuse(format!(
                    "`instances`: `{}` is no range; write \"FIRST-LAST\", of at most {INSTANCES_MAX}",
                    range.escape_debug()
                ))
            })?;
            (first..=last).map(|number| number.to_string()).collect()
        }
    };
    let unlike = named.iter().find(|name| name.is_empty() || !name.bytes().all(plain) || name.contains('@'));
    if let Some(name) = unlike {
        let reason =
            format!("`instances`: `{}` is none: letters, digits, `-`, `_`, `.`", name.escape_debug());
        return Err(refuse(reason));
    }
    if !(1..=INSTANCES_MAX).contains(&named.len()) {
        return Err(refuse(format!("`instances` are 1 to {INSTANCES_MAX}; {} are given", named.len())));
    }
    if named.iter().collect::<BTreeSet<_>>().len() != named.len() {
        return Err(refuse("`instances` has one of them twice".to_owned()));
    }
    let units: Vec<String> = named.iter().map(|name| template.replacen(INSTANCE, name, 1)).collect();
    match units.iter().find(|unit| unit.len() > UNIT_BYTES_MAX) {
        Some(unit) => Err(refuse(format!("`units`: {unit} is longer than {UNIT_BYTES_MAX} bytes"))),
        None => Ok(units),
    }
}

#[cfg(test)]
#[path = "scaler_tests.rs"]
mod tests;
