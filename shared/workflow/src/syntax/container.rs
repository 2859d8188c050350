//! `jobs.<id>.container`.

use crate::expression::availability::{CREDENTIALS, JOB, JOB_RUNNER};
use crate::job_spec::Text;
use crate::yaml::{Node, NodeKind};

use super::model::{Container, FullContainer, Templated};
use super::reader::{Keys, Reader};

const CONTAINER: Keys = Keys {
    of: "`container`",
    known: &["image", "options", "ports", "volumes", "env", "credentials"],
    unsupported: &[],
};
const CREDENTIAL: Keys = Keys { of: "`credentials`", known: &["username", "password"], unsupported: &[] };

impl Reader<'_, '_> {
    /// Text or a mapping. An empty text means no container, as on GitHub.
    pub(super) fn container(&mut self, node: &Node) -> Option<Container> {
        if !matches!(node.kind, NodeKind::Mapping(_)) {
            let image = self.templated(node, "container", &JOB)?;
            self.check_image(&image);
            return Some(Container::Short(image));
        }
        let entries = self.mapping(node, "container")?;
        let mut image = None;
        let mut full = FullContainer {
            image: Templated { text: super::reader::place("", node.position), template: Default::default() },
            options: None,
            ports: Vec::new(),
            volumes: Vec::new(),
            env: Vec::new(),
            credentials: None,
        };
        let mut image_written = false;
        for (key, value) in entries {
            match &*key.text {
                "image" => {
                    image_written = true;
                    if self.non_empty(value, "image").is_some() {
                        image = self.templated(value, "image", &JOB);
                    }
                }
                "options" => full.options = self.templated(value, "options", &JOB),
                "ports" => full.ports = self.templated_list(value, "ports"),
                "volumes" => full.volumes = self.templated_list(value, "volumes"),
                "env" => full.env = self.entries(value, "env", &JOB_RUNNER),
                "credentials" => full.credentials = self.credentials(value),
                _ => self.unknown_key(key, &CONTAINER),
            }
        }
        if !image_written {
            self.report.error(node.position, "missing-key", "`container` needs an `image`");
        }
        full.image = image?;
        self.check_image(&full.image);
        Some(Container::Full(full))
    }

    fn check_image(&mut self, image: &Templated) {
        if image.text.text == "docker://" {
            self.report.error(image.position(), "wrong-value", "`docker://` names no image");
        }
    }

    fn templated_list(&mut self, node: &Node, what: &str) -> Vec<Templated> {
        let Some(items) = self.sequence(node, what) else {
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| {
                self.non_empty(item, what)?;
                self.templated(item, what, &JOB)
            })
            .collect()
    }

    fn credentials(&mut self, node: &Node) -> Option<(Text, Text)> {
        let mut username = None;
        let mut password = None;
        for (key, value) in self.mapping(node, "credentials")? {
            match &*key.text {
                "username" => username = self.text(value, "username", &CREDENTIALS),
                "password" => password = self.text(value, "password", &CREDENTIALS),
                _ => self.unknown_key(key, &CREDENTIAL),
            }
        }
        if username.is_none() || password.is_none() {
            self.report.error(
                node.position,
                "missing-key",
                "`credentials` needs a `username` and a `password`",
            );
        }
        Some((username?, password?))
    }
}
