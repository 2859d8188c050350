//! `slipway github`: makes a GitHub App for this coordinator, or says what the one that there is lacks.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::get;
use clap::{Args, Subcommand};
use serde::Deserialize;
use slipway_coordinator::github::api::setup::{self, NewApp};
use slipway_coordinator::options::{GithubFlags, GithubOptions};
use tokio::sync::mpsc;

use crate::failure::{Exit, Failure};
use crate::output::{self, Out};
use crate::settings::Settings;

/// Tell GitHub of runs: make an App for that, or check the one there is
#[derive(Debug, Args)]
pub struct Github {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a GitHub App, in a browser, and keep its key and its webhook's secret
    Setup(Setup),
    /// Say what the App lacks: permissions, events, webhook
    Check(GithubFlags),
}

#[derive(Debug, Args)]
struct Setup {
    /// Where GitHub and people reach the coordinator
    #[arg(long, value_name = "URL", env = "SLIPWAY_PUBLIC_URL")]
    public_url: String,
    /// The organization that is to own the App [default: whoever is signed in]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// The App's name; GitHub wants one that nobody has
    #[arg(long, value_name = "NAME", default_value = "Slipway")]
    name: String,
    /// GitHub's API; https://HOST/api/v3 for GitHub Enterprise Server
    #[arg(long, value_name = "URL", env = "SLIPWAY_GITHUB_API")]
    github_api: Option<String>,
    /// Folder for key and secret
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// The code of the address that the browser was sent to, where that could not reach this machine
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

impl Github {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        match self.what {
            What::Setup(setup) => setup.run(out).await,
            What::Check(flags) => check(flags, settings, out).await,
        }
    }
}

/// What went wrong with a question, and whom it was put to.
fn at(api: &str, error: &impl std::fmt::Display) -> Failure {
    Failure::fleet(format!("{api}: {error}"))
}

async fn check(mut flags: GithubFlags, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
    let public_url = flags.public_url.clone().or_else(|| settings.public_url.clone());
    flags.from_file = settings.github.clone();
    let options = GithubOptions::from_flags(&flags).map_err(|error| Failure::usage(error.to_string()))?;
    let options = options.ok_or_else(|| {
        Failure::usage(
            "which App? Give --github-app-id and --github-key-file, or a configuration file with [github]",
        )
    })?;
    let wrong =
        setup::check(&options, public_url.as_deref()).await.map_err(|error| at(&options.api, &error))?;
    for line in &wrong {
        out.line(line)?;
    }
    if wrong.is_empty() {
        out.line("the App is as it should be")?;
        return Ok(Exit::Success);
    }
    Ok(Exit::WorkFailed)
}

impl Setup {
    async fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        let api = GithubOptions::api_address(self.github_api.as_deref());
        let api = api.map_err(|error| Failure::usage(error.to_string()))?;
        // The code is good once: what would be in the way later is told before it is used.
        if !self.out.is_dir() {
            return Err(Failure::usage(format!("--out: {} is no folder", self.out.display())));
        }
        for path in self.files() {
            if path.exists() {
                return Err(Failure::usage(format!(
                    "{} is there already; choose another --out",
                    path.display()
                )));
            }
        }
        let code = match &self.code {
            Some(code) => code.clone(),
            None => self.code(&api).await?,
        };
        let app = setup::convert(&api, &code).await.map_err(|error| at(&api, &error))?;
        self.keep(&api, &app, out)?;
        Ok(Exit::Success)
    }

    /// Where key and webhook secret go.
    fn files(&self) -> [PathBuf; 2] {
        [self.out.join("github-app.pem"), self.out.join("github-webhook.secret")]
    }

    /// Has a person make the App, and gives the code with which their browser comes back.
    async fn code(&self, api: &str) -> Result<String, Failure> {
        let cannot = |error: std::io::Error| Failure::fleet(format!("no page can be served: {error}"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        // Nobody else's page can send a code here.
        let state = uuid::Uuid::new_v4().to_string();
        let manifest = setup::manifest(&self.name, &self.public_url, &format!("http://{address}/made"));
        let page = form(&setup::page(api, self.organization.as_deref()), &state, &manifest.to_string());
        let (made, mut codes) = mpsc::channel(1);
        let door = Door { page, state, made };
        let router = Router::new().route("/", get(begin)).route("/made", get(end)).with_state(door);
        output::note(&format!(
            "Open http://{address}/ in a browser on this machine and make the App there. If the browser is elsewhere, it ends at an address \
             that it cannot open: run the command again with --code and the `code` of that address."
        ));
        let serving = async { axum::serve(listener, router).await };
        tokio::select! {
            served = serving => Err(cannot(served.err().unwrap_or_else(|| std::io::Error::other("it ended")))),
            code = codes.recv() => {
                // The page that says so is on its way.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                code.ok_or_else(|| Failure::fleet("the page ended"))
            }
        }
    }

    fn keep(&self, api: &str, app: &NewApp, out: &mut Out) -> Result<(), Failure> {
        let [key, secret] = self.files();
        write(&key, &app.key)?;
        write(&secret, &app.webhook_secret)?;
        let told = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (key, secret) = (told(&key), told(&secret));
        out.line(&format!("public_url = {:?}", self.public_url))?;
        out.line(&format!("webhook_secret_file = {:?}", secret.display().to_string()))?;
        out.line("\n[github]")?;
        out.line(&format!("app_id = {}", app.id))?;
        out.line(&format!("key_file = {:?}", key.display().to_string()))?;
        if self.github_api.is_some() {
            out.line(&format!("api = {api:?}"))?;
        }
        output::note(&format!(
            "The App is made. Put the lines above into the coordinator's configuration, and install the App on repositories: {}/installations/new",
            app.page
        ));
        Ok(())
    }
}

/// Writes a file that only its owner may read. One that is there stays: its App may be in use.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| Failure::usage(format!("--out: {}: {error}", path.display())))
}

#[derive(Clone)]
struct Door {
    page: String,
    state: String,
    made: mpsc::Sender<String>,
}

async fn begin(State(door): State<Door>) -> Html<String> {
    Html(door.page)
}

#[derive(Deserialize)]
struct Made {
    code: Option<String>,
    state: Option<String>,
}

async fn end(State(door): State<Door>, Query(made): Query<Made>) -> Html<&'static str> {
    match made.code {
        Some(code) if made.state.as_deref() == Some(door.state.as_str()) => {
            // A second one finds no room: the first counts.
            let _ = door.made.try_send(code);
            Html("<p>The App is made. Go back to the terminal.</p>")
        }
        _ => Html("<p>This is not what was asked for. Begin again.</p>"),
    }
}

/// A page that sends the manifest to GitHub when its button is pressed.
fn form(page: &str, state: &str, manifest: &str) -> String {
    let quoted = |text: &str| {
        text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
    };
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Slipway</title>\
         <form action=\"{}?state={state}\" method=\"post\">\
         <input type=\"hidden\" name=\"manifest\" value=\"{}\">\
         <p>GitHub shows what the App may do before it is made.</p><button>Make the App at GitHub</button></form>",
        quoted(page),
        quoted(manifest)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_the_manifest_as_text() {
        let page = form("https://github.com/settings/apps/new", "s", "{\"name\":\"<b>\"}");
        assert!(page.contains("value=\"{&quot;name&quot;:&quot;&lt;b&gt;&quot;}\""), "{page}");
    }

    #[test]
    fn a_key_is_its_owners_alone_and_never_written_over() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        write(&path, "one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&path, "two").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }
}
