//! Every size and wait of the pages.

use std::time::Duration;

/// How long somebody stays signed in.
pub(super) const SESSION: Duration = Duration::from_secs(12 * 60 * 60);

/// The longest body of a form, in bytes.
pub(super) const FORM_MAX_BYTES: usize = 64 << 10;

/// The longest local path to go on to after a sign-in, in bytes.
pub(super) const NEXT_MAX_BYTES: usize = 1_024;

/// How many of the newest runs the overview counts and looks through for a filter.
pub(super) const RUNS_LOOKED_AT: usize = 2_000;

/// How many runs the overview shows of what runs, and of what is over.
pub(super) const RUNS_SHOWN: usize = 50;

/// How many repositories the overview names.
pub(super) const REPOSITORIES_SHOWN: usize = 30;

/// How many waiting jobs the page of the fleet names.
pub(super) const WAITING_SHOWN: usize = 50;

/// How many decisions about environments their page shows.
pub(super) const DECISIONS_SHOWN: usize = 50;

/// How many rows each table of the page of caches has.
pub(super) const CACHE_ROWS_SHOWN: usize = 100;

/// How many rows each table of the page of tests has.
pub(super) const TESTS_SHOWN: usize = 50;

/// How many instances of one job the page of a run shows.
pub(super) const INSTANCES_SHOWN: usize = 300;

/// How many failed jobs of a run are told with their errors: each costs a look at its log.
pub(super) const FAILED_SHOWN: usize = 12;

/// How many errors of one job, and how many of its failed tests, the page of its run shows.
pub(super) const ERRORS_SHOWN: usize = 5;

/// How many annotations of an attempt are kept in its outline.
pub(super) const PROBLEMS_KEPT: usize = 200;

/// How many pieces of summaries of an attempt are kept in its outline: of a piece its place.
pub(super) const SUMMARIES_KEPT: usize = 500;

/// How many jobs the page of a run's summaries looks at, and how much of what they say it shows, in bytes.
pub(super) const SUMMARY_JOBS: usize = 50;
/// See [`SUMMARY_JOBS`].
pub(super) const SUMMARIES_SHOWN_BYTES: usize = 1 << 20;

/// How many steps an outline has; what comes after them counts to the last one.
pub(super) const STEPS_KEPT: usize = 2_000;

/// How many rows of a log one page has.
pub(super) const PAGE_ROWS: u64 = 500;

/// How many pages of one step are known; rows behind them are only in the raw log. Twenty-five million rows.
pub(super) const PAGES_KEPT: usize = 50_000;

/// How many records one request looks through for an outline; the next goes on from there.
pub(super) const OUTLINE_RECORDS: u64 = 1_000_000;

/// How many outlines are kept in memory.
pub(super) const OUTLINES_KEPT: usize = 64;

/// How many files with lines that no test reached a run's page shows, and how many findings.
pub(super) const FILES_SHOWN: usize = 20;
/// See [`FILES_SHOWN`].
pub(super) const FINDINGS_SHOWN: usize = 50;

/// How much of a line is shown, in bytes; the raw log has all of it.
pub(super) const LINE_SHOWN_BYTES: usize = 2_048;

/// How many changes of colour a line may have; behind them it is plain.
pub(super) const SPANS_PER_LINE: usize = 100;

/// The longest text to search for, in bytes.
pub(super) const SEARCH_TEXT_BYTES: usize = 200;

/// How many lines one search shows; the next goes on behind them.
pub(super) const SEARCH_HITS: usize = 100;

/// How many records one search looks through; the next goes on behind them.
pub(super) const SEARCH_RECORDS: u64 = 500_000;

/// How many logs are looked through at once, for outlines and searches: whoever else asks waits.
pub(super) const LOOKS_AT_ONCE: usize = 4;

/// How many pages follow live at once; the others have to be loaded again.
pub(crate) const LIVE_MAX: usize = 1_024;

/// The shortest time between two messages to one page that follows alone ...
pub(super) const LIVE_EVERY: Duration = Duration::from_millis(80);

/// ... and what each page that follows beside it adds: 500 of them make it a third of a second, and a log costs no more than it has to.
pub(super) const LIVE_EVERY_EACH: Duration = Duration::from_micros(500);

/// How often overview and fleet are looked at for whoever follows them.
pub(super) const LIVE_LOOK_EVERY: Duration = Duration::from_secs(2);

/// How many rows one message has.
pub(super) const LIVE_ROWS: usize = 250;

/// How many records a page may be behind; then it is told to load the end anew.
pub(super) const LIVE_BEHIND: u64 = 5_000;

/// How often a line without meaning keeps a quiet stream open.
pub(super) const LIVE_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often a page that follows is checked for whether its session is still good.
pub(super) const LIVE_CHECK_EVERY: Duration = Duration::from_secs(2);
