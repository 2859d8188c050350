//! The agents' programs are replaced under twenty running jobs: none fails, none begins again, no line is lost.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use slipway_tests::{
    Agent, AgentOptions, Checkout, Coordinator, Signal, Volume, busybox_image, native_architecture, program,
    wait_until,
};

use crate::numbered;

const JOBS: usize = 20;
const AGENTS: usize = 2;

/// Jobs that print numbered lines until they are told that it is over.
fn workflow(volume: &str) -> String {
    let numbers: Vec<String> = (1..=JOBS).map(|number| number.to_string()).collect();
    format!(
        r#"
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        number: [{}]
    container:
      image: {}
      volumes: ["{volume}:/volume"]
    steps:
      - run: |
          echo "begins in $(hostname)"
          n=0
          until [ -e /volume/over ]; do
            seq $((n + 1)) $((n + 5))
            n=$((n + 5))
            sleep 0.2
          done
          echo "counted to $n"
      - run: echo "ends in $(hostname)"
"#,
        numbers.join(", "),
        busybox_image(native_architecture()),
    )
}

/// A new version, put into place as packages do it: the name stands for another file from one moment to the next.
fn put_into_place(file: &Path) {
    let new = file.with_extension("new");
    std::fs::copy(program("slipway-agent"), &new).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// The inode of the program that a process runs.
fn runs(pid: u32) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

/// How far each job has counted, checked: no line is missing or there twice.
fn counted(coordinator: &Coordinator, run: &str) -> BTreeMap<String, usize> {
    let logs = numbered::logs(coordinator, run);
    logs.into_iter().map(|(instance, lines)| (instance.clone(), numbered::count(&instance, &lines))).collect()
}

#[test]
fn twenty_jobs_outlive_their_agents_programs() {
    let programs = tempfile::tempdir().unwrap();
    let volume = Volume::new();
    let checkout = Checkout::with_workflow(&workflow(volume.name()));
    let coordinator = Coordinator::start();
    let mut agents: Vec<(Agent, PathBuf)> = Vec::new();
    for number in 1..=AGENTS {
        let file = programs.path().join(format!("slipway-agent-{number}"));
        put_into_place(&file);
        let slots = u32::try_from(JOBS / AGENTS).unwrap();
        let options = AgentOptions {
            slots,
            // Else each job would have a volume of its own under that name.
            arguments: vec!["--allow-volume".to_owned(), volume.name().to_owned()],
            program: Some(file.clone()),
            ..AgentOptions::named(&format!("agent-{number}"))
        };
        agents.push((Agent::start(&coordinator, options), file));
    }
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("all jobs run at once", || {
        let counted = counted(&coordinator, &run);
        (counted.len() == JOBS && counted.values().all(|count| *count > 0)).then_some(())
    });

    // One after the other, and then both together.
    for together in [&mut [0][..], &mut [1], &mut [0, 1]] {
        for number in together.iter() {
            let (agent, file) = &agents[*number];
            let before = runs(agent.pid());
            put_into_place(file);
            assert_eq!(runs(agent.pid()), before, "what runs is the file that was");
            agent.signal(Signal::HUP);
        }
        // As the service's manager does: what has ended is started again.
        for number in together.iter() {
            let (agent, file) = &mut agents[*number];
            assert_eq!(agent.ended(), Some(0), "{}", agent.said());
            agent.start_again();
            wait_until("the new program runs", || {
                (runs(agent.pid()) == std::fs::metadata(&*file).unwrap().ino()).then_some(())
            });
        }
        let before = counted(&coordinator, &run);
        wait_until("every job's lines come by the new processes", || {
            let now = counted(&coordinator, &run);
            before.iter().all(|(instance, count)| now[instance] > *count).then_some(())
        });
    }
    volume.sh("touch /volume/over");

    let shown = coordinator.finished(&run);
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(client.wait().unwrap().code(), Some(0), "who watched the run sees its end");
    let instances = shown["instances"].as_array().unwrap();
    assert_eq!(instances.len(), JOBS);
    for instance in instances {
        assert_eq!((&instance["attempt"], &instance["result"]), (&1.into(), &"success".into()), "{instance}");
    }
    let logs = numbered::logs(&coordinator, &run);
    assert_eq!(logs.len(), JOBS);
    for (instance, lines) in &logs {
        let counted = numbered::said(instance, lines, "counted to ");
        assert_eq!(numbered::count(instance, lines).to_string(), counted, "lines of {instance}");
        let container = |start| numbered::said(instance, lines, start);
        assert_eq!(container("begins in "), container("ends in "), "{instance} stayed in its container");
    }
    for (agent, _) in &mut agents {
        assert_eq!(agent.stop(), Some(0), "{}", agent.said());
        assert_eq!(agent.in_the_engine(), Vec::<String>::new());
    }
}
