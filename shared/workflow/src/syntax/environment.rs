//! `jobs.<id>.environment`.

use crate::expression::availability::{JOB, JOB_RUNNER_NO_SECRETS};
use crate::yaml::{Node, NodeKind};

use super::model::DeploymentTarget;
use super::reader::{Keys, Reader};

const ENVIRONMENT: Keys = Keys { of: "`environment`", known: &["name", "url", "deployment"] };

impl Reader<'_, '_> {
    /// A name, or a mapping with `name` and `url`. `deployment: false`: the forge is told of no deployment.
    pub(super) fn environment(&mut self, node: &Node) -> Option<DeploymentTarget> {
        if !matches!(node.kind, NodeKind::Mapping(_)) {
            self.non_empty(node, "environment")?;
            let name = self.templated(node, "environment", &JOB)?;
            return Some(DeploymentTarget { name, url: None, deployment: None });
        }
        let (mut name, mut url, mut deployment, mut named) = (None, None, None, false);
        for (key, value) in self.mapping(node, "environment")? {
            match &*key.text {
                "name" => {
                    named = true;
                    if self.non_empty(value, "name").is_some() {
                        name = self.templated(value, "name", &JOB);
                    }
                }
                "url" => url = self.text(value, "url", &JOB_RUNNER_NO_SECRETS),
                "deployment" => deployment = self.boolean(value, "deployment", &JOB),
                _ => self.unknown_key(key, &ENVIRONMENT),
            }
        }
        if !named {
            self.report.error(node.position, "missing-key", "`environment` needs a `name`");
        }
        Some(DeploymentTarget { name: name?, url, deployment })
    }
}
