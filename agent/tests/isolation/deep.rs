//! Trees of folders that no program should walk by recursion: the agent removes them, and refuses to pack them.

use slipway_proto::v1::Result::{Failure, Success};

use super::fleet::{checkout, job, run};
use super::{Scene, uses};

/// So many folders in each other that a thread's stack or its descriptors would end.
/// A shell would not go there; whole chains are moved below others.
const DEEP: &str = "c=$(printf 'd/%.0s' $(seq 500)); mkdir -p t/$c; for i in $(seq 19); do mkdir -p n/$c; mv t n/${c}t; mv n t; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_very_deep_tree_goes_with_its_job() {
    let scene = Scene::new().await;
    let job = scene.run(&job(vec![run("deep", DEEP)])).await;
    assert_eq!(job.result(), Success, "{:#?}", job.lines());
    // Its folder is gone.
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_deep_action_is_refused_and_a_deep_workspace_replaced() {
    let scene = Scene::new().await;
    let write = "mkdir act; printf 'name: a\\nruns: { using: docker, image: Dockerfile }\\n' > act/action.yml; \
                 echo FROM scratch > act/Dockerfile; cd act;";
    let spec = job(vec![run("deep", &format!("{write} {DEEP}")), uses("use", "./act", &[])]);
    let refused = scene.run(&spec).await;
    assert_eq!(refused.result(), Failure);
    assert!(refused.lines().iter().any(|line| line.contains("levels")), "{:#?}", refused.lines());

    let tree = slipway_tests_tree(&scene);
    let mut spec = job(vec![run("deep", DEEP), checkout(&[]), run("look", "cat README; test ! -e t")]);
    spec.source = tree;
    let replaced = scene.run(&spec).await;
    assert_eq!(replaced.result(), Success, "{:#?}", replaced.lines());
    scene.end().await;
}

/// A working tree with one file.
fn slipway_tests_tree(scene: &Scene) -> slipway_workflow::job_spec::Source {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder.append_data(&mut header, "README", &b"read\n"[..]).unwrap();
    let archive = zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap();
    let digest = scene.coordinator.blob(archive);
    slipway_workflow::job_spec::Source::Tree { digest: digest.sha256, size_bytes: digest.size_bytes }
}
