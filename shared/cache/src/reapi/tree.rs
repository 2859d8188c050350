//! Directories: sending a whole tree, and finding the blobs that one lists.

use std::collections::HashSet;
use std::pin::Pin;

use bytes::Bytes;
use prost::Message as _;
use slipway_cas::Digest;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{re, status};
use crate::limits::{MAX_DIRECTORY_BYTES, MAX_TREE_DIRECTORIES, READ_QUEUE, TREE_FANOUT, TREE_PAGE_BYTES};
use crate::view::View;

type Pages = Pin<Box<dyn Stream<Item = Result<re::GetTreeResponse, Status>> + Send>>;

/// Sends a directory and all below it, each once, the root first. What of it is missing is left out, as REAPI has it.
pub(super) async fn send(view: View, root: Digest) -> Result<Pages, Status> {
    let first = directory(&view, root).await?;
    let (sender, pages) = mpsc::channel(READ_QUEUE);
    tokio::spawn(async move {
        let mut walk = Walk::new(view, root);
        let (mut page, mut page_bytes) = (Vec::new(), 0);
        let mut level = vec![first];
        while !level.is_empty() {
            for directory in &level {
                page_bytes += directory.encoded_len();
                page.push(directory.clone());
                if page_bytes >= TREE_PAGE_BYTES {
                    page_bytes = 0;
                    let directories = std::mem::take(&mut page);
                    let response = re::GetTreeResponse { directories, next_page_token: String::new() };
                    if sender.send(Ok(response)).await.is_err() {
                        return;
                    }
                }
            }
            level = match walk.below(&level).await {
                Ok(level) => level,
                Err(status) => return drop(sender.send(Err(status)).await),
            };
        }
        if !page.is_empty() {
            let response = re::GetTreeResponse { directories: page, next_page_token: String::new() };
            // Nobody may listen any more.
            let _ = sender.send(Ok(response)).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(pages)))
}

/// Goes down a tree, one level after the other and each directory once.
struct Walk {
    view: View,
    seen: HashSet<Digest>,
}

impl Walk {
    fn new(view: View, root: Digest) -> Self {
        Self { view, seen: HashSet::from([root]) }
    }

    /// The directories below these; those that are missing are left out.
    async fn below(&mut self, level: &[re::Directory]) -> Result<Vec<re::Directory>, Status> {
        let mut wanted = Vec::new();
        for node in level.iter().flat_map(|directory| &directory.directories) {
            let digest = status::digest("directories.digest", node.digest.as_ref())?;
            if self.seen.insert(digest) {
                wanted.push(digest);
            }
        }
        if self.seen.len() > MAX_TREE_DIRECTORIES {
            return Err(Status::resource_exhausted(format!(
                "the tree has more than {MAX_TREE_DIRECTORIES} directories"
            )));
        }
        let mut found = Vec::new();
        for part in wanted.chunks(TREE_FANOUT) {
            for (digest, blob) in part.iter().zip(self.view.read_many(part).await) {
                if let Some(bytes) = blob {
                    found.push(parse(*digest, bytes)?);
                }
            }
        }
        Ok(found)
    }
}

async fn directory(view: &View, digest: Digest) -> Result<re::Directory, Status> {
    parse(digest, blob(view, digest).await?)
}

fn parse(digest: Digest, bytes: Bytes) -> Result<re::Directory, Status> {
    re::Directory::decode(bytes)
        .map_err(|error| Status::invalid_argument(format!("blob {digest} is no directory: {error}")))
}

/// A blob that is a message.
async fn blob(view: &View, digest: Digest) -> Result<Bytes, Status> {
    if digest.size_bytes() > MAX_DIRECTORY_BYTES {
        return Err(Status::invalid_argument(format!(
            "blob {digest} is longer than a directory may be, {MAX_DIRECTORY_BYTES} bytes"
        )));
    }
    view.read_all(digest).await.map_err(|error| status::of_cache(&error))
}

/// The blobs that a message `Tree` needs: itself, and the files in it. Its directories stand in the message.
pub(super) async fn of_tree(view: &View, digest: Digest) -> Result<Vec<Digest>, Status> {
    let bytes = blob(view, digest).await?;
    let tree = re::Tree::decode(bytes)
        .map_err(|error| Status::invalid_argument(format!("blob {digest} is no tree: {error}")))?;
    let mut digests = vec![digest];
    for file in tree.root.iter().chain(&tree.children).flat_map(|directory| &directory.files) {
        digests.push(status::digest("files.digest", file.digest.as_ref())?);
    }
    Ok(digests)
}

/// The blobs that a directory needs: itself, those below it, and the files in them.
pub(super) async fn of_directory(view: &View, digest: Digest) -> Result<Vec<Digest>, Status> {
    let mut walk = Walk::new(view.clone(), digest);
    let mut level = vec![directory(view, digest).await?];
    let mut digests = Vec::new();
    while !level.is_empty() {
        for file in level.iter().flat_map(|directory| &directory.files) {
            digests.push(status::digest("files.digest", file.digest.as_ref())?);
        }
        level = walk.below(&level).await?;
    }
    // One that is missing was asked for by name: the entry is refused for it.
    digests.extend(walk.seen);
    Ok(digests)
}
