//! Parser events into a tree, without recursion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{Key, MAX_DEPTH, MAX_FILE_BYTES, MAX_RESULT_BYTES, NODE_BYTES, Node, NodeKind, scalar};
use crate::diagnostics::{Position, Reporter};
use crate::value::fold;

/// A mapping with more keys than this looks for duplicates in a set.
const LINEAR_KEYS: usize = 16;

/// Parses the reporter's source. `None` when it can't be used at all; then an error is recorded. Duplicate keys are
/// recorded as errors and skipped.
pub fn parse(reporter: &mut Reporter<'_>) -> Option<Node> {
    let source = reporter.source();
    let start = Position { line: 1, column: 1 };
    if source.len() > MAX_FILE_BYTES {
        reporter.error(start, "limit", format!("the file is larger than {MAX_FILE_BYTES} bytes"));
        return None;
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut builder = Builder { stack: Vec::new(), anchors: BTreeMap::new(), root: None, bytes: 0, reporter };
    let mut parser = Parser::new_from_str(source);
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = position(*error.marker());
                if error.info().contains("recursion limit") {
                    // The scanner looks ahead, and has a limit of its own.
                    builder.check_depth(usize::MAX, at);
                } else {
                    let message = format!("this is not valid YAML: {}", error.info());
                    builder.reporter.error(at, "yaml-syntax", message);
                }
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                builder.reporter.error(
                    position(span.start),
                    "yaml-syntax",
                    "a workflow file holds one document",
                );
                return None;
            }
        }
        if matches!(event, Event::StreamEnd) {
            break;
        }
        builder.event(event, span)?;
    }
    if builder.root.is_none() {
        builder.reporter.error(start, "yaml-syntax", "the file is empty");
    }
    builder.root
}

fn position(marker: Marker) -> Position {
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: clamp(marker.line()), column: clamp(marker.col().saturating_add(1)) }
}

/// A finished node with what it weighs, for aliases.
struct Weighed {
    node: Node,
    bytes: usize,
    height: usize,
}

enum Items {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, key: Option<Key>, folded: BTreeSet<String> },
}

/// A collection that is open.
struct Frame {
    position: Position,
    anchor: usize,
    items: Items,
    bytes: usize,
    height: usize,
}

struct Builder<'r, 's> {
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Weighed>,
    root: Option<Node>,
    bytes: usize,
    reporter: &'r mut Reporter<'s>,
}

impl Builder<'_, '_> {
    /// `None` stops the whole file; the error is recorded.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let bytes = text.len() + NODE_BYTES;
                let plain = style == ScalarStyle::Plain;
                if plain && tag.is_none() && text == "<<" && self.key_is_next() {
                    self.reporter.error_hint(
                        at,
                        "unsupported",
                        "merge keys (`<<`) are not supported, on GitHub neither",
                        "write the keys out, or anchor the whole mapping",
                    );
                    return None;
                }
                let kind = self.scalar(&text, plain, tag.as_deref(), at)?;
                self.add(Weighed { node: Node { position: at, kind }, bytes, height: 0 }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(at, anchor, tag.as_deref(), "seq", Items::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let items = Items::Mapping { entries: Vec::new(), key: None, folded: BTreeSet::new() };
                self.open(at, anchor, tag.as_deref(), "map", items)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn key_is_next(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { items: Items::Mapping { key: None, .. }, .. }))
    }

    fn scalar(&mut self, text: &str, plain: bool, tag: Option<&Tag>, at: Position) -> Option<NodeKind> {
        let string = || Some(NodeKind::String(text.into()));
        let Some(tag) = tag else {
            return if plain { Some(scalar::resolve(text)) } else { string() };
        };
        let resolved = scalar::resolve(text);
        let kind = match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
            (true, "str") => string(),
            (true, "int" | "float") => scalar::number(text).map(NodeKind::Number),
            (true, "bool") => Some(resolved).filter(|kind| matches!(kind, NodeKind::Bool(_))),
            (true, "null") => Some(resolved).filter(|kind| matches!(kind, NodeKind::Null)),
            // `!` alone means text.
            (false, "" | "!") => string(),
            _ => {
                self.unknown_tag(tag, at);
                return None;
            }
        };
        if kind.is_none() {
            self.reporter.error(
                at,
                "yaml-syntax",
                format!("`{text}` is not what its tag `!!{}` says", tag.suffix),
            );
        }
        kind
    }

    fn unknown_tag(&mut self, tag: &Tag, at: Position) {
        self.reporter.error_hint(
            at,
            "yaml-syntax",
            format!("the tag `{tag}` is not allowed"),
            "only !!str, !!int, !!float, !!bool and !!null are",
        );
    }

    fn open(
        &mut self,
        at: Position,
        anchor: usize,
        tag: Option<&Tag>,
        name: &str,
        items: Items,
    ) -> Option<()> {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == name)) {
            self.unknown_tag(tag, at);
            return None;
        }
        self.check_depth(self.stack.len() + 1, at)?;
        self.stack.push(Frame { position: at, anchor, items, bytes: NODE_BYTES, height: 0 });
        Some(())
    }

    fn check_depth(&mut self, depth: usize, at: Position) -> Option<()> {
        if depth > MAX_DEPTH {
            self.reporter.error(at, "limit", format!("the file is nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let frame = self.stack.pop()?;
        let kind = match frame.items {
            Items::Sequence(items) => NodeKind::Sequence(Arc::new(items)),
            Items::Mapping { entries, .. } => NodeKind::Mapping(Arc::new(entries)),
        };
        let node = Node { position: frame.position, kind };
        // Its parts are counted already, and `add` counts the whole.
        self.bytes = self.bytes.saturating_sub(frame.bytes.saturating_sub(NODE_BYTES));
        let weighed = Weighed { node, bytes: frame.bytes, height: frame.height + 1 };
        self.add(weighed, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Option<()> {
        let Some(weighed) = self.anchors.get(&anchor) else {
            self.reporter.error(at, "yaml-syntax", "this alias stands inside the node it refers to");
            return None;
        };
        let copy = Weighed { node: weighed.node.clone(), bytes: weighed.bytes, height: weighed.height };
        self.check_depth(self.stack.len() + copy.height, at)?;
        self.add(copy, 0)
    }

    fn add(&mut self, weighed: Weighed, anchor: usize) -> Option<()> {
        let Weighed { node, bytes, height } = weighed;
        let at = node.position;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_RESULT_BYTES {
            self.reporter.error_hint(
                at,
                "limit",
                format!("the file is larger than {MAX_RESULT_BYTES} bytes once its aliases are followed"),
                "use fewer aliases of aliases",
            );
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Weighed { node: node.clone(), bytes, height });
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        frame.bytes = frame.bytes.saturating_add(bytes);
        frame.height = frame.height.max(height);
        match &mut frame.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, key, folded } => match key.take() {
                None => {
                    let Some(text) = node.scalar_text() else {
                        self.reporter.error(at, "yaml-syntax", "a key must be text, not a list or a mapping");
                        return None;
                    };
                    *key = Some(Key { position: at, text });
                }
                Some(key) => {
                    if is_duplicate(entries, folded, &key) {
                        self.reporter.error(
                            key.position,
                            "duplicate-key",
                            format!("the key `{}` is already defined in this mapping", key.text),
                        );
                    } else {
                        entries.push((key, node));
                    }
                }
            },
        }
        Some(())
    }
}

/// Whether a key is there already, but for case. Small mappings are walked, larger ones keep a set.
fn is_duplicate(entries: &[(Key, Node)], folded: &mut BTreeSet<String>, key: &Key) -> bool {
    if entries.len() < LINEAR_KEYS {
        return entries.iter().any(|(known, _)| crate::value::eq_ignore_case(&known.text, &key.text));
    }
    if folded.is_empty() {
        folded.extend(entries.iter().map(|(known, _)| fold(&known.text)));
    }
    !folded.insert(fold(&key.text))
}
