#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// Each file's content is its own path.
const FILES: [&str; 16] = [
    "a.txt",
    "b.lock",
    ".hidden",
    ".github/x.yml",
    "src/main.rs",
    "src/lib.rs",
    "src/.env",
    "src/deep/a.txt",
    "src/deep/er/a.lock",
    "dir.lock/inner",
    "sp/[x].txt",
    "a-b",
    "A.txt",
    "node_modules/p/package.json",
    "node_modules/p/a.lock",
    "src-x/a.txt",
];

/// Patterns, and the files that `@actions/glob` 0.4.0 finds with them, in its order.
#[rustfmt::skip]
const FOUND: &[(&[&str], &[&str])] = &[
    (&["**/a.txt"], &["a.txt", "src/deep/a.txt", "src-x/a.txt"]),
    (&["**/*.lock"], &["b.lock", "dir.lock/inner", "node_modules/p/a.lock", "src/deep/er/a.lock"]),
    (&["*"], &[".github/x.yml", ".hidden", "A.txt", "a-b", "a.txt", "b.lock", "dir.lock/inner", "link.txt", "node_modules/p/a.lock", "node_modules/p/package.json", "sp/[x].txt", "src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs", "src-x/a.txt"]),
    (&["**"], &[".github/x.yml", ".hidden", "A.txt", "a-b", "a.txt", "b.lock", "dir.lock/inner", "link.txt", "node_modules/p/a.lock", "node_modules/p/package.json", "sp/[x].txt", "src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs", "src-x/a.txt"]),
    (&["src"], &["src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs"]),
    (&["src/"], &["src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs"]),
    (&["src/**"], &["src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs"]),
    (&["./src/*.rs"], &["src/lib.rs", "src/main.rs"]),
    (&["**/*.lock", "!node_modules/**"], &["b.lock", "dir.lock/inner", "src/deep/er/a.lock"]),
    (&["!**", "a.txt"], &["a.txt"]),
    (&["a.txt", "!a.txt", "**/A.txt"], &["A.txt"]),
    (&["**/*.lock", "!**/node_modules/**", "# no", "  b.lock  "], &["b.lock", "dir.lock/inner", "src/deep/er/a.lock"]),
    (&["sp/[[]x].txt"], &["sp/[x].txt"]),
    (&["sp/\\[x\\].txt"], &["sp/[x].txt"]),
    (&["sp/[x].txt"], &[]),
    (&["?.txt"], &["A.txt", "a.txt"]),
    (&["[a-b].*"], &["a.txt", "b.lock"]),
    (&["[!a].*"], &["A.txt", "b.lock"]),
    (&["[ab"], &[]),
    (&["src/**/a.*"], &["src/deep/a.txt", "src/deep/er/a.lock"]),
    (&["**/deep/**/a.lock"], &["src/deep/er/a.lock"]),
    (&["**/**/a.txt"], &["a.txt", "src/deep/a.txt", "src-x/a.txt"]),
    (&["src/deep", "src"], &["src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs"]),
    (&["link.txt"], &["link.txt"]),
    (&["linkdir/*"], &[]),
    (&["nothing"], &[]),
    (&["/w/r/src/main.rs"], &["src/main.rs"]),
    (&["/etc/passwd"], &[]),
    (&["a.txt/**"], &["a.txt"]),
    (&["**/"], &[".github/x.yml", ".hidden", "A.txt", "a-b", "a.txt", "b.lock", "dir.lock/inner", "link.txt", "node_modules/p/a.lock", "node_modules/p/package.json", "sp/[x].txt", "src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs", "src-x/a.txt"]),
    (&["src/*/"], &["src/deep/a.txt", "src/deep/er/a.lock"]),
    (&["src/lib.rs", "a.txt"], &["src/lib.rs", "a.txt"]),
    (&["!!a.txt"], &["a.txt"]),
    (&["src-x", "src"], &["src-x/a.txt", "src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs"]),
    (&["*/*.rs"], &["src/lib.rs", "src/main.rs"]),
    (&["**/.*"], &[".github/x.yml", ".hidden", "src/.env"]),
    (&["A*", "a*"], &["A.txt", "a-b", "a.txt"]),
    (&["~/x", "a.txt"], &["a.txt"]),
    (&["src/**", "!src/deep"], &["src/.env", "src/lib.rs", "src/main.rs"]),
    (&["!src/deep", "src/**"], &["src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs"]),
    (&["dir.lock"], &["dir.lock/inner"]),
    (&["**.lock"], &["b.lock", "dir.lock/inner"]),
    (&["src/**.rs"], &["src/lib.rs", "src/main.rs"]),
    (&["*.{txt,lock}"], &[]),
    (&["+(a).txt"], &[]),
    (&["a.txt\nb.lock"], &["a.txt", "b.lock"]),
    (&["[^a]*"], &[".github/x.yml", ".hidden", "A.txt", "b.lock", "dir.lock/inner", "link.txt", "node_modules/p/a.lock", "node_modules/p/package.json", "sp/[x].txt", "src/.env", "src/deep/a.txt", "src/deep/er/a.lock", "src/lib.rs", "src/main.rs", "src-x/a.txt"]),
    (&["[]a]*"], &["a-b", "a.txt"]),
];

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    symlink("a.txt", folder.path().join("link.txt")).unwrap();
    symlink("src", folder.path().join("linkdir")).unwrap();
    folder
}

fn hash(folder: &tempfile::TempDir, patterns: &[&str]) -> Result<String, HashError> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    hash_files(&place(folder, ""), &patterns)
}

fn place(folder: &tempfile::TempDir, inside: &str) -> Workspace {
    Workspace { work: folder.path().into(), inside: inside.into(), seen: "/w/r".to_owned() }
}

#[test]
fn a_link_in_the_workspaces_place_leads_nowhere() {
    let (folder, other) = (tree(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("secret"), "secret").unwrap();
    std::fs::create_dir_all(folder.path().join("work/r")).unwrap();
    std::fs::write(folder.path().join("work/r/a"), "a").unwrap();
    let patterns = ["**".to_owned()];
    assert_eq!(hash_files(&place(&folder, "work/r"), &patterns).unwrap(), digest(&["a"]));
    // In its own place, in that of the folder above it, and one that stays within the work folder.
    symlink(other.path(), folder.path().join("work/there")).unwrap();
    symlink(other.path(), folder.path().join("away")).unwrap();
    std::fs::create_dir(other.path().join("r")).unwrap();
    symlink("r", folder.path().join("work/within")).unwrap();
    for inside in ["work/there", "away/r", "work/within"] {
        let found = hash_files(&place(&folder, inside), &patterns);
        assert!(matches!(found, Err(HashError::Outside(_))), "{inside}: {found:?}");
    }
}

fn digest(contents: &[&str]) -> String {
    let mut all = Sha256::new();
    for content in contents {
        all.update(Sha256::digest(content));
    }
    if contents.is_empty() { String::new() } else { hex(&all.finalize()) }
}

#[test]
fn finds_what_github_finds_in_its_order() {
    let folder = tree();
    for (patterns, files) in FOUND {
        let contents: Vec<&str> =
            files.iter().map(|file| if *file == "link.txt" { "a.txt" } else { file }).collect();
        assert_eq!(hash(&folder, patterns).unwrap(), digest(&contents), "{patterns:?}");
    }
}

#[test]
fn refusals() {
    let folder = tree();
    for (patterns, expected) in [
        (&["src/../a.txt"][..], "Relative pathing '.' and '..' is not allowed"),
        (&["src/./a.txt"], "Relative pathing"),
        (&["!"], "pattern cannot be empty"),
        (&["--fast", "a"], "Invalid glob option --fast"),
    ] {
        assert!(hash(&folder, patterns).unwrap_err().to_string().contains(expected), "{patterns:?}");
    }
}

#[test]
fn links_stay_inside() {
    let folder = tree();
    let outside = tempfile::NamedTempFile::new().unwrap();
    let link = |target: &str, name: &str| symlink(target, folder.path().join(name)).unwrap();
    link(outside.path().to_str().unwrap(), "out1");
    link("../../../../../../etc/passwd", "out2");
    link("/w/r/src/lib.rs", "in1");
    link("src/../a.txt", "in2");
    link("/w/r/loop", "loop");
    link("nowhere", "broken");
    assert!(matches!(hash(&folder, &["out1"]), Err(HashError::Outside(path)) if path == "/w/r/out1"));
    assert!(matches!(hash(&folder, &["out2"]), Err(HashError::Outside(_))));
    assert_eq!(hash(&folder, &["in1"]).unwrap(), digest(&["src/lib.rs"]));
    assert_eq!(hash(&folder, &["in2"]).unwrap(), digest(&["a.txt"]));
    assert!(matches!(hash(&folder, &["loop"]), Err(HashError::Io { .. })));
    assert!(matches!(hash(&folder, &["broken"]), Err(HashError::Io { .. })));
}

#[test]
fn followed_links_end_and_pipes_are_refused() {
    let folder = tree();
    symlink("..", folder.path().join("src/up")).unwrap();
    let followed = hash(&folder, &["--follow-symbolic-links", "linkdir/lib.rs"]).unwrap();
    assert_eq!(followed, digest(&["src/lib.rs"]));
    assert!(hash(&folder, &["--follow-symbolic-links", "**/lib.rs"]).is_ok());
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(hash(&folder, &["pipe"]), Err(HashError::NotAFile(_))));
}

proptest! {
    #[test]
    fn any_pattern_ends(patterns in proptest::collection::vec("[a*?!/\\[\\]\\\\.#~-]{0,12}|\\PC{0,8}", 0..3)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "a").unwrap();
        let found = hash_files(&place(&folder, ""), &patterns);
        prop_assert!(found.is_err() || [String::new(), digest(&["a"])].contains(&found.unwrap()));
    }
}
