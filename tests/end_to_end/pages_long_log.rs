//! A log of a million lines in a real browser, while its step goes on and after it: its first, middle and last lines by a jump and by
//! scrolling, a search through all of it, and memory that does not grow with it.

use slipway_tests::{Agent, AgentOptions, Browser, Checkout, Coordinator, wait_until};

const LINES: u64 = 1_000_000;

/// How many rows of a log a window ever holds: six pages through which somebody scrolled, or what came live and a page.
const ROWS_MAX: u64 = 6_000;

/// What a coordinator may hold at most, as in the tests of unruly steps.
const MEMORY_LIMIT_BYTES: u64 = 384 << 20;

/// How many windows somebody scrolls through in search of a line.
const KEYS_MAX: usize = 300;

/// Prints the lines, and goes on until somebody ends it.
fn workflow() -> String {
    format!(
        "on: push\njobs:\n  long:\n    runs-on: ubuntu-latest\n    steps:\n      - name: Before\n        run: echo before\n      \
         - name: Count\n        run: |\n          seq -f 'line %.0f of many' 1 {LINES}\n          \
         while true; do sleep 0.2; echo 'still here'; done\n"
    )
}

/// Somebody at the page of the job.
struct Reader {
    browser: Browser,
    job: String,
    /// How many lines the log has before the first of them.
    before: u64,
}

impl Reader {
    /// What the page shows of one of the lines; empty while it is not there.
    fn shown(&mut self, line: u64) -> String {
        let row = line + self.before;
        let asked = self
            .browser
            .ask(&format!("document.querySelector('#L{row} > span:last-child')?.textContent ?? ''"));
        asked.as_str().unwrap().to_owned()
    }

    /// The line is there as it was said, in view, and what is around it has no hole.
    fn sees(&mut self, line: u64) {
        let row = line + self.before;
        self.browser.wait(&format!(
            "(() => {{ const box = document.getElementById('L{row}')?.getBoundingClientRect(); \
             return box && box.top >= 0 && box.bottom <= innerHeight; }})()"
        ));
        assert_eq!(self.shown(line), format!("line {line} of many"));
        self.is_whole();
    }

    /// The rows are bounded, and the numbers of our lines rise by one.
    fn is_whole(&mut self) {
        let rows = self.browser.ask("document.querySelectorAll('.log li').length").as_u64().unwrap();
        assert!((1..=ROWS_MAX).contains(&rows), "{rows} rows");
        let gaps = "[...document.querySelectorAll('.step[open] .log li[id]')]\
            .filter((row) => /^line \\d+ of many$/.test(row.lastElementChild.textContent)).map((row) => Number(row.id.slice(1)))\
            .filter((number, at, all) => at > 0 && number != all[at - 1] + 1)";
        assert_eq!(self.browser.ask(gaps), serde_json::json!([]), "no line is missing or twice");
    }

    /// Goes to a line by its address.
    fn jumps_to(&mut self, line: u64) {
        let (job, row) = (&self.job, line + self.before);
        assert_eq!(self.browser.open(&format!("{job}?line={row}#L{row}")), 200);
        self.browser.wait(&format!("document.getElementById('L{row}')?.matches(':target')"));
        self.sees(line);
    }

    /// Presses a key that scrolls until a line is there. Nothing is clicked.
    fn scrolls_to(&mut self, key: &str, line: u64) {
        self.scrolls(key, &format!("line {line}"), |reader| !reader.shown(line).is_empty());
    }

    /// Presses a key that scrolls until there is where what is new comes. What the step says meanwhile may fill pages.
    fn scrolls_to_live_end(&mut self) {
        self.scrolls("End", "the live end", |reader| {
            reader.browser.ask("document.querySelector('.step[open] .log[data-tail]') != null") == true
        });
    }

    fn scrolls(&mut self, key: &str, to: &str, is_there: impl Fn(&mut Self) -> bool) {
        for _ in 0..KEYS_MAX {
            if is_there(self) {
                return self.is_whole();
            }
            self.browser.press(&[key]);
            // What the key did is drawn, and what it asked for has come.
            self.browser
                .ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
            self.browser.wait("!document.querySelector('.step[aria-busy]')");
        }
        panic!(
            "{to} never came by {key}: {}",
            self.browser.ask("document.querySelector('.step[open] .pager').innerText")
        );
    }

    /// Searches, on and on where the log is longer than one search, and goes to the only line that is found.
    fn finds(&mut self, text: &str, line: u64) {
        self.browser.open(&self.job.clone());
        self.browser.fill("#q", text);
        self.browser.press(&["Enter"]);
        self.browser.wait("document.querySelector('[role=status].summary')");
        while self.browser.ask("document.querySelectorAll('.hits li').length") == 0 {
            self.browser.click("a[href*='from_line=']");
            self.browser
                .wait("document.readyState == 'complete' && document.querySelector('[role=status].summary')");
        }
        self.browser.click(".hits li a");
        let row = line + self.before;
        self.browser.wait(&format!("document.getElementById('L{row}')?.matches(':target')"));
        self.sees(line);
    }

    /// Reads all over the log.
    fn reads_everywhere(&mut self) {
        let middle = LINES / 2;
        for line in [1, middle, LINES] {
            self.jumps_to(line);
        }
        // A link to a line that another page has, in the page that is there.
        let row = middle + self.before;
        self.browser.ask(&format!("location.hash = '#L{row}'"));
        self.browser.wait(&format!("document.getElementById('L{row}')?.matches(':target')"));
        self.sees(middle);
        // Over the ends of pages, further than what is kept of them, and back.
        self.scrolls_to("PageDown", middle + 4_000);
        assert_eq!(self.shown(middle), "", "what is far above was let go");
        self.scrolls_to("PageUp", middle);
        self.scrolls_to("PageUp", middle - 1_500);
        self.jumps_to(1);
        self.scrolls_to("PageDown", 1_700);
        self.jumps_to(LINES - 1_200);
        self.scrolls_to("PageDown", LINES);
    }
}

#[test]
fn a_log_of_a_million_lines_is_read_from_end_to_end_while_it_goes_on_and_after() {
    let coordinator = Coordinator::start();
    let agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(&workflow());
    let mut submitter = coordinator.run_command(&checkout);
    let submitter = submitter.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn();
    let run = coordinator.newest_run();
    let job = wait_until("the job has begun", || {
        let shown = coordinator.show(&run);
        let instance = shown["instances"].as_array()?.iter().find(|each| each["attempt"] != 0)?;
        Some(format!("/runs/{run}/jobs/{}", instance["instance_id"].as_str()?))
    });
    let mut reader = Reader { browser: Browser::start(), job: job.clone(), before: 0 };
    reader.browser.open(&coordinator.url("/"));
    reader.browser.fill("#token", &coordinator.token());
    reader.browser.press(&["Enter"]);
    reader.browser.wait("document.querySelector('h1').textContent == 'Runs'");

    // Who looks on sees the end of it without loading anything, and not all that came before.
    reader.browser.open(&job);
    wait_until("all lines were said", || {
        (reader.browser.ask("document.body.innerText.includes('still here')") == true).then_some(())
    });
    reader.is_whole();
    // From there to its first line in one press.
    reader.browser.click(".step[open] .pager a:first-of-type");
    reader.browser.wait_text("line 1 of many");
    let first = "[...document.querySelectorAll('.log li[id]')]\
        .find((row) => row.lastElementChild.textContent == 'line 1 of many').id.slice(1)";
    reader.before = reader.browser.ask(first).as_str().unwrap().parse::<u64>().unwrap() - 1;

    reader.reads_everywhere();
    // It is the log's end again, and goes on.
    reader.scrolls_to_live_end();
    let still = "[...document.querySelectorAll('.log li')].filter((row) => row.innerText.includes('still here')).length";
    let seen = reader.browser.ask(still).as_u64().unwrap();
    reader.browser.wait(&format!("{still} > {seen}"));
    reader.finds("LINE 77 of many", 77);
    reader.finds(&format!("line {} of", LINES - 1), LINES - 1);

    assert_eq!(coordinator.plain(&["cancel", &run]).code, 0);
    let _ended = coordinator.finished(&run);
    reader.reads_everywhere();
    reader.finds(&format!("line {} of", LINES - 2), LINES - 2);
    assert_eq!(reader.browser.troubles(), Vec::<serde_json::Value>::new());
    let held = coordinator.peak_memory_bytes();
    assert!(held < MEMORY_LIMIT_BYTES, "coordinator: {held} bytes");
    let held = agent.peak_memory_bytes();
    assert!(held < MEMORY_LIMIT_BYTES, "agent: {held} bytes");
    assert!(submitter.unwrap().wait().unwrap().code().is_some());
}
