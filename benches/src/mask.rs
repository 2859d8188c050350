//! `mask`: a step's output masked with a job's secrets, beside a plain copy of the same bytes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use slipway_agent::steps::mask::{MaskStream, Masks};

use crate::figure::Figure;

/// How long each side works.
const SECONDS: u64 = 3;
/// Secrets of the job; each is masked in all its encodings.
const SECRETS: usize = 100;
/// Bytes of output; far more than any cache.
const OUTPUT_BYTES: usize = 64 * 1024 * 1024;
/// Every so many lines one holds a secret.
const LINES_A_SECRET: usize = 1_000;

fn secrets() -> Vec<String> {
    (0..SECRETS)
        .map(|at| {
            format!("S{at:03}+{:016x}/\"q\" & more", 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(at as u64 + 1))
        })
        .collect()
}

/// Lines as a build prints them.
fn output(secrets: &[String]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    while bytes < OUTPUT_BYTES {
        let at = lines.len();
        let end = match secrets.get(at / LINES_A_SECRET % secrets.len()) {
            Some(secret) if at.is_multiple_of(LINES_A_SECRET) => secret.as_str(),
            _ => "[unoptimized + debuginfo] target(s)",
        };
        let line = format!(
            "   Compiling some-crate-{at} v0.{}.{} (/home/runner/work/project/crates/{at}) {end}",
            at % 50,
            at % 7
        );
        bytes += line.len();
        lines.push(line.into_bytes());
    }
    lines
}

/// Bytes a second, in MB, of `each` over all lines again and again.
fn megabytes_per_second(lines: &[Vec<u8>], mut each: impl FnMut(&[u8]) -> usize) -> (f64, usize) {
    let start = Instant::now();
    let (mut bytes, mut written) = (0usize, 0usize);
    while start.elapsed() < Duration::from_secs(SECONDS) {
        for line in lines {
            written += each(line);
            bytes += line.len();
        }
    }
    (bytes as f64 / 1e6 / start.elapsed().as_secs_f64(), written)
}

/// Measures both sides.
///
/// # Errors
/// When a secret was not masked.
pub fn measure() -> anyhow::Result<Vec<Figure>> {
    let secrets = secrets();
    let masks = Masks::new(secrets.iter().map(String::as_str));
    let lines = output(&secrets);
    for line in lines.iter().step_by(LINES_A_SECRET) {
        ensure!(masks.contains_secret(line), "a secret was not found");
    }
    let mut stream = MaskStream::default();
    let (ours, _) =
        megabytes_per_second(&lines, |line| std::hint::black_box(stream.push(&masks, line, true)).len());
    let (copy, _) = megabytes_per_second(&lines, |line| std::hint::black_box(line.to_vec()).len());
    Ok(vec![Figure::new("mask.mb_per_s", "MB/s", ours, "a plain copy of each line", copy)])
}
