//! Blobs and logs in Azure's Blob Storage: a coordinator with `--objects az://…`.
//!
//! The server is Azurite, Microsoft's own emulator, installed by `scripts/prepare-clients.sh`. Unlike the model of S3 it checks signatures.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use slipway_cas::objects::BucketAddress;

use crate::s3;

/// What Azurite's users all have; it is in Microsoft's documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server of a test's own, with a container `logs`.
struct Azure {
    process: Child,
    port: u16,
}

impl Drop for Azure {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azure {
    async fn start() -> Self {
        let folder = std::env::var("SLIPWAY_AZURITE").expect("scripts/prepare-clients.sh says where it is");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("node")
            .arg(format!("{folder}/node_modules/azurite/dist/src/blob/main.js"))
            .args(["--silent", "--inMemoryPersistence", "--blobHost", "127.0.0.1"])
            .args(["--blobPort", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        for _ in 0..600 {
            if server.make_container().await {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Azurite does not answer");
    }

    /// Makes the container, which what is tested expects to be there (Azure docs, "Authorize with Shared Key").
    async fn make_container(&self) -> bool {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let (path, version) = (format!("/{ACCOUNT}/logs"), "2021-08-06");
        let headers = format!("x-ms-date:{date}\nx-ms-version:{version}");
        let signed = format!("PUT{}{headers}\n/{ACCOUNT}{path}\nrestype:container", "\n".repeat(12));
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
        mac.update(signed.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let request = slipway_tests::http_client()
            .put(format!("http://127.0.0.1:{}{path}?restype=container", self.port))
            .header("x-ms-date", date)
            .header("x-ms-version", version)
            .header("content-length", 0)
            .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"));
        request.send().await.is_ok_and(|answer| answer.status() == 201)
    }

    fn address(&self, url: &str) -> BucketAddress {
        Self::address_at(url, self.port, KEY)
    }

    fn address_at(url: &str, port: u16, key: &str) -> BucketAddress {
        let settings = [
            ("AZURE_ENDPOINT", format!("http://127.0.0.1:{port}/{ACCOUNT}")),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", key.to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        BucketAddress { url: url.to_owned(), settings }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_conform_and_large_ones_go_in_parts() {
    let server = Azure::start().await;
    s3::blobs_conform(|name| server.address(&format!("az://logs/{name}"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_store_is_told_at_the_start() {
    let server = Azure::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    s3::is_told(server.address("az://nowhere/x"), &["bucket does not exist"]).await;
    let (unreachable, wrong) = (
        Azure::address_at("az://logs", closed, KEY),
        Azure::address_at("az://logs", server.port, "c2VjcmV0"),
    );
    s3::is_told(unreachable, &["out of reach", "AZURE_ENDPOINT"]).await;
    s3::is_told(wrong, &["credentials are not accepted", "AZURE_STORAGE_ACCOUNT_KEY"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_line_is_lost_when_the_coordinator_is_killed() {
    let server = Azure::start().await;
    s3::no_line_is_lost(server.address("az://logs/team")).await;
}
