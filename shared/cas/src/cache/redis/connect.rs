//! Making connections.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _,
    RedisConnectionInfo, TlsCertificates,
};

use super::options::{OptionsError, RedisOptions};

/// How connections are made, whatever the address.
#[derive(Clone)]
pub(super) struct Connector {
    certificates: Option<TlsCertificates>,
    settings: RedisConnectionInfo,
    pub(super) timeout: Duration,
    pub(super) connections: usize,
}

impl Connector {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, OptionsError> {
        options.check()?;
        let mut settings = RedisConnectionInfo::default().set_db(options.database).set_skip_set_lib_name();
        if let Some(username) = &options.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &options.password {
            settings = settings.set_password(password);
        }
        let certificates = options.tls.clone().map(|tls| TlsCertificates {
            client_tls: tls
                .client
                .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
            root_cert: tls.ca,
        });
        let connector =
            Self { certificates, settings, timeout: options.timeout, connections: options.connections };
        // Reads the certificates, so that a wrong one is told at the start.
        connector.client("localhost", 1).map_err(|error| OptionsError::Tls(error.to_string()))?;
        Ok(connector)
    }

    /// The same for Sentinels, which have no databases and mostly no passwords.
    pub(super) fn of_sentinels(&self) -> Self {
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        Self { settings, connections: 1, ..self.clone() }
    }

    pub(super) fn client(&self, host: &str, port: u16) -> redis::RedisResult<Client> {
        let host = host.to_owned();
        let addr = match self.certificates {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        // A small question must not wait until the answer to the one before is acknowledged.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info =
            addr.into_connection_info()?.set_redis_settings(self.settings.clone()).set_tcp_settings(tcp);
        match &self.certificates {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        }
    }

    pub(super) async fn connect(&self, client: &Client) -> Result<MultiplexedConnection, String> {
        // Its own limits are not used: only here it is known how many bytes a call moves.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {} ms", self.timeout.as_millis())),
        }
    }
}
