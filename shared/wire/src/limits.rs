//! Limits of what one message may carry.

/// Leases in one `Hello` or `Renew`. An agent never has more slots than this.
pub const MAX_LEASES_PER_MESSAGE: usize = 1_024;

/// Labels of one agent.
pub const MAX_LABELS: usize = 100;

/// Bytes of one label, as GitHub has it.
pub const MAX_LABEL_BYTES: usize = 256;

/// Bytes of an agent's name.
pub const MAX_NAME_BYTES: usize = 200;

/// Slots of one agent.
pub const MAX_SLOTS: u32 = 1_024;

/// Bytes of a message for people.
pub const MAX_MESSAGE_BYTES: usize = 4_096;

/// Bytes of all outputs of a job, keys and values: GitHub's 1 MiB a job.
pub const MAX_OUTPUTS_BYTES: usize = 1024 * 1024;

/// Bytes of one log line or piece of one.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Records in one batch.
pub const MAX_RECORDS_PER_BATCH: usize = 65_536;

/// Bytes of one batch of records, as encoded.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of data in one chunk of a blob.
pub const MAX_BLOB_CHUNK_BYTES: usize = 1024 * 1024;

/// Test cases of one attempt.
pub const MAX_TEST_CASES: usize = 50_000;

/// Bytes of all texts of one attempt's test cases.
pub const MAX_TEST_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of the name of a test case, its suite, class, file or report.
pub const MAX_TEST_NAME_BYTES: usize = 1024;

/// Bytes of the address where what a job deployed can be seen.
pub const MAX_ENVIRONMENT_URL_BYTES: usize = 2 * 1024;

/// Bytes of a test case's message.
pub const MAX_TEST_MESSAGE_BYTES: usize = 4 * 1024;

/// Files of one attempt whose coverage is told one by one.
pub const MAX_COVERED_FILES: usize = 10_000;

/// Findings of one attempt.
pub const MAX_FINDINGS: usize = 10_000;

/// Components of one attempt.
pub const MAX_COMPONENTS: usize = 20_000;

/// Licences of one component.
pub const MAX_LICENCES: usize = 8;

/// Bytes of a name, path, fingerprint or licence in a report.
pub const MAX_REPORT_NAME_BYTES: usize = 1024;

/// Bytes of all texts of one attempt's coverage, of its findings, and of its components.
pub const MAX_REPORT_TEXT_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of a finding's message.
pub const MAX_FINDING_MESSAGE_BYTES: usize = 4 * 1024;
