//! What the double answers about deployments, in the shape of GitHub's description.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::github_answers::missing;
use crate::github_double::Known;

const AT: &str = "2026-01-01T00:00:00Z";

impl Known {
    pub(crate) fn deployment(
        &mut self,
        method: &Method,
        rest: &[&str],
        query: &str,
        body: &Value,
    ) -> (StatusCode, Value, Option<String>) {
        if self.no_deployments {
            self.deployments_refused += 1;
            let message = json!({"message": "Resource not accessible by integration"});
            return (StatusCode::FORBIDDEN, message, None);
        }
        let asked = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            percent_encoding::percent_decode_str(found.unwrap_or_default())
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        match (method.as_str(), rest) {
            ("POST", []) => {
                let id = self.next_id();
                let mut made = json!({
                    "id": id, "node_id": "d", "url": "https://github.test/d", "sha": body["ref"], "creator": null,
                    "created_at": AT, "updated_at": AT, "statuses_url": "https://github.test/s",
                    "repository_url": "https://github.test/r",
                });
                for name in [
                    "ref",
                    "task",
                    "environment",
                    "description",
                    "payload",
                    "production_environment",
                    "transient_environment",
                ] {
                    made[name] = body[name].clone();
                }
                self.deployments.insert(id, made.clone());
                (StatusCode::CREATED, made, None)
            }
            ("GET", []) => {
                let fits = |made: &&Value| {
                    ["sha", "environment", "task"].iter().all(|name| made[*name] == asked(name))
                };
                let found: Vec<Value> = self.deployments.values().filter(fits).cloned().collect();
                (StatusCode::OK, json!(found), None)
            }
            ("POST", [id, "statuses"]) => {
                let Some(id) = id.parse().ok().filter(|id| self.deployments.contains_key(id)) else {
                    return missing();
                };
                let mut status = json!({
                    "id": self.next_id(), "node_id": "s", "url": "https://github.test/s", "creator": null,
                    "deployment_url": "https://github.test/d", "repository_url": "https://github.test/r",
                    "created_at": AT, "updated_at": AT, "target_url": "https://github.test/t",
                });
                status.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
                status.as_object_mut().unwrap().remove("auto_inactive");
                self.deployed.entry(id).or_default().push(status.clone());
                (StatusCode::CREATED, status, None)
            }
            ("GET", [id, "statuses"]) => {
                let id: u64 = id.parse().unwrap();
                let said = self.deployed.get(&id).map(Vec::as_slice).unwrap_or_default();
                let newest: Vec<&Value> = said.iter().rev().take(1).collect();
                (StatusCode::OK, json!(newest), None)
            }
            _ => missing(),
        }
    }

    /// What was said of each deployment, in the order in which they were made.
    pub(crate) fn deploying(&self) -> Vec<Vec<&str>> {
        let words = |id| {
            let said = self.deployed.get(id).map(Vec::as_slice).unwrap_or_default();
            said.iter().map(|status| status["state"].as_str().unwrap()).collect()
        };
        self.deployments.keys().map(words).collect()
    }
}
