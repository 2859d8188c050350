//! `postgres://user:password@host[:port][,host2…]/database?sslmode=…&sslrootcert=…`, checked.
//!
//! Invariant: the password is in nothing that is printed: neither `Debug`, nor `Display`, nor an error.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::limits::{
    CONNECT_TIMEOUT, HOSTS_MAX, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, TCP_USER_TIMEOUT,
};

/// How the connection is encrypted, and what is checked of the server; PostgreSQL's own words and meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it, unchecked. Protects from nobody who can change what is sent.
    Prefer,
    /// TLS, unchecked; with `sslrootcert` as `VerifyCa`.
    Require,
    /// TLS with a certificate of a trusted CA, for whatever name.
    VerifyCa,
    /// TLS with a certificate of a trusted CA for the host's name.
    VerifyFull,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// This machine's store.
    System,
    /// The certificates of a PEM file.
    File(PathBuf),
}

/// Where the server is and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    config: Box<Config>,
    tls: TlsMode,
    roots: Roots,
}

/// One of the hosts.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    /// `host:port` or the socket's folder.
    pub(super) place: String,
}

impl PostgresOptions {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what to write, without the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or("write postgres://USER:PASSWORD@HOST/DATABASE")?;
        let (before, after) = rest.split_once('@').map_or(("", rest), |(user, after)| (user, after));
        let (place, query) = after.split_once('?').unwrap_or((after, ""));
        // What stands before the last one would be taken for a host and shown in messages.
        if place.contains('@') {
            return Err(
                "there is more than one `@`: in a user's name or password write %40 for it".to_owned()
            );
        }
        let (mut tls, mut roots, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or("after `?` write KEY=VALUE&KEY=VALUE")?;
            match key {
                "sslmode" => tls = Some(tls_mode(value)?),
                "sslrootcert" => roots = Some(read_roots(value)?),
                "application_name" | "connect_timeout" | "options" | "host" | "port" | "user"
                | "password" | "dbname" | "channel_binding" => others.push(pair),
                // The only thing that makes sense, and what is done anyway.
                "target_session_attrs" if value == "read-write" => {}
                "target_session_attrs" => {
                    return Err("target_session_attrs: only read-write is possible".to_owned());
                }
                _ => {
                    return Err(format!(
                        "`{}` is no option that Slipway knows; sslmode, sslrootcert, application_name, connect_timeout \
                         and options are",
                        key.escape_default()
                    ));
                }
            }
        }
        let credentials = if rest.contains('@') { format!("{before}@") } else { String::new() };
        let mut config: Config = format!("postgres://{credentials}{place}?{}", others.join("&"))
            .parse()
            .map_err(|error| describe(&error))?;
        if config.get_hosts().is_empty() || place.starts_with('/') && !query.contains("host=") {
            return Err("no host is named; write postgres://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        if config.get_hosts().len() > HOSTS_MAX {
            return Err(format!("at most {HOSTS_MAX} hosts"));
        }
        if config.get_ports().len() > 1 && config.get_ports().len() != config.get_hosts().len() {
            return Err("give one port, or one for each host".to_owned());
        }
        if config.get_application_name().is_none() {
            config.application_name("slipway");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            // Checked here for each host, so that it can be said which one is what.
            .target_session_attrs(TargetSessionAttrs::Any);
        let tls = match (tls.unwrap_or(TlsMode::Prefer), &roots) {
            (TlsMode::Require, Some(_)) => TlsMode::VerifyCa,
            (TlsMode::Disable | TlsMode::Prefer, Some(_)) => {
                return Err(
                    "sslrootcert checks nothing with this sslmode; add sslmode=verify-full".to_owned()
                );
            }
            (tls, _) => tls,
        };
        Ok(Self { config: Box::new(config), tls, roots: roots.unwrap_or(Roots::System) })
    }

    /// How the connection is encrypted.
    #[must_use]
    pub fn tls(&self) -> TlsMode {
        self.tls
    }

    pub(super) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// One configuration for each host, in the order given.
    pub(super) fn targets(&self) -> Vec<Target> {
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        let targets = hosts.iter().enumerate().map(|(index, host)| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            let mut config = Config::new();
            match host {
                Host::Tcp(name) => config.host(name),
                Host::Unix(folder) => config.host_path(folder),
            };
            config.port(port);
            copy_login(&self.config, &mut config);
            let local = matches!(host, Host::Unix(_));
            config.ssl_mode(match self.tls {
                // As PostgreSQL's own clients: a socket of this machine has no TLS.
                _ if local => SslMode::Disable,
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                _ => SslMode::Require,
            });
            Target { config, place: shown(host, port) }
        });
        targets.collect()
    }
}

fn copy_login(from: &Config, to: &mut Config) {
    if let Some(user) = from.get_user() {
        to.user(user);
    }
    if let Some(password) = from.get_password() {
        to.password(password);
    }
    if let Some(name) = from.get_dbname() {
        to.dbname(name);
    }
    if let Some(options) = from.get_options() {
        to.options(options);
    }
    if let Some(name) = from.get_application_name() {
        to.application_name(name);
    }
    to.connect_timeout(from.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT))
        .keepalives(true)
        .keepalives_idle(from.get_keepalives_idle())
        .keepalives_interval(from.get_keepalives_interval().unwrap_or(KEEPALIVE_INTERVAL))
        .keepalives_retries(from.get_keepalives_retries().unwrap_or(KEEPALIVE_RETRIES))
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .channel_binding(from.get_channel_binding());
}

impl fmt::Display for PostgresOptions {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.targets().into_iter().map(|target| target.place).collect();
        write!(f, "postgres://{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({self}, {:?}, {:?})", self.tls, self.roots)
    }
}

fn shown(host: &Host, port: u16) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
        Host::Tcp(name) => format!("{name}:{port}"),
        Host::Unix(folder) => format!("{}/.s.PGSQL.{port}", folder.display()),
    }
}

fn tls_mode(value: &str) -> Result<TlsMode, String> {
    match value {
        "disable" => Ok(TlsMode::Disable),
        "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err("sslmode: one of verify-full, verify-ca, require, prefer, disable".to_owned()),
    }
}

fn read_roots(value: &str) -> Result<Roots, String> {
    if value == "system" {
        return Ok(Roots::System);
    }
    let path = percent_encoding::percent_decode_str(value).decode_utf8();
    match path {
        Ok(path) if !path.is_empty() => Ok(Roots::File(PathBuf::from(path.into_owned()))),
        _ => Err("sslrootcert: the path of a PEM file, or `system`".to_owned()),
    }
}

/// The library's errors name options and never their values.
fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}; write postgres://USER:PASSWORD@HOST/DATABASE")
}
