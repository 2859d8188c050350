//! What a process is told of the job's caches, artifacts and identity tokens.
//!
//! Of caches and artifacts GitHub tells actions only, not scripts: the token is worth something, and a script has no use for it. How to
//! ask for an identity token is told to every step of a job that may.

/// The name under which a job sees the service; the container's own loopback.
///
/// GitHub's toolkit takes a host for GitHub Enterprise Server, and gives up on artifacts there, unless it is
/// `github.com`, ends with `.ghe.com` or ends with `.localhost`. It looks at `GITHUB_SERVER_URL` for that.
const HOST: &str = "slipway.localhost";

/// Ports that are tried one after the other: below those that the system gives out, and nobody's by registration.
pub const PORTS: [u16; 4] = [28_472, 28_473, 28_474, 28_475];

/// Where the job's service is, and with which token it is asked.
#[derive(Clone)]
pub struct Access {
    /// The port on the container's loopback.
    pub port: u16,
    /// The job's tokens.
    pub tokens: Tokens,
}

/// With what a job asks for what is its own. Secrets.
#[derive(Clone, Default)]
pub struct Tokens {
    /// `ACTIONS_RUNTIME_TOKEN`, for caches and artifacts; empty from a coordinator that has none.
    pub runtime: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`; empty: the job may not ask for identity tokens.
    pub identity: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Access {
    /// The variables of every step of a job that may show who it is (GitHub docs, "OpenID Connect reference").
    #[must_use]
    pub fn identity_variables(&self) -> Vec<(String, String)> {
        let token = &self.tokens.identity;
        if token.is_empty() {
            return Vec::new();
        }
        // Clients add `&audience=…`, so that there has to be a query.
        let url = format!("http://{HOST}:{}/identity/token?api-version=2.0", self.port);
        [("ACTIONS_ID_TOKEN_REQUEST_URL", &url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", token)]
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .into()
    }

    /// The variables of a process, above the workflow's say. `server_url` is `github.server_url`.
    #[must_use]
    pub fn variables(&self, server_url: &str) -> Vec<(String, String)> {
        let url = format!("http://{HOST}:{}/", self.port);
        let mut variables: Vec<(String, String)> = [
            ("ACTIONS_RUNTIME_URL", url.as_str()),
            ("ACTIONS_RUNTIME_TOKEN", &self.tokens.runtime),
            ("ACTIONS_RESULTS_URL", &url),
            ("ACTIONS_CACHE_URL", &url),
            ("ACTIONS_CACHE_SERVICE_V2", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(url) = toolkit_server_url(server_url) {
            variables.push(("GITHUB_SERVER_URL".to_owned(), url));
        }
        variables.extend(self.identity_variables());
        variables
    }
}

/// The `GITHUB_SERVER_URL` with which the toolkit uses this service, where the real one would keep it from doing so. The
/// context `github.server_url` stays the real one.
fn toolkit_server_url(server_url: &str) -> Option<String> {
    let (scheme, rest) = server_url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, format!(":{port}")),
        _ => (authority, String::new()),
    };
    let plain = host.to_ascii_lowercase();
    if plain.is_empty()
        || plain == "github.com"
        || plain.ends_with(".ghe.com")
        || plain.ends_with(".localhost")
    {
        return None;
    }
    Some(format!("{scheme}://{host}.localhost{port}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_told() {
        let tokens = Tokens { runtime: "secret".to_owned(), identity: "another".to_owned() };
        let access = Access { port: 28_472, tokens };
        let told = access.variables("https://github.com");
        let value =
            |name: &str| told.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert_eq!(value("ACTIONS_RESULTS_URL"), Some("http://slipway.localhost:28472/"));
        assert_eq!(value("ACTIONS_CACHE_URL"), value("ACTIONS_RESULTS_URL"));
        assert_eq!(value("ACTIONS_RUNTIME_TOKEN"), Some("secret"));
        assert_eq!(value("ACTIONS_CACHE_SERVICE_V2"), Some("true"));
        assert_eq!(value("GITHUB_SERVER_URL"), None);
        assert_eq!(
            value("ACTIONS_ID_TOKEN_REQUEST_URL"),
            Some("http://slipway.localhost:28472/identity/token?api-version=2.0")
        );
        assert_eq!(value("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), Some("another"));
        let shown = format!("{access:?}");
        assert!(!shown.contains("secret") && !shown.contains("another"));
        let tokens = Tokens { identity: String::new(), ..access.tokens };
        let access = Access { port: 28_472, tokens };
        assert_eq!(access.identity_variables(), []);
        assert!(access.variables("").iter().all(|(name, _)| !name.contains("ID_TOKEN")));
    }

    #[test]
    fn no_server_is_taken_for_one_without_the_service() {
        for good in
            ["", "https://github.com", "https://GitHub.com/", "https://a.ghe.com", "http://x.localhost:8080"]
        {
            assert_eq!(toolkit_server_url(good), None, "{good}");
        }
        for (server_url, expected) in [
            ("https://git.example.com", "https://git.example.com.localhost"),
            ("http://127.0.0.1:3000", "http://127.0.0.1.localhost:3000"),
            ("https://git.example.com/sub", "https://git.example.com.localhost/sub"),
            ("https://notgithub.com", "https://notgithub.com.localhost"),
        ] {
            assert_eq!(toolkit_server_url(server_url).as_deref(), Some(expected));
        }
    }
}
