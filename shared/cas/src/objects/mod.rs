//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure.
//!
//! [`Bucket::open`] takes an address like `s3://bucket/prefix` with the usual environment variables' credentials, and
//! [`Bucket::check`] finds out before anything depends on it that the store can be used: that the bucket is there, that we
//! may list, write, read and delete, and that it refuses to write over an object when asked to
//! (`If-None-Match: *`), on which records rely.

mod blobs;
mod collect;
mod http;
#[cfg(test)]
mod tests;
mod week;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
pub use object_store;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig,
};
use url::Url;

pub use blobs::ObjectBlobs;

/// How long the check at the start may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// Tries of one request.
const TRIES: usize = 5;

/// How long one request may be tried.
const TRY_TIME: Duration = Duration::from_secs(30);

/// Why an object store cannot be used: one sentence for a person that names the address.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct BucketError {
    url: String,
    reason: String,
}

/// A kind of object store, and the environment variables that say how its stores are reached.
struct Kind {
    /// Of addresses.
    scheme: &'static str,
    /// What it is called in errors, which tell whose they are in their text alone.
    called: &'static str,
    /// What its variables begin with.
    prefix: &'static str,
    /// Who we are to it.
    credentials: &'static str,
    /// Where it is.
    address: &'static str,
}

/// The first is meant where nothing tells which.
static KINDS: [Kind; 3] = [
    Kind {
        scheme: "s3",
        called: "S3",
        prefix: "AWS_",
        credentials: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        address: "AWS_ENDPOINT_URL",
    },
    Kind {
        scheme: "gs",
        called: "GCS",
        prefix: "GOOGLE_",
        credentials: "GOOGLE_SERVICE_ACCOUNT",
        address: "GOOGLE_BASE_URL",
    },
    Kind {
        scheme: "az",
        called: "MicrosoftAzure",
        prefix: "AZURE_",
        credentials: "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        address: "AZURE_ENDPOINT",
    },
];

impl Kind {
    fn of_url(url: &str) -> Option<&'static Self> {
        let scheme = url.split_once("://")?.0;
        KINDS.iter().find(|kind| kind.scheme == scheme)
    }

    fn of_error(text: &str) -> &'static Self {
        // Not the name alone, which a bucket may have too.
        let told = |kind: &&Self| text.contains(&format!("Generic {} error", kind.called));
        KINDS.iter().find(told).unwrap_or(&KINDS[0])
    }
}

/// A bucket by its address, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, and how it is reached; or a folder,
/// `file:///FOLDER`.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketAddress {
    /// The address.
    pub url: String,
    /// Names and values as in the environment: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …
    pub settings: Vec<(String, String)>,
}

impl std::fmt::Debug for BucketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The settings hold keys.
        f.debug_struct("BucketAddress").field("url", &self.url).finish_non_exhaustive()
    }
}

impl BucketAddress {
    /// The address with the settings of this process's environment; none when it is not one of an object store, by its
    /// scheme.
    #[must_use]
    pub fn from_env(url: &str) -> Option<Self> {
        let kind = Kind::of_url(url)?;
        let wanted = |(name, _): &(String, String)| name.starts_with(kind.prefix);
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let settings = std::env::vars_os().filter_map(utf8).filter(wanted).collect();
        Some(Self { url: url.to_owned(), settings })
    }

    /// The settings that a store of this kind knows.
    fn settings<K: std::str::FromStr>(&self) -> impl Iterator<Item = (K, &str)> {
        self.settings
            .iter()
            .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }
}

/// A place in an object store.
#[derive(Debug, Clone)]
pub struct Bucket {
    url: Arc<str>,
    store: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// Opens a bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BucketError`] when the address or its settings make no sense.
    pub fn open(address: &BucketAddress) -> Result<Self, BucketError> {
        let url = address.url.as_str();
        let error = |reason: String| BucketError { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|why| error(format!("is no address: {why}")))?;
        if parsed.scheme() == "file" {
            return Self::folder(&parsed).map_err(error);
        }
        let name = parsed.host_str().filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| error(format!("names no bucket; write {}://BUCKET/PREFIX", parsed.scheme())))?;
        if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
            return Err(error(
                "has more than a bucket and a prefix; credentials come from the environment".into(),
            ));
        }
        let retry = RetryConfig { max_retries: TRIES, retry_timeout: TRY_TIME, ..RetryConfig::default() };
        let store: Result<Arc<dyn ObjectStore>, Error> = match parsed.scheme() {
            "s3" => address
                .settings()
                .fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
                .with_bucket_name(name)
                .with_http_connector(http::Connector)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                .with_retry(retry)
                .build()
                .map(|store| Arc::new(store) as _),
            "gs" => address
                .settings()
                .fold(
                    // By itself it allows http:// everywhere.
                    GoogleCloudStorageBuilder::new().with_client_options(ClientOptions::new()),
                    |builder, (key, value)| builder.with_config(key, value),
                )
                .with_bucket_name(name)
                .with_http_connector(http::Connector)
                .with_retry(retry)
                .build()
                .map(|store| Arc::new(store) as _),
            "az" => address
                .settings()
                .fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| builder.with_config(key, value))
                .with_container_name(name)
                .with_http_connector(http::Connector)
                .with_retry(retry)
                .build()
                .map(|store| Arc::new(store) as _),
            other => {
                return Err(error(format!(
                    "`{other}` is no object store; use s3://, gs://, az:// or file:///"
                )));
            }
        };
        let store = store.map_err(|why| error(describe(&why)))?;
        let prefix = Path::from_url_path(parsed.path()).map_err(|why| error(why.to_string()))?;
        Ok(Self::new(url, Arc::new(PrefixStore::new(store, prefix))))
    }

    /// A folder, maybe one that several machines have mounted; made if it is not there.
    fn folder(url: &Url) -> Result<Self, String> {
        let path = url.to_file_path();
        let path = path.map_err(|()| "is no folder of this machine; write file:///FOLDER".to_owned())?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has more than a folder's name".to_owned());
        }
        std::fs::create_dir_all(&path).map_err(|why| format!("cannot be made: {why}"))?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(|why| describe(&why))?;
        // Else every value ever kept would leave a folder.
        Ok(Self::new(url.as_str(), Arc::new(store.with_automatic_cleanup(true))))
    }

    /// A bucket on a store that is there already; for tests.
    #[must_use]
    pub fn new(url: &str, store: Arc<dyn ObjectStore>) -> Self {
        Self { url: url.into(), store }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The store; paths are below the prefix.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Uses the bucket once in every way, and leaves nothing behind.
    ///
    /// # Errors
    /// [`BucketError`]: the first thing that does not work, and what to do about it.
    pub async fn check(&self) -> Result<(), BucketError> {
        let error = |reason: String| BucketError { url: self.url.to_string(), reason };
        match tokio::time::timeout(CHECK_TIMEOUT, self.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err((doing, why))) => Err(error(format!("{doing}: {}", describe(&why)))),
            Err(_) => Err(error(format!(
                "does not answer within {} s; check the address ({}) and the network",
                CHECK_TIMEOUT.as_secs(),
                Kind::of_url(&self.url).unwrap_or(&KINDS[0]).address
            ))),
        }
    }

    async fn probe(&self) -> Result<(), (&'static str, Error)> {
        let path = Path::from(format!("probe/{}", uuid::Uuid::new_v4()));
        let found = self.store.list(Some(&Path::from("probe"))).next().await;
        found.transpose().map_err(|why| ("cannot be listed", why))?;
        let text = PutPayload::from_static(b"Slipway looked whether it can write here.");
        let create = || self.store.put_opts(&path, text.clone(), PutMode::Create.into());
        create().await.map_err(|why| ("cannot be written to", why))?;
        let again = create().await;
        let read = self.store.get(&path).await.map_err(|why| ("cannot be read", why));
        self.store.delete(&path).await.map_err(|why| ("cannot be deleted from", why))?;
        read?;
        match again {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(()),
            Err(why) => Err(("does not refuse to write over an object as it should", why)),
            Ok(_) => {
                let source = "it writes over objects in spite of `If-None-Match: *`, and two coordinators could \
                              then damage a log; use a store with conditional writes";
                Err(("is unsafe", Error::Generic { store: "probe", source: source.into() }))
            }
        }
    }
}

/// What stores say of a signature by a wrong key, or by none that they know.
const WRONG_KEY: [&str; 5] = [
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthorizationFailure",
    "AuthenticationFailed",
    // A listing's error has no kind of its own for it.
    "401 Unauthorized",
];

/// What an error says to a person.
pub fn describe(error: &Error) -> String {
    let text = chain(error);
    let Kind { credentials, address, .. } = Kind::of_error(&text);
    if text.contains("NoSuchBucket") || text.contains("ContainerNotFound") {
        return "the bucket does not exist; create it, or correct --objects".to_owned();
    }
    match error {
        Error::NotFound { .. } => "it is not there; does the bucket exist?".to_owned(),
        _ if WRONG_KEY.iter().any(|said| text.contains(said)) => {
            format!("the credentials are not accepted; check {credentials}")
        }
        Error::PermissionDenied { .. } => {
            "access is denied; the credentials need to list, read, write and delete objects there".to_owned()
        }
        Error::Unauthenticated { .. } => {
            format!("the credentials are not accepted; set {credentials}")
        }
        // Without a key a store's library asks the cloud's own machines for one.
        _ if text.contains("token request") => format!("there are no credentials; set {credentials}"),
        _ if text.contains("onnect") => {
            format!("is out of reach; check the address ({address}) and the network ({text})")
        }
        _ => text,
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
