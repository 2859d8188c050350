//! The cloud's metadata address, played by a network namespace with a real web server. One at a time: it is the machine's route
//! (`.config/nextest.toml`, group `cloud`).

use std::process::{Child, Command, Stdio};

/// The address.
pub const METADATA: &str = "169.254.169.254";

/// Another address of the same place (RFC 5737).
pub const OTHER: &str = "198.51.100.83";

/// A namespace that has both addresses, and a server that answers at both.
pub struct Cloud {
    name: String,
    server: Option<Child>,
    folder: tempfile::TempDir,
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Cloud {
    pub fn start() -> Self {
        let name = format!("slipway-md-{}", std::process::id());
        let (outer, inner) = (format!("smdo{}", std::process::id()), format!("smdi{}", std::process::id()));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "the-role-of-the-machine\n").unwrap();
        ip(&format!("netns add {name}"));
        // From here on everything goes with it, whatever fails.
        let mut cloud = Self { name: name.clone(), server: None, folder };
        ip(&format!("link add {outer} type veth peer name {inner} netns {name}"));
        ip(&format!("address add 198.51.100.81/32 dev {outer}"));
        ip(&format!("link set {outer} up"));
        ip(&format!("-n {name} link set {inner} up"));
        ip(&format!("-n {name} link set lo up"));
        for address in [METADATA, OTHER] {
            ip(&format!("-n {name} address add {address}/32 dev {inner}"));
            ip(&format!("route add {address}/32 dev {outer} src 198.51.100.81"));
        }
        ip(&format!("-n {name} route add 198.51.100.81/32 dev {inner}"));
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &name, "busybox", "httpd", "-f", "-p", "80", "-h"]);
        cloud.server = Some(server.arg(cloud.folder.path()).stdout(Stdio::null()).spawn().unwrap());
        for address in [METADATA, OTHER] {
            let url = format!("http://{address}/");
            let patience = ["--retry", "20", "--retry-delay", "1", "--retry-connrefused", "--max-time", "30"];
            let answer =
                Command::new("curl").args(["--fail", "--silent"]).args(patience).arg(&url).output().unwrap();
            let said = String::from_utf8_lossy(&answer.stdout);
            assert_eq!(said, "the-role-of-the-machine\n", "the machine itself reaches {address}: {answer:?}");
        }
        cloud
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        // The interfaces and routes go with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}
