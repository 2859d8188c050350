//! Connections whose other end vanishes without a word: a network namespace that takes nothing any more.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway_kit::peer::Patience;

/// How long anything may take: a limit against hanging.
const LIMIT: Duration = Duration::from_secs(60);

const IMPATIENT: Patience =
    Patience { asked_after: Duration::from_secs(1), asked_again: Duration::from_secs(1), times: 2 };

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A network of its own behind a cable.
struct Machine {
    name: String,
    client: Option<Child>,
}

impl Machine {
    fn new() -> Self {
        let name = format!("sw-p-{}", std::process::id());
        let machine = Self { name: name.clone(), client: None };
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name}o type veth peer name {name}i netns {name}"));
        ip(&format!("addr add 198.18.77.1/30 dev {name}o"));
        ip(&format!("link set {name}o up"));
        ip(&format!("-n {name} addr add 198.18.77.2/30 dev {name}i"));
        ip(&format!("-n {name} link set {name}i up"));
        machine
    }

    /// A connection from it.
    fn connect(&mut self) -> TcpStream {
        let listener = TcpListener::bind("198.18.77.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/198.18.77.1/{port}; echo hello >&3; sleep 300");
        let mut client = Command::new("ip");
        client.args(["netns", "exec", &self.name, "bash", "-c", &script]).stdin(Stdio::null());
        self.client = Some(client.spawn().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).unwrap();
        stream
    }

    /// What is sent to it and from it goes nowhere, and nobody is told.
    fn vanish(&self) {
        ip(&format!("-n {} route add blackhole 198.18.77.1/32", self.name));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(client) = &mut self.client {
            let _ = client.kill();
            let _ = client.wait();
        }
        let _ = Command::new("ip").args(["link", "del", &format!("{}o", self.name)]).output();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

#[test]
fn a_read_ends_when_the_other_end_vanished_with_and_without_something_sent() {
    for sends in [false, true] {
        let mut machine = Machine::new();
        let mut stream = machine.connect();
        IMPATIENT.watch(&stream).unwrap();
        machine.vanish();
        if sends {
            stream.write_all(b"are you there?").unwrap();
        }
        let error = stream.read(&mut [0]).unwrap_err();
        // `WouldBlock` would be the test's own limit.
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "sends: {sends}: {error}");
    }
}
