//! Links that a job puts in the place of whatever the agent reads or writes for it. Some of the machine's files are to leak, or to be overwritten.

use std::path::Path;

use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::{JobSpec, Source, StepSpec};
use tempfile::TempDir;

use super::fleet::coordinator::Job;
use super::fleet::{checkout, job, run, text};
use super::{Scene, expect_lines};

/// What no record of a job may have.
const SECRET: &str = "the-machines-own";

/// A folder of the machine that jobs are after.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let report = format!(
            "<testsuite name=\"{SECRET}\"><testcase classname=\"a\" name=\"{SECRET}\"><failure>{SECRET}</failure></testcase></testsuite>"
        );
        for (name, text) in [
            ("file", format!("LEAKED={SECRET}\n")),
            ("junit.xml", report),
            (
                "action.yml",
                format!(
                    "name: {SECRET}\nruns: {{ using: composite, steps: [{{ run: echo {SECRET}, shell: sh }}] }}\n"
                ),
            ),
        ] {
            std::fs::write(machine.folder.path().join(name), text).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Everything below the folder, with what is in it.
    fn state(&self) -> Vec<(String, Vec<u8>)> {
        fn walk(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                into.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
                if path.is_dir() {
                    walk(&path, into);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.sort();
        found
    }
}

/// Runs the job; nothing of the machine is in what the agent said of it, and nothing of the machine is another.
async fn contained(scene: &Scene, machine: &Machine, spec: &JobSpec) -> Job {
    let before = machine.state();
    let job = scene.run(spec).await;
    let said = format!("{:?} {:?} {:?}", job.lines(), job.records, job.report);
    let bytes = |text: &str| text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    assert!(!said.contains(SECRET) && !said.contains(&bytes(SECRET)), "{:#?}", job.lines());
    assert!(machine.state() == before, "the machine's folder is another: {:#?}", job.lines());
    job
}

/// Steps whose failure fails no job, and one that runs in any case.
fn tolerant(steps: Vec<StepSpec>) -> JobSpec {
    let tolerant = |step| StepSpec { continue_on_error: Some(text("true")), ..step };
    job(steps.into_iter().map(tolerant).chain([run("last", "echo went on")]).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_a_command_file_gives_and_takes_nothing() {
    let (scene, machine) = (Scene::new().await, Machine::new());
    let names = ["GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"];
    for target in
        [machine.path("file"), "/proc/self/environ".to_owned(), "/proc/1/root/etc/hostname".to_owned()]
    {
        let steps = names.map(|name| run(name, &format!("rm -f ${name}; ln -s {target} ${name}")));
        let look = run("look", "env | grep -i leaked || true; echo \"${{ toJSON(steps) }}\"; echo \"$PATH\"");
        let job = contained(&scene, &machine, &tolerant(steps.into_iter().chain([look]).collect())).await;
        assert_eq!(job.result(), Success, "{:#?}", job.lines());
        expect_lines(&job, &["went on"]);
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_the_commands_folder_is_not_written_through() {
    let (scene, machine) = (Scene::new().await, Machine::new());
    let folder = machine.path("");
    // The folder with the files of commands, the one with scripts and all that is above them.
    for place in
        ["$(dirname \"$GITHUB_ENV\")", "$RUNNER_TEMP", "$(dirname \"$RUNNER_TEMP\")/_github_workflow"]
    {
        let swap = format!("place={place}; cd /; mv \"$place\" \"$place.away\"; ln -s {folder} \"$place\"");
        let after = run("after", "echo LEAKED=1 >> $GITHUB_ENV; ls $RUNNER_TEMP");
        contained(&scene, &machine, &tolerant(vec![run("swap", &swap), after])).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_reports_and_actions_are_not_read_through_links() {
    let (scene, machine) = (Scene::new().await, Machine::new());
    let folder = machine.path("");
    let make = format!(
        "ln -s {folder} machine; mkdir -p target act; ln -s {folder}/junit.xml target/junit.xml; \
         echo \"<testsuite><testcase classname='a' name='read-as-ever'/></testsuite>\" > target/own-junit.xml; \
         ln -s {folder}/file target/file; ln -s {folder}/action.yml act/action.yml; ln -s /proc/1/root root"
    );
    let hash = |patterns: &str| run("hash", &format!("echo got=${{{{ hashFiles({patterns}) }}}}"));
    let steps = vec![
        run("make", &make),
        hash("'machine/**'"),
        hash("'machine/file', 'target/file'"),
        hash("'target/*'"),
        hash("'root/etc/**', 'root/etc/hostname'"),
        super::uses("act", "./act", &[]),
        super::uses("machine", "./machine", &[]),
        super::uses("above", "./machine/../act", &[]),
    ];
    let job = contained(&scene, &machine, &tolerant(steps)).await;
    expect_lines(&job, &["went on"]);
    // A report in the same place that is no link is read.
    assert!(format!("{:?}", job.records).contains("read-as-ever"), "{:#?}", job.records);
    // Refused, or nothing.
    let hashed = job.lines().into_iter().filter(|line| line.starts_with("got=") && line != "got=");
    assert_eq!(hashed.collect::<Vec<_>>(), Vec::<String>::new(), "{:#?}", job.lines());
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_not_checked_out_through_links_and_an_archive_leads_nowhere_else() {
    let (scene, machine) = (Scene::new().await, Machine::new());
    let folder = machine.path("");
    let mut tree = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tree.append_link(&mut header, "out", &folder).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(5);
    tree.append_data(&mut header, "inside", &b"code\n"[..]).unwrap();
    let good = tree.into_inner().unwrap();
    // The same, and a file below the link; and one with a name that the library would not write.
    let hostile = |name: &str| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_size(6);
        header.set_cksum();
        let mut tree = tar::Builder::new(good[..good.len() - 1024].to_vec());
        tree.append(&header, &b"owned\n"[..]).unwrap();
        tree.into_inner().unwrap()
    };
    let archives = [
        (good.clone(), true),
        (hostile("out/owned"), false),
        (hostile(&format!("..{folder}/owned")), false),
        (hostile("../owned"), false),
        (hostile(&format!("{folder}/owned")), false),
    ];
    for (number, (archive, is_good)) in archives.into_iter().enumerate() {
        let digest = scene.coordinator.blob(zstd::encode_all(archive.as_slice(), 1).unwrap());
        let swap =
            format!("rm -rf sub; ln -s {folder} sub; cd ..; mv hello hello.away; ln -s {folder} hello");
        // Without code there is no folder to run it in.
        let look = run("look", "cat inside");
        let steps = vec![
            run("swap", &swap),
            checkout(&[("path", "sub/below")]),
            checkout(&[("path", "sub")]),
            checkout(&[]),
            look,
        ];
        let mut spec = tolerant(steps);
        spec.source = Source::Tree { digest: digest.sha256, size_bytes: digest.size_bytes };
        let job = contained(&scene, &machine, &spec).await;
        let has_code = job.lines().iter().any(|line| line == "code");
        assert_eq!(has_code, is_good, "archive {number}: {:#?}", job.lines());
    }
    scene.end().await;
}
