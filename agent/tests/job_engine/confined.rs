//! A job that is root of its engine, and asks it for all it has, is where it was.

use slipway_proto::v1::Result::{Failure, Success};

use super::fleet::cloud::{Cloud, METADATA, OTHER};
use super::fleet::{job, run};
use super::{BOX, Scene, expect_lines};

/// In a privileged container with all of the engine's folders, processes and networks: says `held` for what failed.
const TRIES: &str = r#"
docker run --rm --privileged --volume /:/h --pid host --net host --ipc host --uts host box sh -c '
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: done"; else echo "$name: held"; fi; }
write() { echo "$2" > "$1"; }
ls /h/home /h/var/lib > /tmp-list; ls /h/var/lib/docker /h/proc/1/root/var/lib/docker >> /tmp-list 2>/dev/null
echo folders=$(grep -c overlay2 /tmp-list)
try node mknod /disk b 254 0
try null mknod /null c 1 3
for disk in vda sda nvme0n1 xvda; do try disk mount /h/dev/$disk /mnt; done
try core_pattern write /proc/sys/kernel/core_pattern "|/tmp/x %p"
try modprobe write /h/proc/sys/kernel/modprobe /tmp/x
try sysrq write /h/proc/sysrq-trigger h
try ksm write /h/sys/kernel/mm/ksm/run 1
try release_agent write /h/sys/fs/cgroup/memory/release_agent /tmp/x
try cgroup mount -t cgroup -o memory none /mnt
try kcore cat /h/proc/kcore
try kmsg cat /h/dev/kmsg
try containerd ls /h/run/containerd/containerd.sock
try root ls /h/root
try shadow write /h/etc/passwd x
try init cat /h/.slipway/control.sock
try metadata timeout 5 wget -q -O - http://169.254.169.254/
try reading cat /h/proc/version
try changing write /h/tmp/x x
echo programs=$(cat /proc/[0-9]*/comm | sort -u)
'
"#;

const HELD: [&str; 16] = [
    "node",
    "null",
    "disk",
    "core_pattern",
    "modprobe",
    "sysrq",
    "ksm",
    "release_agent",
    "cgroup",
    "kcore",
    "kmsg",
    "containerd",
    "root",
    "shadow",
    "init",
    "metadata",
];

async fn tried(arguments: &[&str]) {
    let scene = Scene::with(arguments).await;
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let tried = scene.run(&job(vec![run("box", BOX), run("try", TRIES)])).await;
    let held: Vec<String> = HELD.iter().map(|name| format!("{name}: held")).collect();
    let held: Vec<&str> =
        held.iter().map(String::as_str).chain(["reading: done", "changing: done", "folders=0"]).collect();
    expect_lines(&tried, &held);
    let lines = tried.lines();
    assert!(!lines.iter().any(|line| line == "disk: done"), "{lines:#?}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    let programs = lines.iter().find_map(|line| line.strip_prefix("programs=")).unwrap();
    let own = [
        "rootlesskit",
        "exe",
        "dockerd",
        "containerd",
        "containerd-shim",
        "rootlesskit-doc",
        "sh",
        "cat",
        "sort",
    ];
    let strange = programs.split_whitespace().find(|program| !own.contains(program));
    assert_eq!(strange, None, "processes that are not the engine's: {programs}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_container_of_a_private_engine_is_no_way_to_the_machine() {
    tried(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_is_one_of_a_job_from_outside() {
    tried(&["--accept-untrusted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_engine_is_no_way_to_the_clouds_metadata_address() {
    let cloud = Cloud::start();
    let scene = Scene::with(&["--accept-untrusted"]).await;
    let mut ask = BOX.to_owned();
    for network in ["", "--privileged --net host"] {
        for (address, otherwise) in [(OTHER, "other-is-out-of-reach"), (METADATA, "metadata-is-out-of-reach")]
        {
            ask += &format!(
                "docker run --rm {network} box sh -c 'timeout 5 wget -q -O - http://{address}:80/ || echo {otherwise}'\n"
            );
        }
    }
    let asked = scene.run(&job(vec![run("ask", &ask)])).await;
    expect_lines(&asked, &["metadata-is-out-of-reach"]);
    let lines = asked.lines();
    let count = |what: &str| lines.iter().filter(|line| *line == what).count();
    let found = (count("the-role-of-the-machine"), count("metadata-is-out-of-reach"));
    assert_eq!(found, (2, 2), "{lines:#?}");
    scene.end().await;
    drop(cloud);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_see_nothing_of_each_others_engines() {
    let scene = Scene::with(&[]).await;
    let serve = "docker run --detach --name victim --publish 8080:80 box sh -c 'mkdir /h; echo secret-of-a-neighbour > /h/index.html; \
                 exec httpd -f -p 80 -h /h' >/dev/null; docker ps --quiet | wc -l; ip addr | sed -n 's/.* inet \\(10[^/]*\\).*/at=\\1/p'; \
                 echo here; until [ -e go ]; do sleep 0.1; done";
    let victim = scene.coordinator.assign(&job(vec![run("box", BOX), run("serve", serve)])).await;
    scene.coordinator.line(&victim, "here").await;
    let look = "docker ps --all --quiet | wc -l | sed 's/^/mine=/'; docker images | wc -l | sed 's/^/images=/'\n\
                docker run --rm --volume /:/h --pid host --privileged box sh -c 'ps; ls /h/var/lib/engine' | grep -c victim | sed 's/^/seen=/'\n\
                for port in 8080 80; do timeout 2 wget -q -O - http://localhost:$port/ 2>/dev/null || echo unreached; done";
    let look = scene.run(&job(vec![run("box", BOX), run("look", look)])).await;
    // Of images a title and its own.
    expect_lines(&look, &["mine=0", "images=2", "seen=0", "unreached"]);
    assert!(!look.lines().iter().any(|line| line.contains("secret-of-a-neighbour")), "{:#?}", look.lines());
    scene.coordinator.cancel(&victim).await;
    scene.coordinator.report(&victim).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_in_it_has_the_jobs_limits_and_its_neighbour_goes_on() {
    let scene = Scene::with(&["--job-pids", "256", "--job-memory", "512m"]).await;
    let steady = job(vec![run(
        "work",
        "echo here; until [ -e go ]; do sh -c 'sleep 0.1' || exit 1; done; echo worked",
    )]);
    let neighbour = scene.coordinator.assign(&steady).await;
    scene.coordinator.line(&neighbour, "here").await;
    let bomb =
        "docker run --rm box sh -c 'i=0; while [ $i -lt 2000 ]; do sleep 600 & i=$((i+1)); done; echo never'";
    let bomb = scene.run(&job(vec![run("box", BOX), run("bomb", bomb)])).await;
    assert_eq!(bomb.result(), Failure, "{:#?}", bomb.lines());
    assert!(!bomb.lines().iter().any(|line| line == "never"), "{:#?}", bomb.lines());
    // More than the job may have, in memory that belongs to whoever wrote it.
    let hog = "docker run --rm --tmpfs /m:size=4g box sh -c 'cat /dev/zero > /m/full'; echo never";
    let hog = scene.run(&job(vec![run("box", BOX), run("hog", &format!("set -e\n{hog}"))])).await;
    assert_eq!(hog.result(), Failure, "{:#?}", hog.lines());
    assert!(!hog.lines().iter().any(|line| line == "never"), "{:#?}", hog.lines());
    scene.coordinator.cancel(&neighbour).await;
    let neighbour = scene.coordinator.report(&neighbour).await;
    assert_ne!(neighbour.result(), Success);
    assert!(!neighbour.lines().iter().any(|line| line.contains("fork")), "{:#?}", neighbour.lines());
    scene.end().await;
}
