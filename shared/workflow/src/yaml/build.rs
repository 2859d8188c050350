//! What the reader finds into a tree, and its bounds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cursor::Fault;
use super::properties::{Properties, Tag};
use super::{Key, MAX_DEPTH, MAX_RESULT_BYTES, NODE_BYTES, Node, NodeKind, scalar};
use crate::diagnostics::{Position, Reporter};
use crate::value::fold;

/// A mapping with more keys than this looks for duplicates in a set.
const LINEAR_KEYS: usize = 16;

/// Keys that are kept for their next use.
const KNOWN_KEYS: usize = 64;
/// Room that most files are content with.
const FIRST_FRAMES: usize = 16;
const FIRST_PARTS: usize = 64;

/// Why reading stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is no YAML; not recorded yet.
    Fault(Fault),
    /// The error is recorded.
    Recorded,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// A finished node with what it weighs, for aliases.
struct Weighed {
    node: Node,
    bytes: usize,
    height: usize,
}

/// Where the parts of an open collection begin in [`Builder::items`] or [`Builder::entries`].
enum Items {
    Sequence { from: usize },
    Mapping { from: usize, key: Option<Key>, folded: BTreeSet<String> },
}

/// A collection that is open.
struct Frame<'s> {
    position: Position,
    anchor: Option<&'s str>,
    items: Items,
    bytes: usize,
    height: usize,
}

/// A scalar as it stands in the file.
pub(super) struct Scalar<'s> {
    pub(super) at: Position,
    pub(super) text: Cow<'s, str>,
    /// Without quotes, so that it may be a number and the like.
    pub(super) plain: bool,
}

pub(super) struct Builder<'r, 's> {
    stack: Vec<Frame<'s>>,
    /// The parts of all open lists, and of all open mappings: a collection is allocated once, when its size is known.
    items: Vec<Node>,
    entries: Vec<(Key, Node)>,
    /// Keys that were made before: a file has few different ones.
    keys: [Option<Arc<str>>; KNOWN_KEYS],
    /// `None` while the node is open.
    anchors: BTreeMap<&'s str, Option<Weighed>>,
    pub(super) root: Option<Node>,
    bytes: usize,
    pub(super) reporter: &'r mut Reporter<'s>,
}

impl<'r, 's> Builder<'r, 's> {
    pub(super) fn new(reporter: &'r mut Reporter<'s>) -> Self {
        Self {
            stack: Vec::with_capacity(FIRST_FRAMES),
            items: Vec::with_capacity(FIRST_PARTS),
            entries: Vec::with_capacity(FIRST_PARTS),
            keys: [const { None }; KNOWN_KEYS],
            anchors: BTreeMap::new(),
            root: None,
            bytes: 0,
            reporter,
        }
    }

    pub(super) fn scalar(&mut self, scalar: Scalar<'s>, properties: &Properties<'s>) -> Result<(), Stop> {
        let Scalar { at, text, plain } = scalar;
        let bytes = text.len() + NODE_BYTES;
        if plain && properties.tag.is_none() && text == "<<" && self.key_is_next() {
            self.reporter.error_hint(
                at,
                "unsupported",
                "merge keys (`<<`) are not supported, on GitHub neither",
                "write the keys out, or anchor the whole mapping",
            );
            return Err(Stop::Recorded);
        }
        if plain
            && properties.is_empty()
            && self.key_is_next()
            && let Some(known) = self.known_key(&text)
        {
            return self.add_key(Key { position: at, text: known }, bytes);
        }
        let kind = match &properties.tag {
            None if plain => scalar::resolve(&text),
            None => NodeKind::String(text.into()),
            Some(tag) => self.tagged(&text, tag, properties.tag_at)?,
        };
        self.add(Weighed { node: Node { position: at, kind }, bytes, height: 0 }, properties.anchor)
    }

    /// The text of a plain key that stands for nothing but itself.
    fn known_key(&mut self, text: &str) -> Option<Arc<str>> {
        let (first, last) = (*text.as_bytes().first()?, *text.as_bytes().last()?);
        let slot = (text.len() + usize::from(first) * 7 + usize::from(last) * 3) % KNOWN_KEYS;
        let slot = self.keys.get_mut(slot)?;
        if let Some(known) = slot
            && **known == *text
        {
            return Some(known.clone());
        }
        match scalar::resolve(text) {
            NodeKind::String(text) => Some(slot.insert(text).clone()),
            _ => None,
        }
    }

    fn add_key(&mut self, new: Key, bytes: usize) -> Result<(), Stop> {
        self.spend(bytes, new.position)?;
        if let Some(frame) = self.stack.last_mut() {
            frame.bytes = frame.bytes.saturating_add(bytes);
            if let Items::Mapping { key, .. } = &mut frame.items {
                *key = Some(new);
            }
        }
        Ok(())
    }

    /// Counts what the tree takes.
    fn spend(&mut self, bytes: usize, at: Position) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_RESULT_BYTES {
            self.reporter.error_hint(
                at,
                "limit",
                format!("the file is larger than {MAX_RESULT_BYTES} bytes once its aliases are followed"),
                "use fewer aliases of aliases",
            );
            return Err(Stop::Recorded);
        }
        Ok(())
    }

    fn key_is_next(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { items: Items::Mapping { key: None, .. }, .. }))
    }

    fn tagged(&mut self, text: &str, tag: &Tag<'_>, at: Position) -> Result<NodeKind, Stop> {
        let kind = match tag {
            Tag::Text => Some(NodeKind::String(text.into())),
            Tag::Core("int" | "float") => scalar::number(text).map(NodeKind::Number),
            Tag::Core("str") => Some(NodeKind::String(text.into())),
            Tag::Core("bool") => Some(scalar::resolve(text)).filter(|kind| matches!(kind, NodeKind::Bool(_))),
            Tag::Core("null") => Some(scalar::resolve(text)).filter(|kind| matches!(kind, NodeKind::Null)),
            _ => return Err(self.unknown_tag(tag, at)),
        };
        kind.ok_or_else(|| {
            let message = format!("`{text}` is not what its tag `{tag}` says");
            self.reporter.error(at, "yaml-syntax", message);
            Stop::Recorded
        })
    }

    fn unknown_tag(&mut self, tag: &Tag<'_>, at: Position) -> Stop {
        self.reporter.error_hint(
            at,
            "yaml-syntax",
            format!("the tag `{tag}` is not allowed"),
            "only !!str, !!int, !!float, !!bool and !!null are",
        );
        Stop::Recorded
    }

    pub(super) fn open_sequence(&mut self, at: Position, properties: &Properties<'s>) -> Result<(), Stop> {
        self.open(at, properties, "seq", Items::Sequence { from: self.items.len() })
    }

    pub(super) fn open_mapping(&mut self, at: Position, properties: &Properties<'s>) -> Result<(), Stop> {
        let items = Items::Mapping { from: self.entries.len(), key: None, folded: BTreeSet::new() };
        self.open(at, properties, "map", items)
    }

    fn open(
        &mut self,
        at: Position,
        properties: &Properties<'s>,
        name: &str,
        items: Items,
    ) -> Result<(), Stop> {
        if self.key_is_next() {
            return Err(Stop::Fault(complex_key(at)));
        }
        if let Some(tag) = &properties.tag
            && *tag != Tag::Core(name)
        {
            return Err(self.unknown_tag(tag, properties.tag_at));
        }
        self.check_depth(self.stack.len() + 1, at)?;
        if let Some(anchor) = properties.anchor {
            self.anchors.insert(anchor, None);
        }
        let anchor = properties.anchor;
        self.stack.push(Frame { position: at, anchor, items, bytes: NODE_BYTES, height: 0 });
        Ok(())
    }

    fn check_depth(&mut self, depth: usize, at: Position) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            self.reporter.error(at, "limit", format!("the file is nested deeper than {MAX_DEPTH} levels"));
            return Err(Stop::Recorded);
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let kind = match frame.items {
            Items::Sequence { from } => NodeKind::Sequence(self.items.drain(from..).collect()),
            Items::Mapping { from, .. } => NodeKind::Mapping(self.entries.drain(from..).collect()),
        };
        let node = Node { position: frame.position, kind };
        // Its parts are counted already, and `add` counts the whole.
        self.bytes = self.bytes.saturating_sub(frame.bytes.saturating_sub(NODE_BYTES));
        let weighed = Weighed { node, bytes: frame.bytes, height: frame.height + 1 };
        self.add(weighed, frame.anchor)
    }

    pub(super) fn alias(&mut self, name: &str, at: Position) -> Result<(), Stop> {
        let copy = match self.anchors.get(name) {
            Some(Some(found)) => {
                Weighed { node: found.node.clone(), bytes: found.bytes, height: found.height }
            }
            Some(None) => {
                self.reporter.error(at, "yaml-syntax", "this alias stands inside the node it refers to");
                return Err(Stop::Recorded);
            }
            None => {
                let message = format!("no anchor `&{name}` stands before this alias");
                return Err(Stop::Fault(Fault { at, message }));
            }
        };
        self.check_depth(self.stack.len() + copy.height, at)?;
        self.add(copy, None)
    }

    fn add(&mut self, weighed: Weighed, anchor: Option<&'s str>) -> Result<(), Stop> {
        let Weighed { node, bytes, height } = weighed;
        let at = node.position;
        self.spend(bytes, at)?;
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, Some(Weighed { node: node.clone(), bytes, height }));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.bytes = frame.bytes.saturating_add(bytes);
        frame.height = frame.height.max(height);
        match &mut frame.items {
            Items::Sequence { .. } => self.items.push(node),
            Items::Mapping { from, key, folded } => match key.take() {
                None => {
                    let Some(text) = node.scalar_text() else {
                        return Err(Stop::Fault(complex_key(at)));
                    };
                    *key = Some(Key { position: at, text });
                }
                Some(key) => {
                    if is_duplicate(self.entries.get(*from..).unwrap_or_default(), folded, &key) {
                        self.reporter.error(
                            key.position,
                            "duplicate-key",
                            format!("the key `{}` is already defined in this mapping", key.text),
                        );
                    } else {
                        self.entries.push((key, node));
                    }
                }
            },
        }
        Ok(())
    }
}

pub(super) fn complex_key(at: Position) -> Fault {
    Fault { at, message: "a key must be text, not a list or a mapping".to_owned() }
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
