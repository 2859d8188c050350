//! `cache`: a folder saved and restored by the built-in `actions/cache` as the process that it is, beside the same work by
//! GitHub's own client under Node, both straight to a coordinator; and what both do with it, beside `tar` and `zstd` into a file. What the
//! client saves to a server that keeps nothing is what it takes by itself.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use slipway_agent::coordinator::{Coordinator as ForAgents, Server};
use slipway_agent::init::{self, Carried};
use slipway_agent::lease::Lease;
use slipway_coordinator::Coordinator;
use slipway_coordinator::options::Options;

use crate::cache_sink;
use crate::figure::Figure;
use crate::node;
use crate::results::lease;

/// How often everything is done; the median counts.
const ROUNDS: usize = 3;

/// Bytes of one file.
const FILE_BYTES: usize = 1 << 20;

/// Measures with a folder of so many MiB, half of which does not compress.
///
/// # Errors
/// When a coordinator can't be started, Node or the client can't be had, or one of them fails.
pub async fn measure(mebibytes: u64) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let coordinator = Coordinator::start(Options::embedded(folder.path().join("data"))).await?;
    let server = Server::new(&format!("http://{}", coordinator.grpc_addr), None, false)?;
    let agent = ForAgents::new(&[server], coordinator.agent_token.reveal())?;
    let held = lease(&coordinator, &agent).await?;
    let held = Lease::from_wire(Some(&held)).map_err(|error| anyhow::anyhow!("the lease: {error:?}"))?;
    let token = agent.secrets(held).await?.runtime_token;
    let work = folder.path().join("work");
    fill(&work.join("data"), mebibytes)?;
    let program = init::install(folder.path(), Carried::Actions)?;
    let url = format!("http://{}/", coordinator.http_addr);
    let sink = cache_sink::start().await?;
    let sink_url = format!("http://{}/", sink.address);
    let left = folder.path().join("left");
    fs::write(&left, "")?;

    let run_at = |url: &str, mut command: Command, key: &str| -> anyhow::Result<f64> {
        command
            .current_dir(&work)
            .env("GITHUB_REF", "refs/heads/main")
            .env("GITHUB_WORKSPACE", &work)
            .env("GITHUB_OUTPUT", &left)
            .env("RUNNER_TEMP", folder.path())
            .env("ACTIONS_RESULTS_URL", url)
            .env("ACTIONS_RUNTIME_TOKEN", &token)
            .env("ACTIONS_CACHE_SERVICE_V2", "true")
            .env("GITHUB_SERVER_URL", "https://github.com")
            .env("INPUT_PATH", "data")
            .env("INPUT_KEY", key)
            .env("INPUT_FAIL-ON-CACHE-MISS", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let begin = Instant::now();
        let status = command.status().context("cannot start a side")?;
        let took = begin.elapsed().as_secs_f64();
        ensure!(status.success(), "a side ended with {status}");
        Ok(took)
    };
    let run = |command: Command, key: &str| run_at(&url, command, key);
    let archive = folder.path().join("archive.tar.zst");
    let mut times = [const { Vec::new() }; 7];
    for round in 0..ROUNDS {
        let (ours, theirs) = (format!("ours-{round}"), format!("theirs-{round}"));
        let built_in = |half: &str| {
            let mut command = Command::new(&program);
            command.args(["cache", half]);
            command
        };
        let client = |half: &str, key: &str| {
            let mut command = node::command("cache.mjs")?;
            command.args([half, key]);
            anyhow::Ok(command)
        };
        // As GitHub's client packs.
        let packing = |what: &str, program: &str| {
            let mut command = Command::new("tar");
            command.args(["--use-compress-program", program, what]).arg(&archive);
            command
        };
        let mut pack = packing("-cf", "zstd -T0");
        pack.arg("data");
        let mut measured = vec![
            run(built_in("save"), &ours)?,
            run(client("save", &theirs)?, &theirs)?,
            run_at(&sink_url, client("save", "nowhere")?, "nowhere")?,
            run(pack, "")?,
        ];
        let restores = [
            (built_in("restore"), ours.as_str()),
            (client("restore", &theirs)?, theirs.as_str()),
            (packing("-xf", "zstd -d"), ""),
        ];
        for (command, key) in restores {
            fs::remove_dir_all(work.join("data"))?;
            measured.push(run(command, key)?);
            let files = fs::read_dir(work.join("data"))?.count() as u64;
            ensure!(files == mebibytes, "{files} files were restored");
        }
        times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
    }
    coordinator.shutdown().await;
    let [save, client_save, nowhere, pack, restore, client_restore, unpack] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        mebibytes as f64 / times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    });
    let (client, tar) = ("@actions/cache under Node", "tar and zstd, a file");
    let figure =
        |metric: &str, value, beside, baseline| Figure::new(metric, "MiB_per_s", value, beside, baseline);
    Ok(vec![
        figure("cache.save", save, client, client_save),
        figure("cache.restore", restore, client, client_restore),
        figure("cache.save", save, tar, pack),
        figure("cache.restore", restore, tar, unpack),
        figure("cache.client_save", client_save, tar, pack),
        figure("cache.client_save", client_save, "@actions/cache to a server that keeps nothing", nowhere),
        figure("cache.client_save_to_nothing", nowhere, tar, pack),
        figure("cache.client_restore", client_restore, tar, unpack),
    ])
}

/// Files of which half is random and half repeats.
fn fill(folder: &Path, mebibytes: u64) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let mut random = fs::File::open("/dev/urandom")?;
    let mut bytes = b"a line that is there again and again\n".repeat(FILE_BYTES / 37 + 1);
    bytes.truncate(FILE_BYTES);
    for number in 0..mebibytes {
        let half = bytes.get_mut(..FILE_BYTES / 2).context("a file has two halves")?;
        random.read_exact(half)?;
        fs::write(folder.join(number.to_string()), &bytes)?;
    }
    Ok(())
}
