//! `jobs.<id>.container` and `jobs.<id>.services`.

use crate::expression::availability::{CREDENTIALS, JOB, JOB_RUNNER};
use crate::job_spec::Text;
use crate::yaml::{Key, Node, NodeKind};

use super::identifier::problem;
use super::model::{Container, FullContainer, Service, Templated};
use super::reader::{Keys, Reader};

const CONTAINER: Keys =
    Keys { of: "`container`", known: &["image", "options", "ports", "volumes", "env", "credentials"] };
const SERVICE: Keys = Keys {
    of: "a service",
    known: &["image", "options", "ports", "volumes", "env", "credentials", "command", "entrypoint"],
};
const CREDENTIAL: Keys = Keys { of: "`credentials`", known: &["username", "password"] };

impl Reader<'_, '_> {
    /// Text or a mapping. An empty text means no container, as on GitHub.
    pub(super) fn container(&mut self, node: &Node) -> Option<Container> {
        if !matches!(node.kind, NodeKind::Mapping(_)) {
            return Some(Container::Short(self.image(node, "container")?));
        }
        self.full_container(node, &CONTAINER).map(Container::Full)
    }

    /// An expression that gives all services; none: they are written as a mapping.
    pub(super) fn whole_services(&mut self, node: &Node) -> Option<Option<Templated>> {
        match &node.kind {
            NodeKind::String(text) if text.contains("${{") => Some(self.templated(node, "services", &JOB)),
            _ => None,
        }
    }

    /// A mapping of names to services.
    pub(super) fn services(&mut self, node: &Node) -> Vec<Service> {
        let Some(entries) = self.mapping(node, "services") else {
            return Vec::new();
        };
        let mut services = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if let Some(problem) = problem(&key.text) {
                self.report.error(key.position, "invalid-id", problem);
            }
            services.extend(self.service(key, value));
        }
        services
    }

    /// An image, or a mapping. A literal image must not be empty; one that comes out empty means no such service.
    fn service(&mut self, key: &Key, node: &Node) -> Option<Service> {
        let name = key.text.to_string();
        let NodeKind::Mapping(entries) = &node.kind else {
            self.non_empty(node, &key.text)?;
            let container = Container::Short(self.image(node, &key.text)?);
            return Some(Service { name, container, command: None, entrypoint: None });
        };
        let mut text = |wanted: &str| {
            let (_, value) = entries.iter().find(|(key, _)| &*key.text == wanted)?;
            self.templated(value, wanted, &JOB)
        };
        let (command, entrypoint) = (text("command"), text("entrypoint"));
        let container = Container::Full(self.full_container(node, &SERVICE)?);
        Some(Service { name, container, command, entrypoint })
    }

    fn image(&mut self, node: &Node, what: &str) -> Option<Templated> {
        let image = self.templated(node, what, &JOB)?;
        self.check_image(&image);
        Some(image)
    }

    fn full_container(&mut self, node: &Node, keys: &Keys) -> Option<FullContainer> {
        let entries = self.mapping(node, keys.of)?;
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
                // A service's; read by whoever reads the service.
                "command" | "entrypoint" if keys.known.contains(&&*key.text) => {}
                _ => self.unknown_key(key, keys),
            }
        }
        if !image_written {
            self.report.error(node.position, "missing-key", format!("{} needs an `image`", keys.of));
        }
        full.image = image?;
        self.check_image(&full.image);
        Some(full)
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
