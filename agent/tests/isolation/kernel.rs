//! The machine's kernel, processes and devices as a job sees them.

use slipway_proto::v1::Result::Success;

use super::fleet::{IMAGE, job, run};
use super::{Scene, container, docker, expect_lines};

/// Tries each of these as the job's user; says `held` for what failed.
const TRIES: &str = r#"
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: done"; else echo "$name: held"; fi; }
write() { echo "$2" > "$1"; }
settime() { ! date -s 2000-01-01 2>&1 | grep -q permitted; }
try sysrq write /proc/sysrq-trigger h
try core_pattern write /proc/sys/kernel/core_pattern "|/tmp/x %p"
try modprobe write /proc/sys/kernel/modprobe /tmp/x
try forwarding write /proc/sys/net/ipv4/ip_forward 1
try sys write /sys/kernel/mm/ksm/run 1
try uevent_helper write /sys/kernel/uevent_helper /tmp/x
try release_agent write /sys/fs/cgroup/memory/release_agent /tmp/x
try kcore dd if=/proc/kcore of=/dev/null bs=1 count=1
try kmsg dd if=/dev/kmsg of=/dev/null bs=1 count=1
try mem dd if=/dev/mem of=/dev/null bs=1 count=1
try mount mount -t tmpfs none /mnt
try remount mount -o remount,rw /proc/sys
try mknod mknod /tmp/disk b 8 0
try node mknod /tmp/null c 1 3
try unshare unshare -m true
try pivot chroot /proc/1/root true
try hostname hostname other
try route ip link add x type dummy
try time settime
try docker ls /var/run/docker.sock
try containerd ls /run/containerd/containerd.sock
"#;

const HELD: [&str; 20] = [
    "sysrq",
    "core_pattern",
    "modprobe",
    "forwarding",
    "sys",
    "uevent_helper",
    "release_agent",
    "kcore",
    "kmsg",
    "mem",
    "mount",
    "remount",
    "mknod",
    "node",
    "unshare",
    "hostname",
    "route",
    "time",
    "docker",
    "containerd",
];

fn held(job: &super::Job) {
    let lines: Vec<String> = HELD.iter().map(|name| format!("{name}: held")).collect();
    expect_lines(job, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_as_root_of_its_container_changes_nothing_of_the_machine() {
    let scene = Scene::new().await;
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let status = "grep -E '^(Seccomp|NoNewPrivs|CapBnd):' /proc/self/status | tr '\\t' ' '; id -u";
    let mut spec = job(vec![run("try", &format!("mkdir -p /mnt /tmp\n{TRIES}")), run("status", status)]);
    spec.container = container(IMAGE, &[], "");
    let job = scene.run(&spec).await;
    assert_eq!(job.result(), Success, "{:#?}", job.lines());
    held(&job);
    expect_lines(&job, &["Seccomp: 2", "NoNewPrivs: 0", "0"]);
    let bound = |bit: u32, job: &super::Job| {
        let lines = job.lines();
        let set = lines.iter().find_map(|line| line.strip_prefix("CapBnd: ")).unwrap();
        u64::from_str_radix(set.trim(), 16).unwrap() >> bit & 1 == 1
    };
    let (mknod, net_raw, sys_admin, chown) = (27, 13, 21, 0);
    assert!(bound(chown, &job) && bound(net_raw, &job));
    assert!(!bound(mknod, &job) && !bound(sys_admin, &job));
    scene.end().await;
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);

    let outside = Scene::with(&["--accept-untrusted"]).await;
    let job = outside.run(&spec).await;
    held(&job);
    expect_lines(&job, &["Seccomp: 2", "NoNewPrivs: 1"]);
    assert!(bound(chown, &job) && !bound(net_raw, &job) && !bound(mknod, &job));
    outside.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sees_its_own_processes_and_never_inits_spool() {
    let scene = Scene::new().await;
    let look = "echo processes=$(ls /proc | grep -c '^[0-9]'); for fd in /proc/1/fd/*; do cat $fd >/dev/null 2>&1 && echo read; done; \
                cat /proc/1/environ >/dev/null 2>&1 && echo environ; ls /proc/1/root >/dev/null 2>&1 && echo root; \
                ls -ld /.slipway | cut -c 1-10; touch /.slipway/x 2>/dev/null || echo readonly";
    let job = scene.run(&job(vec![run("look", look)])).await;
    assert_eq!(job.result(), Success, "{:#?}", job.lines());
    expect_lines(&job, &["readonly"]);
    let lines = job.lines();
    for line in ["read", "environ", "root"] {
        assert!(!lines.iter().any(|found| found == line), "{line}: {lines:#?}");
    }
    let processes = lines.iter().find_map(|line| line.strip_prefix("processes=")).unwrap();
    assert!(processes.parse::<u32>().unwrap() < 10, "{processes}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_job_get_the_runtime_that_was_asked_for() {
    let scene = Scene::with(&["--runtime", "runc"]).await;
    let instance = scene.coordinator.assign(&job(vec![run("wait", "echo here; sleep 600")])).await;
    scene.coordinator.line(&instance, "here").await;
    let containers = scene.place.containers();
    let runtime = docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.Runtime}} {{.HostConfig.Privileged}}",
        &containers[0],
    ]);
    assert_eq!(runtime, "runc false");
    scene.coordinator.cancel(&instance).await;
    scene.coordinator.report(&instance).await;
    scene.end().await;
}
