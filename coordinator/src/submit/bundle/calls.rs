//! Where a workflow file calls others: `jobs.<id>.uses`.

use slipway_workflow::yaml::{self, Node, NodeKind};

/// A call, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) uses: String,
    pub(super) line: u32,
    pub(super) column: u32,
}

fn entry<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let NodeKind::Mapping(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| &*key.text == name).map(|(_, value)| value)
}

/// The calls of a file; none of one that is no YAML.
pub(super) fn of(text: &str) -> Vec<Call> {
    // Most workflows call nothing, and this is read once more by the language.
    if !text.contains("uses") {
        return Vec::new();
    }
    let Some(root) = yaml::parse_quietly(text) else { return Vec::new() };
    let Some(NodeKind::Mapping(jobs)) = entry(&root, "jobs").map(|jobs| &jobs.kind) else {
        return Vec::new();
    };
    let calls = jobs.iter().filter_map(|(_, job)| {
        let uses = entry(job, "uses")?;
        let position = uses.position;
        Some(Call { uses: uses.scalar_text()?.to_string(), line: position.line, column: position.column })
    });
    calls.collect()
}
