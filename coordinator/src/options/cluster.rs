//! What a coordinator needs to be one of several: the key that all have, and where it is reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Objects, OptionsError, TlsOptions, wrong};
use crate::journal::Address;

/// The flags; a program that embeds the coordinator has none of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClusterFlags {
    /// Key of all coordinators that share a journal: 64 hexadecimal digits, as `openssl rand -hex 32` makes them
    #[arg(long, value_name = "FILE", env = "SLIPWAY_CLUSTER_KEY_FILE")]
    pub cluster_key_file: Option<PathBuf>,
    /// Where the other coordinators reach this one's HTTP [default: what --http listens on]
    #[arg(long, value_name = "URL", env = "SLIPWAY_ADVERTISE_HTTP")]
    pub advertise_http: Option<String>,
    /// Where agents reach this one's gRPC [default: what --grpc listens on]
    #[arg(long, value_name = "URL", env = "SLIPWAY_ADVERTISE_GRPC")]
    pub advertise_grpc: Option<String>,
    /// The folder of --objects is the same on all coordinators (a network file system)
    #[arg(long, env = "SLIPWAY_OBJECTS_SHARED")]
    pub objects_shared: bool,
}

impl ClusterFlags {
    /// Refuses what means nothing to a coordinator that stands alone, rather than leave it out silently.
    pub(super) fn refuse_alone(&self) -> Result<(), OptionsError> {
        let given = [
            ("--cluster-key-file", self.cluster_key_file.is_some()),
            ("--advertise-http", self.advertise_http.is_some()),
            ("--advertise-grpc", self.advertise_grpc.is_some()),
            ("--objects-shared", self.objects_shared),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => {
                Err(wrong(flag, "is for several coordinators: give --journal postgres://… too"))
            }
            None => Ok(()),
        }
    }
}

/// Which doors are served with TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoorsWithTls {
    /// HTTP.
    pub(crate) http: bool,
    /// gRPC.
    pub(crate) grpc: bool,
}

/// Being one of several coordinators; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// File of the key that all have.
    pub key_file: PathBuf,
    /// URL of HTTP, where it is not the address that is listened on.
    pub advertise_http: Option<String>,
    /// URL of gRPC, likewise.
    pub advertise_grpc: Option<String>,
}

impl ClusterOptions {
    /// Options from the flags of a coordinator whose journal others can open.
    pub(super) fn load(flags: ClusterFlags, objects: Option<&Objects>) -> Result<Self, OptionsError> {
        let Some(key_file) = flags.cluster_key_file else {
            return Err(wrong(
                "--cluster-key-file",
                "is needed with a journal that several coordinators share: make a key with `openssl rand -hex 32` and \
                 give its file to each",
            ));
        };
        let Some(objects) = objects else {
            return Err(wrong(
                "--objects",
                "is needed with a journal that several coordinators share: logs and artifacts have to be where the next \
                 leader finds them",
            ));
        };
        let is_folder = matches!(objects, Objects::Folder(_));
        if flags.objects_shared && !is_folder {
            return Err(wrong("--objects-shared", "is for a folder: an object store is everybody's already"));
        }
        if is_folder && !flags.objects_shared {
            return Err(wrong(
                "--objects",
                "a folder on one machine is lost to the other coordinators; name an object store (s3://BUCKET/PREFIX), or \
                 a folder that all of them have (a network file system) and say so with --objects-shared",
            ));
        }
        for (flag, url) in
            [("--advertise-http", &flags.advertise_http), ("--advertise-grpc", &flags.advertise_grpc)]
        {
            if let Some(url) = url {
                check_url(flag, url)?;
            }
        }
        let (advertise_http, advertise_grpc) = (flags.advertise_http, flags.advertise_grpc);
        Ok(Self { key_file, advertise_http, advertise_grpc })
    }

    /// Refuses an address without TLS for HTTP that has it.
    pub(super) fn check_scheme(&self) -> Result<(), OptionsError> {
        match self.advertise_http.as_ref().filter(|url| !url.starts_with("https://")) {
            Some(url) => Err(wrong(
                "--advertise-http",
                format!("`{url}`: with --http-tls it is https that others reach; write https://"),
            )),
            None => Ok(()),
        }
    }

    /// The certificate's source with the names by which others reach this coordinator: of its own authority it is for these, too.
    pub(crate) fn named(&self, tls: &TlsOptions, http: SocketAddr, grpc: SocketAddr) -> TlsOptions {
        let TlsOptions::Own { names } = tls else { return tls.clone() };
        let mut names = names.clone();
        for (given, listens) in [(&self.advertise_http, http), (&self.advertise_grpc, grpc)] {
            let host = match given {
                Some(url) => host(url),
                None if listens.ip().is_unspecified() => None,
                None => Some(listens.ip().to_string()),
            };
            names.extend(host.filter(|host| !names.contains(host)));
        }
        TlsOptions::Own { names }
    }

    /// Where this coordinator is reached, now that it is known what it listens on.
    ///
    /// # Errors
    /// When it listens on all addresses and no URL was given.
    pub(crate) fn address(
        &self,
        http: SocketAddr,
        grpc: SocketAddr,
        tls: DoorsWithTls,
    ) -> Result<Address, OptionsError> {
        let scheme = |has_tls| if has_tls { "https" } else { "http" };
        let (for_http, for_grpc) = (self.advertise_http.as_ref(), self.advertise_grpc.as_ref());
        Ok(Address {
            http: advertised("--advertise-http", for_http, scheme(tls.http), http)?,
            grpc: advertised("--advertise-grpc", for_grpc, scheme(tls.grpc), grpc)?,
        })
    }
}

fn advertised(
    flag: &'static str,
    given: Option<&String>,
    scheme: &str,
    listens: SocketAddr,
) -> Result<String, OptionsError> {
    match given {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None if listens.ip().is_unspecified() => Err(wrong(
            flag,
            format!("is needed: {listens} is every address of this machine, and others have to know one"),
        )),
        None => Ok(format!("{scheme}://{listens}")),
    }
}

/// The host of a URL that was checked, without brackets.
pub(crate) fn host(url: &str) -> Option<String> {
    let (_, authority) = url.split_once("://")?;
    let authority = authority.trim_end_matches('/');
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    Some(host.to_owned())
}

fn check_url(flag: &'static str, url: &str) -> Result<(), OptionsError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.trim_end_matches('/'));
    match authority {
        Some(authority) if !authority.is_empty() && !authority.contains(['/', '@', '?', '#', ' ']) => Ok(()),
        _ => Err(wrong(flag, format!("`{url}` is no URL such as https://ci-1.example.com:7443"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_cas::objects::BucketAddress;

    use super::*;

    fn flags() -> ClusterFlags {
        ClusterFlags { cluster_key_file: Some("key".into()), objects_shared: true, ..ClusterFlags::default() }
    }

    #[test]
    fn what_several_coordinators_need_is_asked_for_by_flag() {
        let folder = Objects::Folder("/srv/slipway".into());
        let told = |flags: ClusterFlags, objects: bool| {
            ClusterOptions::load(flags, objects.then_some(&folder)).unwrap_err().to_string()
        };
        assert!(told(ClusterFlags::default(), true).starts_with("--cluster-key-file: "));
        assert!(told(flags(), false).starts_with("--objects: is needed"));
        assert!(told(ClusterFlags { objects_shared: false, ..flags() }, true).contains("--objects-shared"));
        for url in ["ci.example.com", "https://", "https://a/b", "ftp://a", "https://u@a"] {
            let error = told(ClusterFlags { advertise_grpc: Some(url.into()), ..flags() }, true);
            assert!(error.starts_with(&format!("--advertise-grpc: `{url}`")), "{error}");
        }
    }

    #[test]
    fn an_object_store_is_shared_without_a_word() {
        let bucket =
            Objects::Bucket(BucketAddress { url: "s3://logs/team".to_owned(), settings: Vec::new() });
        let alone = ClusterFlags { objects_shared: false, ..flags() };
        ClusterOptions::load(alone, Some(&bucket)).unwrap();
        let error = ClusterOptions::load(flags(), Some(&bucket)).unwrap_err().to_string();
        assert!(error.starts_with("--objects-shared: is for a folder"), "{error}");
    }

    #[test]
    fn a_coordinator_that_stands_alone_refuses_them() {
        assert!(ClusterFlags::default().refuse_alone().is_ok());
        let error = flags().refuse_alone().unwrap_err().to_string();
        assert!(error.starts_with("--cluster-key-file: ") && error.contains("--journal"), "{error}");
    }

    #[test]
    fn a_coordinator_is_where_it_listens_unless_told() {
        let (http, grpc) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 1], 2)));
        let folder = Objects::Folder("/srv/slipway".into());
        let plain = ClusterOptions::load(flags(), Some(&folder)).unwrap();
        let none = DoorsWithTls { http: false, grpc: false };
        let address = plain.address(http, grpc, none).unwrap();
        assert_eq!(
            (address.http.as_str(), address.grpc.as_str()),
            ("http://127.0.0.1:1", "http://10.0.0.1:2")
        );
        let tls = DoorsWithTls { http: false, grpc: true };
        let address = plain.address(http, grpc, tls).unwrap();
        assert_eq!(
            (address.http.as_str(), address.grpc.as_str()),
            ("http://127.0.0.1:1", "https://10.0.0.1:2")
        );
        let both = DoorsWithTls { http: true, grpc: true };
        assert_eq!(plain.address(http, grpc, both).unwrap().http, "https://127.0.0.1:1");
        let every = SocketAddr::from(([0, 0, 0, 0], 2));
        let error = plain.address(http, every, tls).unwrap_err().to_string();
        assert!(error.starts_with("--advertise-grpc: is needed: 0.0.0.0:2"), "{error}");
        let told = ClusterFlags { advertise_grpc: Some("https://ci-1.example.com:7443/".into()), ..flags() };
        let told = ClusterOptions::load(told, Some(&folder)).unwrap();
        assert_eq!(told.address(http, every, tls).unwrap().grpc, "https://ci-1.example.com:7443");
    }

    #[test]
    fn its_own_certificate_names_where_others_reach_it() {
        let (http, grpc) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([0, 0, 0, 0], 2)));
        let folder = Objects::Folder("/srv/slipway".into());
        let named = |http_url: Option<&str>, grpc_url: &str, names: &[&str]| {
            let given = ClusterFlags {
                advertise_http: http_url.map(str::to_owned),
                advertise_grpc: Some(grpc_url.to_owned()),
                ..flags()
            };
            let options = ClusterOptions::load(given, Some(&folder)).unwrap();
            let own = TlsOptions::Own { names: names.iter().map(|name| (*name).to_owned()).collect() };
            match options.named(&own, http, grpc) {
                TlsOptions::Own { names } => names,
                TlsOptions::Files { .. } => Vec::new(),
            }
        };
        let url = "https://ci-1.example.com:7443/";
        assert_eq!(named(None, url, &["ci-1.example.com"]), ["ci-1.example.com", "10.0.0.1"]);
        assert_eq!(named(Some("https://[fd00::1]:8080"), url, &["a"]), ["a", "fd00::1", "ci-1.example.com"]);
        assert_eq!(named(Some("https://b"), "https://b:1", &[]), ["b"]);
    }

    #[test]
    fn http_with_tls_is_not_advertised_without() {
        let folder = Objects::Folder("/srv/slipway".into());
        let with = |url: &str| {
            let given = ClusterFlags { advertise_http: Some(url.into()), ..flags() };
            ClusterOptions::load(given, Some(&folder)).unwrap()
        };
        assert!(with("https://ci-1.example.com").check_scheme().is_ok());
        let error = with("http://ci-1.example.com").check_scheme().unwrap_err().to_string();
        assert!(error.starts_with("--advertise-http: `http://ci-1.example.com`"), "{error}");
    }
}
