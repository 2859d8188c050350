//! What a job says, as a hash: of two equal ones the same work comes, as far as the workflow's files tell.
//!
//! It covers the job, what the workflow says for all jobs, and the files of the checkout that the job calls. Comments,
//! indentation and the place in the file do not count.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use slipway_workflow::yaml::{self, Node, NodeKind};

/// What counts for every job of a file.
const SHARED: [&str; 3] = ["env", "defaults", "permissions"];

/// The hash of each job of a workflow with this text, by id; `called` has the checkout's other workflows by path.
pub(super) fn of_jobs(text: &str, called: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let Some(root) = yaml::parse_quietly(text) else { return BTreeMap::new() };
    let Some(NodeKind::Mapping(jobs)) = member(&root, "jobs").map(|jobs| &jobs.kind) else {
        return BTreeMap::new();
    };
    let of_job = |job: &Node| {
        let mut hash = Sha256::new();
        for name in SHARED {
            match member(&root, name) {
                Some(node) => add(&mut hash, node),
                None => hash.update(b"-"),
            }
        }
        add(&mut hash, job);
        add_called(&mut hash, job, called, &mut BTreeSet::new());
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    jobs.iter().map(|(id, job)| (id.text.to_string(), of_job(job))).collect()
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let NodeKind::Mapping(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| key.text.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Adds the files of the checkout that a job calls, and those that these call.
fn add_called<'a>(
    hash: &mut Sha256,
    job: &Node,
    called: &'a BTreeMap<String, String>,
    seen: &mut BTreeSet<&'a str>,
) {
    let Some(NodeKind::String(uses)) = member(job, "uses").map(|uses| &uses.kind) else { return };
    let Some((path, text)) = uses.strip_prefix("./").and_then(|path| called.get_key_value(path)) else {
        return;
    };
    if !seen.insert(path) {
        return;
    }
    let Some(file) = yaml::parse_quietly(text) else { return };
    add(hash, &file);
    if let Some(NodeKind::Mapping(jobs)) = member(&file, "jobs").map(|jobs| &jobs.kind) {
        jobs.iter().for_each(|(_, job)| add_called(hash, job, called, seen));
    }
}

/// Adds a tree so that no two different ones add the same bytes.
fn add(hash: &mut Sha256, node: &Node) {
    let mut add_text = |kind: &[u8], text: &str| {
        hash.update(kind);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    match &node.kind {
        NodeKind::Null => hash.update(b"0"),
        NodeKind::Bool(value) => hash.update([b'b', u8::from(*value)]),
        NodeKind::Number(value) => {
            hash.update(b"n");
            hash.update(value.to_bits().to_le_bytes());
        }
        NodeKind::String(text) => add_text(b"s", text),
        NodeKind::Sequence(items) => {
            add_text(b"l", &items.len().to_string());
            items.iter().for_each(|item| add(hash, item));
        }
        NodeKind::Mapping(entries) => {
            add_text(b"m", &entries.len().to_string());
            for (key, value) in entries.iter() {
                hash.update((key.text.len() as u64).to_le_bytes());
                hash.update(key.text.as_bytes());
                add(hash, value);
            }
        }
    }
}
