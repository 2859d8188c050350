//! Signing in at a provider of identities, in a real browser: there, back, and on to the page that was wanted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use slipway_tests::{Browser, Coordinator};

/// `oidc-provider`, as its own pages are.
struct Provider {
    issuer: String,
    _packages: tempfile::TempDir,
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    fn listen() -> Self {
        let packages =
            std::env::var_os("SLIPWAY_OIDC_PROVIDER").expect("scripts/prepare-clients.sh says where it is");
        // Node looks for packages beside the script.
        let here = tempfile::tempdir_in(packages).unwrap();
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/tests/clients/oidc_provider.mjs");
        std::fs::copy(source, here.path().join("oidc_provider.mjs")).unwrap();
        let mut command = Command::new("node");
        command.current_dir(here.path()).args(["oidc_provider.mjs", "0"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut issuer = String::new();
        output.read_line(&mut issuer).unwrap();
        Self { issuer: issuer.trim().to_owned(), _packages: here, child, input, output }
    }

    fn serve(&mut self, coordinator: &Coordinator) {
        let set = json!({
            "clients": [{
                "client_id": "slipway", "client_secret": "hush",
                "redirect_uris": [coordinator.url("/sign-in/sso/back")],
            }],
            "accounts": {"ada": {"preferred_username": "ada"}},
            "inToken": false, "consented": false,
        });
        writeln!(self.input, "{set}").unwrap();
        let mut ready = String::new();
        self.output.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
    }
}

#[test]
fn somebody_signs_in_at_a_provider_and_goes_on_where_they_wanted_to() {
    let mut provider = Provider::listen();
    let folder = tempfile::tempdir().unwrap();
    let (secret, path) = (folder.path().join("secret"), folder.path().join("coordinator.toml"));
    std::fs::write(&secret, "hush\n").unwrap();
    let configuration = format!(
        "[[sign_in]]\nname = 'sso'\nlabel = 'the company'\nissuer = '{}'\nclient_id = 'slipway'\n\
         client_secret_file = '{}'\n[[sign_in.role]]\nrole = 'admin'\nusers = ['ada']\n",
        provider.issuer,
        secret.display()
    );
    std::fs::write(&path, configuration).unwrap();
    let coordinator = Coordinator::start_with(&["--config", path.to_str().unwrap()]);
    provider.serve(&coordinator);
    let mut browser = Browser::start();
    assert_eq!(browser.open(&coordinator.url("/fleet")), 200);
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 360)] {
        browser.look(scheme, width);
        assert_eq!(browser.axe(), Vec::<Value>::new(), "{scheme}, {width}");
    }
    assert_eq!(browser.troubles(), Vec::<Value>::new());
    // The provider's pages are its own business.
    browser.expect_failures(true);
    browser.click(".providers a");
    browser.fill("input[name=login]", "ada");
    browser.fill("input[name=password]", "any");
    browser.press(&["Enter"]);
    browser.wait("document.querySelector('input[name=prompt]')?.value == 'consent'");
    browser.click("button[type=submit]");
    browser.wait("document.querySelector('h1')?.textContent == 'Fleet'");
    browser.expect_failures(false);
    browser.wait_text("ada (admin)");
    assert_eq!(browser.open("/settings/tokens"), 200);
    browser.wait_text("the company");
    // Signed out, the way back leads nowhere.
    browser.click(".out button");
    browser.wait_text("Sign in with the company");
    assert_eq!(browser.open("/settings/tokens"), 200);
    browser.wait("document.querySelector('h1').textContent == 'Sign in'");
    assert_eq!(coordinator.api("/api/v1/tokens")["tokens"], json!([]));
    assert_eq!(browser.troubles(), Vec::<Value>::new());
}
