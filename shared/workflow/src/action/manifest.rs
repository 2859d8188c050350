//! What an action's `action.yml` says (GitHub docs, "Metadata syntax reference"). [`crate::syntax::parse_action`] reads
//! it.

use serde::{Deserialize, Serialize};

use crate::diagnostics::Diagnostic;
use crate::job_spec::{Entry, StepSpec, Text};

/// Names of the file, in the order in which they are looked for.
pub const MANIFEST_NAMES: [&str; 2] = ["action.yml", "action.yaml"];

/// How deep composite actions may use one another (GitHub's runner: 10, the first included).
pub const MAX_COMPOSITE_DEPTH: usize = 10;

/// An action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Path of its file, for messages.
    pub file: String,
    /// `name`; empty when there is none.
    pub name: String,
    /// `inputs`, in file order.
    pub inputs: Vec<ActionInput>,
    /// `outputs` with their `value`, which only a composite action has.
    pub outputs: Vec<Entry>,
    /// `runs`
    pub runs: Runs,
    /// What is worth saying though the action can run.
    #[serde(default)]
    pub warnings: Vec<Diagnostic>,
}

/// One of `inputs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionInput {
    /// Its name, as written.
    pub name: String,
    /// `default`, a template.
    pub default: Option<Text>,
    /// `required`: only told, as on GitHub.
    pub required: bool,
    /// `deprecationMessage`
    pub deprecation: Option<String>,
}

/// How an action runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Runs {
    /// `using: node20` and the like.
    Node {
        /// The number behind `node`.
        version: u32,
        /// The program, below the action's folder.
        main: String,
        /// What runs before and after.
        around: Around,
    },
    /// `using: composite`
    Composite {
        /// Its steps.
        steps: Vec<StepSpec>,
    },
    /// `using: docker`
    Docker {
        /// `Dockerfile`, a path below the action's folder, or `docker://image`.
        image: String,
        /// `entrypoint`, instead of the image's.
        entrypoint: Option<String>,
        /// `args`, templates.
        args: Vec<Text>,
        /// `env`, templates.
        env: Vec<Entry>,
        /// What runs before and after; entrypoints.
        around: Around,
    },
}

/// What runs before the job's first step, and after its last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Around {
    /// `pre` or `pre-entrypoint`
    pub pre: Option<String>,
    /// `pre-if`; none: `always()`
    pub pre_if: Option<Text>,
    /// `post` or `post-entrypoint`
    pub post: Option<String>,
    /// `post-if`; none: `always()`
    pub post_if: Option<Text>,
}

impl Manifest {
    /// What a `docker://image` step is.
    pub fn of_image(image: &str) -> Self {
        Self {
            file: format!("docker://{image}"),
            name: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            runs: Runs::Docker {
                image: format!("docker://{image}"),
                entrypoint: None,
                args: Vec::new(),
                env: Vec::new(),
                around: Around::default(),
            },
            warnings: Vec::new(),
        }
    }

    /// What runs around it; a composite action has nothing of its own.
    pub fn around(&self) -> Option<&Around> {
        match &self.runs {
            Runs::Node { around, .. } | Runs::Docker { around, .. } => Some(around),
            Runs::Composite { .. } => None,
        }
    }
}
