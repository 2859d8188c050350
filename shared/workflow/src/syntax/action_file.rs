//! `action.yml`: the file of an action.
//!
//! As lenient as GitHub's runner, which passes over keys that it does not know: an action made for tomorrow's runner
//! should work today. What can't be run is an error with its place.

use crate::action::{ActionInput, Around, Manifest, Runs};
use crate::diagnostics::{Diagnostic, Position, Reporter, Severity};
use crate::expression::availability::{
    ACTION_CONTAINER, ACTION_DEFAULT, COMPOSITE_CONDITION, COMPOSITE_STEP,
};
use crate::expression::{Availability, Condition};
use crate::job_spec::{Entry, Text};
use crate::yaml::{self, Key, Node, NodeKind};

use super::reader::{Reader, place};
use super::step::StepsOf;

/// Parses and checks an action's file; `file` is its path, for messages.
///
/// # Errors
/// All errors of the file, in its order.
pub fn parse_action(file: &str, source: &str) -> Result<Manifest, Vec<Diagnostic>> {
    let mut reporter = Reporter::new(file, source);
    let manifest = yaml::parse(&mut reporter).and_then(|root| {
        let mut reader = Reader { report: &mut reporter };
        reader.action(file, &root)
    });
    let found = reporter.finish();
    match manifest {
        Some(mut manifest) if found.iter().all(|finding| finding.severity == Severity::Warning) => {
            manifest.warnings = found;
            Ok(manifest)
        }
        _ => Err(found),
    }
}

/// The parts of `runs` before it is known what it is.
#[derive(Default)]
struct Parts {
    using: Option<(String, Position)>,
    main: Option<String>,
    image: Option<String>,
    entrypoint: Option<String>,
    args: Vec<Text>,
    env: Vec<Entry>,
    steps: Option<(Vec<crate::job_spec::StepSpec>, Position)>,
    node: Around,
    docker: Around,
}

impl Reader<'_, '_> {
    fn action(&mut self, file: &str, root: &Node) -> Option<Manifest> {
        let (mut name, mut inputs, mut outputs) = (String::new(), Vec::new(), Vec::new());
        let mut runs = None;
        for (key, value) in self.mapping(root, "an action's file")? {
            match &*key.text.to_ascii_lowercase() {
                "name" => name = value.scalar_text().unwrap_or_default().to_string(),
                "inputs" => inputs = self.action_inputs(value),
                "outputs" => outputs = self.action_outputs(value),
                "runs" => runs = Some(self.runs(value)),
                // `branding`, `author` and whatever else says nothing about how it runs.
                _ => {}
            }
        }
        let Some(runs) = runs else {
            self.report.error(root.position, "missing-key", "an action needs `runs`");
            return None;
        };
        Some(Manifest { file: file.to_owned(), name, inputs, outputs, runs: runs?, warnings: Vec::new() })
    }

    fn action_inputs(&mut self, node: &Node) -> Vec<ActionInput> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(entries) = self.mapping(node, "inputs") else { return Vec::new() };
        let mut inputs = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let mut input =
                ActionInput { name: key.text.to_string(), default: None, required: false, deprecation: None };
            if let NodeKind::Mapping(members) = &value.kind {
                for (member, value) in members.iter() {
                    match &*member.text.to_ascii_lowercase() {
                        "default" => input.default = self.text(value, "default", &ACTION_DEFAULT),
                        "required" => input.required = value.scalar_text().as_deref() == Some("true"),
                        "deprecationmessage" => {
                            input.deprecation = value.scalar_text().map(|text| text.to_string());
                        }
                        _ => {}
                    }
                }
            }
            inputs.push(input);
        }
        inputs
    }

    fn action_outputs(&mut self, node: &Node) -> Vec<Entry> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(entries) = self.mapping(node, "outputs") else { return Vec::new() };
        let mut outputs = Vec::new();
        for (key, value) in entries {
            if let NodeKind::Mapping(members) = &value.kind
                && let Some((_, value)) = members.iter().find(|(member, _)| &*member.text == "value")
                && let Some(value) = self.text(value, "value", &COMPOSITE_STEP)
            {
                outputs.push(Entry { key: key.text.to_string(), value });
            }
        }
        outputs
    }

    fn runs(&mut self, node: &Node) -> Option<Runs> {
        let mut parts = Parts::default();
        for (key, value) in self.mapping(node, "runs")? {
            self.runs_key(&mut parts, key, value);
        }
        let Some((using, at)) = parts.using else {
            self.report.error(node.position, "missing-key", "`runs` needs `using`");
            return None;
        };
        let missing = |reader: &mut Self, what: &str| {
            reader.report.error(
                node.position,
                "missing-key",
                format!("`runs` with `using: {using}` needs `{what}`"),
            );
        };
        let kind = using.to_ascii_lowercase();
        if kind == "composite" {
            let Some((steps, _)) = parts.steps else {
                missing(self, "steps");
                return None;
            };
            return Some(Runs::Composite { steps });
        }
        if kind == "docker" {
            let Some(image) = parts.image else {
                missing(self, "image");
                return None;
            };
            let Parts { entrypoint, args, env, docker: around, .. } = parts;
            return Some(Runs::Docker { image, entrypoint, args, env, around });
        }
        if let Some(version) = kind.strip_prefix("node").and_then(|number| number.parse().ok()) {
            let Some(main) = parts.main else {
                missing(self, "main");
                return None;
            };
            return Some(Runs::Node { version, main, around: parts.node });
        }
        self.report.error_hint(
            at,
            "wrong-value",
            format!("`using: {using}` is unknown"),
            "known: composite, docker, node20, node24",
        );
        None
    }

    fn runs_key(&mut self, parts: &mut Parts, key: &Key, value: &Node) {
        let text = |reader: &mut Self, what: &str| reader.non_empty(value, what).map(|text| text.to_string());
        match &*key.text.to_ascii_lowercase() {
            "using" => parts.using = text(self, "using").map(|using| (using, value.position)),
            "main" => parts.main = text(self, "main"),
            "pre" => parts.node.pre = text(self, "pre"),
            "post" => parts.node.post = text(self, "post"),
            "pre-if" => {
                parts.node.pre_if = self.action_condition(value);
                parts.docker.pre_if = parts.node.pre_if.clone();
            }
            "post-if" => {
                parts.node.post_if = self.action_condition(value);
                parts.docker.post_if = parts.node.post_if.clone();
            }
            "image" => parts.image = text(self, "image"),
            "entrypoint" => parts.entrypoint = text(self, "entrypoint"),
            "pre-entrypoint" => parts.docker.pre = text(self, "pre-entrypoint"),
            "post-entrypoint" => parts.docker.post = text(self, "post-entrypoint"),
            "args" => {
                let items = self.sequence(value, "args").unwrap_or_default();
                parts.args =
                    items.iter().filter_map(|item| self.text(item, "args", &ACTION_CONTAINER)).collect();
            }
            "env" => parts.env = self.entries(value, "env", &ACTION_CONTAINER),
            "steps" => {
                // One without steps does nothing, and GitHub's runner takes it.
                let empty = matches!(&value.kind, NodeKind::Sequence(items) if items.is_empty());
                let steps = if empty { Vec::new() } else { self.steps(value, StepsOf::Composite) };
                parts.steps = Some((steps, value.position));
            }
            _ => {}
        }
    }

    fn action_condition(&mut self, value: &Node) -> Option<Text> {
        let text = self.scalar(value, "if")?;
        let here: &Availability<'_> = &COMPOSITE_CONDITION;
        match Condition::parse(&text, here) {
            Ok(_) => Some(place(&text, value.position)),
            Err(error) => {
                self.expression_error(value.position, &text, &error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn parse(source: &str) -> Manifest {
        parse_action("action.yml", source).unwrap_or_else(|found| panic!("{source}\n{found:?}"))
    }

    #[test]
    fn a_javascript_action() {
        let action = parse(
            "name: A\nauthor: x\nbranding: {icon: a}\ninputs:\n  a-b:\n    description: d\n    required: true\n    default: ${{ github.token }}\n  c:\noutputs:\n  o: {description: d}\nruns:\n  using: node20\n  main: dist/index.js\n  pre: dist/pre.js\n  pre-if: runner.os == 'Linux'\n  post: dist/post.js\n  post-if: success()\n",
        );
        assert_eq!(action.inputs[0].default.as_ref().unwrap().text, "${{ github.token }}");
        assert!(action.inputs[0].required && action.inputs[1].default.is_none() && action.outputs.is_empty());
        let Runs::Node { version: 20, main, around } = &action.runs else { panic!("{action:?}") };
        assert_eq!((main.as_str(), around.pre.as_deref()), ("dist/index.js", Some("dist/pre.js")));
        assert_eq!(around.post_if.as_ref().unwrap().text, "success()");
    }

    #[test]
    fn a_composite_action() {
        let action = parse(
            "name: A\ninputs: {who: {default: you}}\noutputs:\n  o: {value: '${{ steps.s.outputs.x }}'}\nruns:\n  using: composite\n  steps:\n    - run: echo ${{ inputs.who }}\n      shell: ${{ inputs.who }}\n      id: s\n    - uses: ./x\n      if: failure()\n",
        );
        let Runs::Composite { steps } = &action.runs else { panic!("{action:?}") };
        assert_eq!((steps.len(), steps[0].id.as_str(), action.outputs.len()), (2, "s", 1));
    }

    #[test]
    fn a_docker_action() {
        let action = parse(
            "runs:\n  using: docker\n  image: Dockerfile\n  entrypoint: /e\n  pre-entrypoint: /p\n  args: ['${{ inputs.a }}', b]\n  env: {A: '${{ inputs.a }}'}\n",
        );
        let Runs::Docker { image, args, around, env, .. } = &action.runs else { panic!("{action:?}") };
        assert_eq!((image.as_str(), args.len(), env.len()), ("Dockerfile", 2, 1));
        assert_eq!(around.pre.as_deref(), Some("/p"));
    }

    #[test]
    fn what_cannot_run_is_told_with_its_place() {
        for (source, line, words) in [
            ("name: a\n", 1, "needs `runs`"),
            ("runs: {main: a}\n", 1, "needs `using`"),
            ("runs:\n  using: node20\n", 2, "needs `main`"),
            ("runs:\n  using: ruby\n", 2, "`using: ruby` is unknown"),
            ("runs:\n  using: composite\n  steps:\n    - run: x\n", 4, "needs `shell`"),
            (
                "runs:\n  using: composite\n  steps:\n    - run: ${{ secrets.A }}\n      shell: sh\n",
                4,
                "`secrets` is not available here",
            ),
            ("inputs: [a]\nruns: {using: composite, steps: []}\n", 1, "must be a mapping"),
        ] {
            let found = parse_action("action.yml", source).unwrap_err();
            assert!(
                found.iter().any(|finding| finding.line == line && finding.message.contains(words)),
                "{source}\n{found:?}"
            );
        }
    }
}
