//! An image with busybox, this machine's Docker client and what that needs of the C library.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use crate::fleet;

/// Its name.
pub(crate) const IMAGE: &str = "slipway-agent-test-docker:1";

/// Image of the engines themselves.
pub(crate) const ENGINE: &str = "slipway/engine:latest";

static MADE: Once = Once::new();

/// Makes the image unless it is there.
pub(crate) fn want() {
    MADE.call_once(|| {
        let there =
            |name| Command::new("docker").args(["image", "inspect", name]).output().unwrap().status.success();
        assert!(there(ENGINE), "make {ENGINE} with scripts/engine-image.sh");
        fleet::want_image();
        if !there(IMAGE) {
            make();
        }
    });
}

fn make() {
    let client =
        ["/usr/bin/docker", "/usr/local/bin/docker"].into_iter().find(|path| Path::new(path).is_file());
    let client = client.expect("a Docker client");
    let mut files = vec![(PathBuf::from(client), "bin/docker".to_owned())];
    let linked = Command::new("ldd").arg(client).output().unwrap();
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`; nothing of a static program.
    for word in
        String::from_utf8(linked.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/'))
    {
        let name = word.trim_start_matches('/').trim_end_matches(':').to_owned();
        if Path::new(&format!("/{name}")).is_file() && name != client.trim_start_matches('/') {
            files.push((std::fs::canonicalize(format!("/{name}")).unwrap(), name));
        }
    }
    let base = Command::new("docker").args(["create", fleet::IMAGE, "true"]).output().unwrap();
    let base = String::from_utf8(base.stdout).unwrap().trim().to_owned();
    let exported = Command::new("docker").args(["export", &base]).output().unwrap();
    Command::new("docker").args(["rm", &base]).output().unwrap();
    let mut archive = exported.stdout;
    // Without the two empty blocks at its end another archive can follow.
    while archive.len() >= 512 && archive[archive.len() - 512..].iter().all(|byte| *byte == 0) {
        archive.truncate(archive.len() - 512);
    }
    let mut more = tar::Builder::new(Vec::new());
    for (path, name) in files {
        more.append_path_with_name(path, name).unwrap();
    }
    archive.extend(more.into_inner().unwrap());
    let mut import = Command::new("docker")
        .args(["import", "--change", "ENV PATH=/bin", "-", IMAGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(import.wait().unwrap().success());
}
