//! The web pages in a real browser: a run that is watched from its beginning to its end, by people who see, who do not, and
//! who have no mouse.

use slipway_tests::{Agent, AgentOptions, Browser, Checkout, Coordinator, wait_until};

/// Names that would do something if they were taken for HTML, a log with colours, an error and a matrix; and a job
/// that says lines until somebody ends it.
const WORKFLOW: &str = r#"
name: "Check <script>alert(1)</script>"
on: push
jobs:
  build:
    name: "build <img src=x onerror=alert(2)>"
    runs-on: ubuntu-latest
    strategy:
      matrix: { part: [one, two] }
    steps:
      - name: "Say <b>it</b>"
        run: |
          printf '\033[32mgreen\033[0m and \033[1;31mred\033[0m\n'
          echo '<script>alert(3)</script>'
          seq 1 1200
          echo left > left.txt
          printf '# Left over\n\n| part | lines |\n|---|---|\n| `${{ matrix.part }}` | 1200 |\n\n<script>alert(4)</script><img src=x>\n' >> "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        with: { name: "left & ${{ matrix.part }}", path: left.txt }
  broken:
    runs-on: ubuntu-latest
    steps:
      - name: Fine
        run: echo fine
      - name: Fails
        run: |
          echo "::error file=src/lib.rs,line=7::it is <i>broken</i>"
          echo "::warning file=<b>x</b>,title=<b>title</b>::<img src=x onerror=alert(4)>"
          exit 3
      - name: Never
        run: echo never
  after:
    needs: [build, broken]
    runs-on: ubuntu-latest
    steps:
      - run: echo after
  slow:
    runs-on: ubuntu-latest
    steps:
      - name: Wait
        run: |
          echo "it begins"
          while true; do sleep 0.2; echo "still here"; done
"#;

/// A branch's name may be almost anything.
const BRANCH: &str = "x/<b>bold</b><img/src=x><script>alert(5)</script>";

struct Watched {
    coordinator: Coordinator,
    browser: Browser,
    run: String,
    _agent: Agent,
    _checkout: Checkout,
    _submitter: std::process::Child,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self._submitter.kill();
        let _ = self._submitter.wait();
    }
}

impl Watched {
    fn start() -> Self {
        let coordinator = Coordinator::start();
        let agent = Agent::start(&coordinator, AgentOptions { slots: 3, ..AgentOptions::named("one") });
        let checkout = Checkout::with_workflow(WORKFLOW);
        checkout.git(&["checkout", "--quiet", "-b", BRANCH]);
        let mut command = coordinator.run_command(&checkout);
        let submitter =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn();
        let run = coordinator.newest_run();
        let browser = Browser::start();
        Self { coordinator, browser, run, _agent: agent, _checkout: checkout, _submitter: submitter.unwrap() }
    }

    fn sign_in(&mut self) {
        assert_eq!(self.browser.open(&self.coordinator.url("/")), 200);
        self.browser.fill("#token", &self.coordinator.token());
        self.browser.press(&["Enter"]);
        self.browser.wait("document.querySelector('h1').textContent == 'Runs'");
    }

    /// The path of a job of this name in the file, once it has begun.
    fn job(&self, id: &str) -> String {
        wait_until("the job has begun", || {
            let shown = self.coordinator.show(&self.run);
            let begun = |each: &&serde_json::Value| each["job"] == id && each["attempt"] != 0;
            let found =
                shown["instances"].as_array()?.iter().find(begun)?["instance_id"].as_str()?.to_owned();
            Some(format!("/runs/{}/jobs/{found}", self.run))
        })
    }

    /// The page is as it should be for everybody: in light and dark, and as narrow as a telephone.
    fn is_right(&mut self, page: &str) {
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)] {
            self.browser.look(scheme, width);
            assert_eq!(self.browser.axe(), Vec::<serde_json::Value>::new(), "{page}, {scheme}, {width}");
            let wider = self
                .browser
                .ask("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wider, 0, "{page} is wider than the window of {width}");
        }
        self.browser.look("light", 1280);
        assert_eq!(self.browser.troubles(), Vec::<serde_json::Value>::new(), "{page}");
    }

    /// Goes on with the tabulator to what this expression says of the element with the focus, which has to show that it has it.
    fn tab_to(&mut self, wanted: &str) {
        for _ in 0..80 {
            self.browser.press(&["Tab"]);
            let visible = "(() => { const e = document.activeElement; return e == document.body || \
                getComputedStyle(e).outlineStyle != 'none'; })()";
            assert_eq!(self.browser.ask(visible), true, "whoever has the focus shows it");
            if self.browser.ask(&format!("((e) => {wanted})(document.activeElement)")) == true {
                return;
            }
        }
        panic!("{wanted} is never reached by keys");
    }

    /// Ends what runs, as people do it.
    fn cancel(&self) {
        assert_eq!(self.coordinator.plain(&["cancel", &self.run]).code, 0);
    }
}

/// Tools of people ask the cache, so that its page has a table in each of its sections, and a plot.
fn use_the_cache(coordinator: &Coordinator) {
    let token = std::fs::read_to_string(coordinator.data_dir().join("cache.token")).unwrap();
    let authorization = format!("authorization: Bearer {}", token.trim());
    let file = std::env::current_exe().unwrap();
    for (client, arguments) in [
        ("ccache/4.7.5", ["--output", "/dev/null"]),
        ("ccache/4.7.5", ["--upload-file", file.to_str().unwrap()]),
        ("ccache/4.7.5", ["--output", "/dev/null"]),
        ("Gradle/8.1", ["--output", "/dev/null"]),
    ] {
        let asked = std::process::Command::new("curl")
            .args(["--silent", "--header", &authorization, "--user-agent", client])
            .args(arguments)
            .arg(coordinator.url("/cache/files/ccache/one"))
            .status();
        assert!(asked.unwrap().success());
    }
}

/// Tokens and a secret, so that the pages of settings have their tables.
fn fill_the_settings(coordinator: &Coordinator) {
    for arguments in
        [&["tokens", "make", "<b>Vera</b>", "--role", "viewer"][..], &["agents", "token", "--labels", "gpu"]]
    {
        assert_eq!(coordinator.plain(arguments).code, 0, "{arguments:?}");
    }
    let long = format!("<b>{}</b>", "value".repeat(300));
    let variable = ["variables", "set", "LONG", &long, "--repo", "o/<b>", "--env", "<i>production</i>"];
    assert_eq!(coordinator.plain(&variable).code, 0);
    let set = std::process::Command::new("curl")
        .args(["--silent", "--fail", "--request", "PUT", "--header", "content-type: application/json"])
        .args(["--header", &format!("authorization: Bearer {}", coordinator.token())])
        .args(["--data", r#"{"value": "hush", "repository": "o/<b>"}"#])
        .arg(coordinator.url("/api/v1/secrets/KEY"))
        .status();
    assert!(set.unwrap().success());
}

#[test]
fn every_page_is_right_for_everybody_and_what_comes_from_outside_stays_text() {
    let mut watched = Watched::start();
    watched.browser.open(&watched.coordinator.url("/"));
    watched.is_right("welcome");
    watched.browser.open(&format!("/runs/{}", watched.run));
    watched.is_right("sign in");
    watched.sign_in();
    use_the_cache(&watched.coordinator);
    fill_the_settings(&watched.coordinator);
    let (build, broken) = (watched.job("build"), watched.job("broken"));
    let run = format!("/runs/{}", watched.run);
    watched.browser.open(&run);
    watched.browser.wait_text("it is <i>broken</i>");
    watched.browser.wait("document.querySelectorAll('#artifacts a[download]').length == 2");
    // One press leads from the run to its first error.
    watched.browser.click(".failures .errors a");
    watched.browser.wait("document.getElementById('error')?.matches(':target')");
    watched.browser.wait_text("src/lib.rs:7");
    for path in [
        "/",
        &run,
        &format!("{run}/summaries"),
        &build,
        &format!("{build}?q=12"),
        &broken,
        "/fleet",
        "/start",
        "/tests",
        "/tests/one?repository=o%2Fn&name=none",
        "/coverage",
        "/usage",
        "/caches",
        "/environments",
        "/audit",
        "/settings",
        "/settings/tokens",
        "/settings/secrets",
        "/settings/variables",
        "/nothing",
    ] {
        let status = watched.browser.open(path);
        if path == "/nothing" {
            // The browser tells of a status like this by itself.
            assert_eq!((status, watched.browser.troubles().len()), (404, 1));
        } else {
            assert_eq!(status, 200, "{path}");
        }
        watched.is_right(path);
        if path == "/caches" {
            // This hour's, and the one before if it has just ended.
            assert_ne!(watched.browser.ask("document.querySelectorAll('.plot .bar').length"), 0);
        }
        let elements =
            watched.browser.ask("document.querySelectorAll('main script, main img, main b').length");
        assert_eq!(elements, 0, "{path}: a name became an element");
    }
    watched.browser.open(&format!("{build}?step=0&page=1"));
    watched.browser.wait_text("<script>alert(3)</script>");
    assert_eq!(watched.browser.ask("document.querySelector('.log .f2').textContent"), "green");
    watched.browser.ask("location.hash = '#L1100'");
    watched.browser.wait("document.getElementById('L1100')?.matches(':target')");
    let first_bytes = watched.browser.ask("performance.getEntriesByType('navigation')[0].encodedBodySize");
    assert!(first_bytes.as_u64().unwrap() < 200_000, "{first_bytes}");
    watched.cancel();
}

#[test]
fn lines_appear_live_also_after_the_coordinator_was_killed_and_keys_reach_every_button() {
    let mut watched = Watched::start();
    watched.sign_in();
    let slow = watched.job("slow");
    watched.browser.open(&slow);
    watched.browser.wait_text("still here");
    let lines = "document.querySelectorAll('.log li').length";
    let seen = watched.browser.ask(lines).as_u64().unwrap();
    watched.browser.wait(&format!("{lines} > {}", seen + 3));
    assert_eq!(watched.browser.troubles(), Vec::<serde_json::Value>::new());

    watched.browser.expect_failures(true);
    watched.coordinator.kill9();
    watched.browser.wait_text("Connection lost");
    let seen = watched.browser.ask(lines).as_u64().unwrap();
    watched.coordinator.start_again();
    watched.browser.wait(&format!("{lines} > {}", seen + 3));
    watched.browser.wait("document.getElementById('connection').textContent == ''");
    watched.browser.expect_failures(false);
    // No line twice and none missing: their numbers rise by one.
    let gaps = "[...document.querySelectorAll('.log li[id]')]\
        .filter((row) => row.querySelector(':scope > span')?.textContent == 'still here').map((row) => Number(row.id.slice(1)))\
        .filter((number, at, all) => at > 0 && number != all[at - 1] + 1)";
    assert_eq!(watched.browser.ask(gaps), serde_json::json!([]));

    // From the run's page to its end, without a mouse.
    watched.browser.open(&format!("/runs/{}", watched.run));
    watched.browser.ask("document.activeElement.blur()");
    watched.tab_to("e.textContent == 'Cancel run'");
    watched.browser.press(&["Enter"]);
    watched
        .browser
        .wait("document.querySelector('#head').innerText.includes('cancelled by an administrator')");
    watched.browser.wait_text("Re-run all jobs");
    assert_eq!(watched.browser.troubles(), Vec::<serde_json::Value>::new());
}

#[test]
fn whoever_has_no_mouse_reads_a_failure_searches_a_log_and_steers_an_agent() {
    let mut watched = Watched::start();
    watched.sign_in();
    let (build, broken) = (watched.job("build"), watched.job("broken"));
    watched.browser.open(&format!("/runs/{}", watched.run));
    watched.browser.wait_text("it is <i>broken</i>");
    watched.browser.wait_text(BRANCH);
    watched.tab_to("e.textContent.includes('it is <i>broken</i>')");
    watched.browser.press(&["Enter"]);
    watched.browser.wait("document.getElementById('error')?.matches(':target')");
    watched.browser.wait_text("<img src=x onerror=alert(4)>");
    assert_eq!(watched.browser.ask("document.querySelectorAll('main img, main b').length"), 0);

    // Another step of it is opened, which loads what that said.
    watched.browser.open(&broken);
    watched.tab_to("e.matches('summary') && e.textContent.includes('Fine')");
    watched.browser.press(&["Enter"]);
    watched.browser.wait(
        "[...document.querySelectorAll('.step[open] .log li')].some((row) => row.innerText.endsWith('fine'))",
    );

    // A search, and on to what was found.
    watched.browser.open(&build);
    watched.browser.wait("document.querySelector('#head').innerText.includes('Succeeded')");
    watched.tab_to("e.id == 'q'");
    watched.browser.press(&["1", "1", "9", "7", "Enter"]);
    watched.browser.wait("document.querySelector('.hits li > span')?.textContent == '1197'");
    watched.tab_to("e.closest('.hits') != null");
    watched.browser.press(&["Enter"]);
    watched.browser.wait("document.querySelector('.log li:target > span:last-child')?.textContent == '1197'");

    watched.browser.open("/fleet");
    watched.tab_to("e.matches('button') && e.textContent == 'Drain'");
    watched.browser.press(&["Enter"]);
    watched.browser.wait(
        "[...document.querySelectorAll('main button')].some((button) => button.textContent == 'Resume')",
    );
    watched.cancel();
    assert_eq!(watched.browser.troubles(), Vec::<serde_json::Value>::new());
}
