//! `ActionCache`: what actions resulted in.
//!
//! A hit says that all its outputs are here: the blobs that a result lists, those inside of its trees too, are found when it is
//! stored, and looked for again whenever it is asked for.

use bytes::Bytes;
use prost::Message as _;
use slipway_cas::Digest;
use slipway_cas::cache::Entry;
use slipway_cas::cache::entries::Subject;
use tonic::{Request, Response, Status};

use super::{Reapi, re, status, tree};
use crate::view::View;
use re::action_cache_server::ActionCache;

#[tonic::async_trait]
impl ActionCache for Reapi {
    async fn get_action_result(
        &self,
        request: Request<re::GetActionResultRequest>,
    ) -> Result<Response<re::ActionResult>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        let action = status::digest("action_digest", request.action_digest.as_ref())?;
        let entry = view.entry(&Subject::Action(action)).await;
        let result = entry.and_then(|entry| re::ActionResult::decode(entry.value).ok());
        result.map(Response::new).ok_or_else(|| Status::not_found(format!("no result of action {action}")))
    }

    async fn update_action_result(
        &self,
        request: Request<re::UpdateActionResultRequest>,
    ) -> Result<Response<re::ActionResult>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        view.writable().map_err(status::read_only)?;
        let action = status::digest("action_digest", request.action_digest.as_ref())?;
        let result =
            request.action_result.ok_or_else(|| Status::invalid_argument("`action_result` is missing"))?;
        let references = references(&view, &result).await?;
        let entry = Entry { value: Bytes::from(result.encode_to_vec()), references };
        view.put_entry(&Subject::Action(action), &entry).await.map_err(|error| status::of_put(&error))?;
        Ok(Response::new(result))
    }
}

/// All blobs without which a result is worth nothing, each once.
pub(crate) async fn references(view: &View, result: &re::ActionResult) -> Result<Vec<Digest>, Status> {
    let mut digests = Vec::new();
    for file in &result.output_files {
        digests.push(status::digest("output_files.digest", file.digest.as_ref())?);
    }
    for (field, digest) in
        [("stdout_digest", &result.stdout_digest), ("stderr_digest", &result.stderr_digest)]
    {
        if digest.is_some() {
            digests.push(status::digest(field, digest.as_ref())?);
        }
    }
    for output in &result.output_directories {
        if output.tree_digest.is_none() && output.root_directory_digest.is_none() {
            return Err(Status::invalid_argument(
                "`output_directories` has neither `tree_digest` nor `root_directory_digest`",
            ));
        }
        if output.tree_digest.is_some() {
            let digest = status::digest("output_directories.tree_digest", output.tree_digest.as_ref())?;
            digests.extend(lacking(tree::of_tree(view, digest).await)?);
        }
        if output.root_directory_digest.is_some() {
            let digest = status::digest(
                "output_directories.root_directory_digest",
                output.root_directory_digest.as_ref(),
            )?;
            digests.extend(lacking(tree::of_directory(view, digest).await)?);
        }
    }
    digests.sort_unstable();
    digests.dedup();
    Ok(digests)
}

/// A tree that is not here is no wrong argument: it is to be uploaded first.
fn lacking<T>(read: Result<T, Status>) -> Result<T, Status> {
    read.map_err(|status| match status.code() {
        tonic::Code::NotFound => {
            Status::failed_precondition(format!("{}; upload it first", status.message()))
        }
        _ => status,
    })
}
