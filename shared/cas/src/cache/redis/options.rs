//! Where Redis is and how it is used.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::cache::breaker::BreakerOptions;
use crate::cache::limits::{DEFAULT_TTL, TEMPORARY_TTL};

/// Redis' own port.
const PORT: u16 = 6379;
/// Sentinel's own port.
const SENTINEL_PORT: u16 = 26379;
/// The most connections to one server.
const MAX_CONNECTIONS: usize = 64;

/// Which servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// One.
    Single(String, u16),
    /// Whichever these Sentinels say is the primary of the service named.
    Sentinel {
        /// The Sentinels' addresses.
        sentinels: Vec<(String, u16)>,
        /// The service's name.
        service: String,
    },
    /// A cluster, some servers of which are these.
    Cluster(Vec<(String, u16)>),
}

/// How the servers are known to be the right ones.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates to trust, in PEM; `None` for the system's own.
    pub ca: Option<Vec<u8>>,
    /// A certificate and its key to show, in PEM.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// All about one Redis.
#[derive(Clone)]
pub struct RedisOptions {
    /// Which servers.
    pub servers: Servers,
    /// The name to log in with.
    pub username: Option<String>,
    /// The password to log in with.
    pub password: Option<String>,
    /// The number of the database; a cluster has only 0.
    pub database: i64,
    /// With TLS, or without.
    pub tls: Option<Tls>,
    /// What every key starts with; `slipway` unless several share a Redis.
    pub prefix: String,
    /// How long a value is kept after it was last used, in whole seconds, at least one.
    pub ttl: Duration,
    /// The same for what belongs to nothing finished yet.
    pub temporary_ttl: Duration,
    /// Connections to each server.
    pub connections: usize,
    /// How long a call may take, besides the time that its bytes need at 8 MB/s.
    pub timeout: Duration,
    /// When it is not asked any more.
    pub breaker: BreakerOptions,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No password.
        f.debug_struct("RedisOptions")
            .field("place", &self.place())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why options are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Not an address of a Redis.
    #[error(
        "`{0}` is no Redis: write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis+sentinel://HOST,HOST/SERVICE[/DATABASE] or redis+cluster://HOST,HOST, each with `rediss` for TLS"
    )]
    Url(String),
    /// Certificates that cannot be used.
    #[error("the certificates for Redis: {0}")]
    Tls(String),
    /// A bound that is out of its range.
    #[error("{0}")]
    Bound(&'static str),
}

impl RedisOptions {
    /// Options for these servers, the rest as it is best for most.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            username: None,
            password: None,
            database: 0,
            tls: None,
            prefix: "slipway".to_owned(),
            ttl: DEFAULT_TTL,
            temporary_ttl: TEMPORARY_TTL,
            connections: 4,
            timeout: Duration::from_millis(750),
            breaker: BreakerOptions::default(),
        }
    }

    /// The options in an address: `redis://`, `redis+sentinel://` or `redis+cluster://`, with `rediss` for TLS, and
    /// several hosts with commas between them for the latter two.
    ///
    /// # Errors
    /// [`OptionsError::Url`], which shows the address without its password.
    pub fn from_url(text: &str) -> Result<Self, OptionsError> {
        let wrong = || OptionsError::Url(without_secret(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (secret, rest) =
            rest.rsplit_once('@').map_or((None, rest), |(secret, rest)| (Some(secret), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (kind, default_port) = match scheme {
            "redis" | "rediss" => ("single", PORT),
            "redis+sentinel" | "rediss+sentinel" => ("sentinel", SENTINEL_PORT),
            "redis+cluster" | "rediss+cluster" => ("cluster", PORT),
            _ => return Err(wrong()),
        };
        let hosts: Option<Vec<_>> = hosts.split(',').map(|host| address(host, default_port)).collect();
        let hosts = hosts.filter(|hosts| !hosts.is_empty()).ok_or_else(wrong)?;
        let (servers, database) = match (kind, &hosts[..]) {
            ("single", [(host, port)]) => (Servers::Single(host.clone(), *port), path),
            ("cluster", _) if path.is_empty() => (Servers::Cluster(hosts), ""),
            ("sentinel", _) => {
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                if service.is_empty() {
                    return Err(wrong());
                }
                (Servers::Sentinel { sentinels: hosts, service: service.to_owned() }, database)
            }
            _ => return Err(wrong()),
        };
        let mut options = Self::new(servers);
        if !database.is_empty() {
            options.database = database.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)?;
        }
        if let Some(secret) = secret {
            // Read as an address of its own, which knows how such parts are written.
            let url = Url::parse(&format!("redis://{secret}@host")).map_err(|_| wrong())?;
            let plain = |text: &str| {
                percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|t| t.into_owned())
            };
            options.username = plain(url.username()).filter(|name| !name.is_empty());
            options.password = url.password().and_then(plain);
        }
        options.tls = scheme.starts_with("rediss").then(Tls::default);
        Ok(options)
    }

    /// The servers, for messages: nothing secret.
    #[must_use]
    pub fn place(&self) -> String {
        let list = |hosts: &[(String, u16)]| {
            hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
        };
        match &self.servers {
            Servers::Single(host, port) => format!("Redis {host}:{port}"),
            Servers::Sentinel { sentinels, service } => format!("Redis {service} of {}", list(sentinels)),
            Servers::Cluster(hosts) => format!("Redis cluster {}", list(hosts)),
        }
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        let named = match &self.servers {
            Servers::Single(..) => true,
            Servers::Sentinel { sentinels, .. } => !sentinels.is_empty(),
            Servers::Cluster(seeds) => !seeds.is_empty(),
        };
        if !named {
            return Err(OptionsError::Bound("no server of Redis is named"));
        }
        let in_seconds = |ttl: Duration| ttl.as_secs() >= 1 && ttl.as_secs() < 1 << 31;
        if !in_seconds(self.ttl) || !in_seconds(self.temporary_ttl) {
            return Err(OptionsError::Bound("a value's time to live in Redis is at least one second"));
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return Err(OptionsError::Bound("connections to Redis: from 1 to 64"));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if self.prefix.is_empty() || !self.prefix.bytes().all(plain) {
            return Err(OptionsError::Bound(
                "the prefix of keys in Redis has letters, digits and `._-` only",
            ));
        }
        Ok(())
    }
}

fn address(text: &str, default_port: u16) -> Option<(String, u16)> {
    // Of an IPv6 address in brackets only what follows them is a port.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (text, default_port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn without_secret(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_where_and_how() {
        let single = RedisOptions::from_url("rediss://me:p%40ss@[::1]:7000/3").unwrap();
        assert_eq!(single.servers, Servers::Single("::1".into(), 7000));
        assert_eq!((single.username.as_deref(), single.password.as_deref()), (Some("me"), Some("p@ss")));
        assert!(single.database == 3 && single.tls.is_some());
        assert!(!format!("{single:?}").contains("p@ss"));
        let plain = RedisOptions::from_url("redis://:secret@cache").unwrap();
        assert_eq!((plain.servers, plain.username), (Servers::Single("cache".into(), 6379), None));
        assert_eq!(plain.password.as_deref(), Some("secret"));
        let sentinel = RedisOptions::from_url("redis+sentinel://a,b:1/main/2").unwrap();
        let sentinels = vec![("a".to_owned(), 26379), ("b".to_owned(), 1)];
        assert_eq!(sentinel.servers, Servers::Sentinel { sentinels, service: "main".into() });
        assert_eq!(sentinel.database, 2);
        let cluster = RedisOptions::from_url("rediss+cluster://a,b").unwrap();
        assert_eq!(cluster.place(), "Redis cluster a:6379,b:6379");
        assert!(cluster.tls.is_some());
    }

    #[test]
    fn other_addresses_are_refused_without_telling_secrets() {
        for text in [
            "cache",
            "http://a",
            "redis://",
            "redis://a,b",
            "redis://a:x",
            "redis://u:p@a/x",
            "redis+sentinel://a",
            "redis+cluster://a/1",
        ] {
            let error = RedisOptions::from_url(text).unwrap_err();
            assert!(matches!(&error, OptionsError::Url(shown) if !shown.contains("u:p")), "{error}");
        }
    }
}
