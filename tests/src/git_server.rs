//! A git repository served over HTTP: a few lines of CGI in front of git's own `http-backend`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::docker;

/// Serves every repository below one folder until the test ends.
pub struct GitServer {
    address: String,
}

/// What a client asks for.
pub struct Request {
    /// `/owner/name/info/refs` and the like.
    pub path: String,
    /// The `Authorization` header; empty when there is none.
    pub authorization: String,
    /// What was posted.
    pub body: Vec<u8>,
}

/// What becomes of a request.
pub enum Verdict {
    /// It is answered.
    Answer,
    /// 401: who are you?
    AskWho,
    /// Nothing comes, for ever.
    Silence,
}

type Gate = dyn Fn(&Request) -> Verdict + Send + Sync;

impl GitServer {
    /// Serves what is below `root`, at an address that this machine and its containers reach: that of Docker's bridge.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        Self::start_with(root, |_| Verdict::Answer)
    }

    /// The same, with a say in each request.
    #[must_use]
    pub fn start_with(root: &Path, gate: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Self {
        let gate: Arc<Gate> = Arc::new(gate);
        let listener = TcpListener::bind((bridge_address(), 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let root = root.to_owned();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (root, gate) = (root.clone(), Arc::clone(&gate));
                // A client that goes away mid-way is its own affair.
                std::thread::spawn(move || drop(serve(connection, &root, &*gate)));
            }
        });
        Self { address }
    }

    /// Where all of it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The clone address of the repository in the folder `name` below the root.
    #[must_use]
    pub fn clone_url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

/// This machine's own address on Docker's bridge: the one from which it would speak to a container there.
fn bridge_address() -> IpAddr {
    let subnet = docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]);
    let (network, _) = subnet.split_once('/').unwrap();
    let network: Ipv4Addr = network.parse().unwrap();
    let neighbour = Ipv4Addr::from_bits(network.to_bits() + 2);
    // Nothing is sent: connecting a datagram socket only picks the route.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((neighbour, 9)).unwrap();
    socket.local_addr().unwrap().ip()
}

/// One request, one answer, and the connection ends.
fn serve(mut connection: TcpStream, root: &PathBuf, gate: &Gate) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));

    let mut backend = Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-type" => drop(backend.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(backend.env("HTTP_CONTENT_ENCODING", value)),
            "git-protocol" => drop(backend.env("GIT_PROTOCOL", value)),
            "authorization" => value.clone_into(&mut authorization),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let request = Request { path: path.to_owned(), authorization, body };
    match gate(&request) {
        Verdict::Answer => {}
        Verdict::AskWho => {
            let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"";
            return write!(connection, "{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
        Verdict::Silence => loop {
            std::thread::park();
        },
    }
    backend.env("CONTENT_LENGTH", length.to_string());
    let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&request.body)?;
    }
    let output = child.wait_with_output()?.stdout;
    answer(connection, &output)
}

/// CGI's `Status:` header becomes HTTP's first line; the rest goes as it is.
fn answer(mut connection: TcpStream, cgi: &[u8]) -> std::io::Result<()> {
    let head_length = cgi.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
    let (head, body) = cgi.split_at(head_length);
    let head = String::from_utf8_lossy(head);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    for line in head.lines().filter(|line| !line.starts_with("Status: ")) {
        write!(connection, "{line}\r\n")?;
    }
    let body = body.strip_prefix(b"\r\n\r\n").unwrap_or(body);
    write!(connection, "Content-Length: {}\r\n\r\n", body.len())?;
    connection.write_all(body)?;
    connection.flush()
}
