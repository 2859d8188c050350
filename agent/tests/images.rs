//! What is told of an image without starting it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use slipway_agent::docker::{DEFAULT_HOST, Engine};
use slipway_agent::externals::Libc;

/// An image of empty files, removed when it is dropped.
struct Image(String);

impl Image {
    fn of(name: &str, files: &[&str]) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        for file in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, file, &b""[..]).unwrap();
        }
        let name = format!("slipway-agent-test-libc:{name}");
        let mut import = Command::new("docker");
        import.args(["import", "-", &name]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut import = import.spawn().unwrap();
        import.stdin.take().unwrap().write_all(&archive.into_inner().unwrap()).unwrap();
        assert!(import.wait().unwrap().success());
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", &self.0]).output();
    }
}

#[tokio::test]
async fn the_c_library_is_told_by_its_loader() {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT_HOST.to_owned());
    let engine = Engine::connect(&host, "slipway-agent-test-images").await.unwrap();
    for (name, files, libc) in [
        ("musl", vec!["lib/ld-musl-x86_64.so.1"], Libc::Musl),
        ("musl-arm64", vec!["lib/ld-musl-aarch64.so.1"], Libc::Musl),
        ("both", vec!["lib/ld-musl-x86_64.so.1", "lib64/ld-linux-x86-64.so.2"], Libc::Glibc),
        ("none", vec!["bin/program"], Libc::Glibc),
    ] {
        let made = Image::of(name, &files);
        let image = engine.image(&made.0).await.unwrap().unwrap();
        assert_eq!(engine.image_facts(&image, None).await.unwrap().libc, libc, "{name}");
    }
}
