//! The whole control plane.

use crate::script::Script;
use crate::{Failure, Keep, Summary};

pub(crate) fn run(_script: &Script, _keep: Keep) -> Result<Summary, Box<Failure>> {
    unimplemented!()
}
