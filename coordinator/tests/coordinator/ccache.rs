//! The cache of build tools with an unmodified ccache, over HTTP.

use std::path::Path;
use std::process::{Command, Output};

use crate::fixture::Fixture;

/// Compiles a file on "a machine": one with a cache folder of its own. Gives what ccache counted.
fn compile(machine: &Path, source: &Path, storage: &str) -> String {
    let run = |mut command: Command| -> Output {
        command.env("CCACHE_DIR", machine).env("CCACHE_REMOTE_STORAGE", storage).env("CCACHE_NOHASHDIR", "1");
        command.current_dir(source.parent().unwrap());
        command.output().expect("`ccache` is installed: scripts/install-deps.sh --for-tests")
    };
    let mut build = Command::new("ccache");
    build.args(["gcc", "-c", "-O1", "program.c", "-o"]).arg(machine.join("program.o"));
    let built = run(build);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut ask = Command::new("ccache");
    ask.arg("--print-stats");
    String::from_utf8(run(ask).stdout).unwrap()
}

fn counted(stats: &str, name: &str) -> u64 {
    let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    line.unwrap_or_else(|| panic!("no {name} in {stats}")).trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_compiles_nothing_again() {
    let fixture = Fixture::start().await;
    let token = std::fs::read_to_string(fixture.folder.path().join("data/cache.token")).unwrap();
    let token = token.trim();
    let http = fixture.handle().http_addr;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("program.c");
    std::fs::write(&source, "int twice(int x) { return 2 * x; }\n").unwrap();
    for layout in ["subdirs", "flat", "bazel"] {
        let storage = match layout {
            "bazel" => format!("http://ccache:{token}@{http}/cache/bazel/ccache|layout=bazel"),
            layout => format!("http://ccache:{token}@{http}/cache/files/{layout}|layout={layout}"),
        };
        let machine = |name: &str| {
            let machine = folder.path().join(format!("{layout}-{name}"));
            std::fs::create_dir_all(&machine).unwrap();
            machine
        };
        let first = compile(&machine("first"), &source, &storage);
        assert_eq!(
            (counted(&first, "remote_storage_hit"), counted(&first, "cache_miss")),
            (0, 1),
            "{layout}: {first}"
        );
        assert_eq!(counted(&first, "remote_storage_error"), 0, "{layout}: {first}");
        let second = compile(&machine("second"), &source, &storage);
        assert_eq!(counted(&second, "cache_miss"), 0, "{layout}: {second}");
        assert!(counted(&second, "remote_storage_hit") >= 1, "{layout}: {second}");
        let object = |name: &str| std::fs::read(machine(name).join("program.o")).unwrap();
        assert_eq!(object("first"), object("second"));
        let refused = storage.replace(token, "slip_wrong");
        let stats = compile(&machine("stranger"), &source, &refused);
        assert_eq!(
            (counted(&stats, "remote_storage_hit"), counted(&stats, "cache_miss")),
            (0, 1),
            "{layout}: {stats}"
        );
    }
}
