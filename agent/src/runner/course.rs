//! Where a job stands among its steps, those inside of composite actions and those around them included.
//!
//! A job is a course of **activities** in three stages: what actions do before the first step, the steps, and what actions
//! do after the last one, last first. A composite action opens a **frame**: its steps come next, and then the step that
//! used it ends. Everything here is part of the job's journal, so that another process goes on inside of an action.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slipway_workflow::action::{Manifest, Runs};
use slipway_workflow::job_spec::StepSpec;

use super::saved::Running;
use crate::steps::values::Values;

/// Numbers of files that belong to one lane: more than a job has activities.
const LANE_FILES: usize = 1_000_000;

/// When an activity happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before the first step.
    #[default]
    Pre,
    /// A step.
    Main,
    /// After the last step.
    Post,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Course {
    /// The stage it has come to.
    pub stage: Stage,
    /// Index of the activity to reach next in this stage; in [`Stage::Post`] always the last of `posts`.
    pub next: usize,
    /// Composite actions under way, outermost first.
    pub frames: Vec<Frame>,
    /// What is to be done before the first step, in order.
    pub pres: Vec<Around>,
    /// What is to be done after the last step, the last of it first.
    pub posts: Vec<Around>,
    /// How many of `pres` and `posts` have ended: their place among the records.
    pub around: u32,
    /// How many activities have begun: names of their files.
    pub files: usize,
    /// What actions saved (`GITHUB_STATE`), by the key of their step.
    pub states: BTreeMap<String, Values>,
}

/// A composite action under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Frame {
    /// Index of the action.
    pub action: usize,
    /// Index of its step to reach next.
    pub next: usize,
    /// The step that uses it.
    pub caller: Running,
    /// Its inputs.
    pub inputs: Values,
    /// The caller's own `env`: its steps see it, and nobody after them.
    pub env: Values,
}

/// What an action does before or after the steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Around {
    /// Key of the step that uses the action.
    pub key: String,
    /// What people see.
    pub name: String,
    /// That step, with this stage's condition.
    pub step: StepSpec,
    /// Index of the action.
    pub action: usize,
    /// Set after the step ran: its inputs and own `env` as they were.
    pub fixed: Option<Fixed>,
    /// Before the step: the composite actions around it, outermost first.
    pub callers: Vec<Caller>,
}

/// What a step had when it ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fixed {
    /// Inputs of its action.
    pub inputs: Values,
    /// Its own `env`.
    pub env: Values,
}

/// A step that uses a composite action which has not begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Caller {
    /// The step.
    pub step: StepSpec,
    /// Index of the action.
    pub action: usize,
}

/// An action that is in place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Loaded {
    /// `owner/name[/path]@ref` in lower case, or `./path`.
    pub key: String,
    /// Its folder below the job's work folder; empty for `docker://`.
    pub folder: String,
    /// `owner/name` and the version, of a repository's action.
    pub repository: Option<(String, String)>,
    /// The commit, where it is known.
    pub commit: Option<String>,
    /// Whether it is one that this agent brings itself.
    #[serde(default)]
    pub built_in: bool,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Activity {
    /// When.
    pub stage: Stage,
    /// The step.
    pub step: StepSpec,
    /// Path of its indexes, such as `3` or `3.0` inside of an action: what its action saved stands under it.
    pub key: String,
    /// What is fixed, before or after the steps.
    pub around: Option<Around>,
    /// Whether it is inside of a composite action.
    pub nested: bool,
}

impl Activity {
    /// Whether it has a lane to itself.
    pub fn in_background(&self) -> bool {
        self.step.background && !self.nested && self.around.is_none()
    }
}

impl Course {
    /// What is to be done next; none: this stage, or the innermost action, is through.
    pub fn current(&self, steps: &[StepSpec], manifests: &[Arc<Manifest>]) -> Option<Activity> {
        if let Some(frame) = self.frames.last() {
            let Runs::Composite { steps } = &manifests.get(frame.action)?.runs else { return None };
            let step = steps.get(frame.next)?.clone();
            return Some(Activity { stage: self.stage, step, key: self.key(), around: None, nested: true });
        }
        let around = match self.stage {
            Stage::Main => {
                let step = steps.get(self.next)?.clone();
                return Some(Activity {
                    stage: Stage::Main,
                    step,
                    key: self.key(),
                    around: None,
                    nested: false,
                });
            }
            Stage::Pre => self.pres.get(self.next)?,
            Stage::Post => self.posts.last()?,
        };
        Some(Activity {
            stage: self.stage,
            step: around.step.clone(),
            key: around.key.clone(),
            around: Some(around.clone()),
            nested: false,
        })
    }

    fn key(&self) -> String {
        let mut key = self.next.to_string();
        for frame in &self.frames {
            key.push('.');
            key.push_str(&frame.next.to_string());
        }
        key
    }

    /// The activity that was reached is over.
    pub fn advance(&mut self) {
        self.files += 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.next += 1;
            return;
        }
        match self.stage {
            Stage::Pre => {
                self.next += 1;
                self.around += 1;
            }
            Stage::Main => self.next += 1,
            Stage::Post => {
                self.posts.pop();
                self.around += 1;
            }
        }
    }

    /// Goes on to the next stage. False when there is none.
    pub fn next_stage(&mut self) -> bool {
        self.next = 0;
        self.stage = match self.stage {
            Stage::Pre => Stage::Main,
            Stage::Main => Stage::Post,
            Stage::Post => return false,
        };
        true
    }

    /// Whether nothing has begun.
    pub fn is_fresh(&self) -> bool {
        self.files == 0 && self.frames.is_empty()
    }

    /// The course of a step of the background: it alone.
    pub fn of_background(step: usize) -> Self {
        let files = step.saturating_add(1).saturating_mul(LANE_FILES);
        Self { stage: Stage::Main, next: step, files, ..Self::default() }
    }

    /// Where records of what is under way stand: the index of the file's step, or one behind them all. Index `steps` is
    /// for lines that belong to no step.
    pub fn record(&self, steps: usize) -> u32 {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        match self.stage {
            Stage::Main => number(self.next),
            Stage::Pre | Stage::Post => number(steps).saturating_add(1).saturating_add(self.around),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use slipway_workflow::syntax::parse_action;

    use super::*;

    fn composite() -> Arc<Manifest> {
        let text = "runs: {using: composite, steps: [{run: a, shell: sh}, {run: b, shell: sh}]}";
        Arc::new(parse_action("action.yml", text).unwrap())
    }

    fn steps(count: usize) -> Vec<StepSpec> {
        let Runs::Composite { steps } = &composite().runs else { return Vec::new() };
        steps.iter().cycle().take(count).cloned().collect()
    }

    fn frame() -> Frame {
        Frame {
            action: 0,
            next: 0,
            caller: Running::begun("c", None, 0, None),
            inputs: Values::default(),
            env: Values::default(),
        }
    }

    #[test]
    fn an_action_s_steps_come_inside_of_their_step() {
        let (steps, manifests) = (steps(2), [composite()]);
        let mut course = Course::default();
        assert!(course.current(&steps, &manifests).is_none() && course.next_stage());
        assert_eq!(course.current(&steps, &manifests).unwrap().key, "0");
        course.frames.push(frame());
        let mut keys = Vec::new();
        while let Some(activity) = course.current(&steps, &manifests) {
            assert!(activity.nested);
            assert_eq!(course.record(2), 0);
            keys.push(activity.key);
            course.advance();
        }
        assert_eq!(keys, ["0.0", "0.1"]);
        course.frames.pop();
        course.advance();
        assert_eq!(course.current(&steps, &manifests).unwrap().key, "1");
    }

    #[test]
    fn what_comes_after_comes_last_first() {
        let (steps, manifests) = (steps(1), [composite()]);
        let around = |name: &str| Around {
            key: name.to_owned(),
            name: name.to_owned(),
            step: steps.first().unwrap().clone(),
            action: 0,
            fixed: None,
            callers: Vec::new(),
        };
        let mut course =
            Course { stage: Stage::Post, posts: vec![around("a"), around("b")], ..Course::default() };
        let mut seen = Vec::new();
        while let Some(activity) = course.current(&steps, &manifests) {
            seen.push((activity.key, course.record(1)));
            course.advance();
        }
        assert_eq!(seen, [("b".to_owned(), 2), ("a".to_owned(), 3)]);
        assert!(!course.next_stage());
    }
}
