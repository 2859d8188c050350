//! What the double answers, in the shape of GitHub's description.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::github_double::{Known, now_s};

fn person() -> Value {
    json!({
        "login": "o", "id": 1, "node_id": "n", "avatar_url": "https://github.test/a", "gravatar_id": null,
        "url": "https://github.test/u", "html_url": "https://github.test/o", "followers_url": "https://github.test/f",
        "following_url": "https://github.test/f", "gists_url": "https://github.test/g",
        "starred_url": "https://github.test/s", "subscriptions_url": "https://github.test/s",
        "organizations_url": "https://github.test/o", "repos_url": "https://github.test/r",
        "events_url": "https://github.test/e", "received_events_url": "https://github.test/r", "type": "User",
        "site_admin": false,
    })
}

/// An App, and what it may do.
fn app(permissions: &Value, events: &Value) -> Value {
    json!({
        "id": 7, "node_id": "a", "slug": "slipway", "owner": person(), "name": "Slipway", "description": null,
        "external_url": "https://ci.example.com", "html_url": "https://github.test/apps/slipway",
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "permissions": permissions, "events": events,
    })
}

/// Whoever may do something.
fn installation() -> Value {
    json!({
        "id": 11, "account": person(), "repository_selection": "all", "access_tokens_url": "https://github.test/t",
        "repositories_url": "https://github.test/r", "html_url": "https://github.test/i", "app_id": 7,
        "target_id": 1, "target_type": "User", "permissions": {"checks": "write", "metadata": "read"},
        "events": ["push"], "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "single_file_name": null, "app_slug": "slipway", "suspended_by": null, "suspended_at": null,
    })
}

impl Known {
    /// Does what is asked; with the `Link` header of a page that is not the last.
    pub(crate) fn answer(
        &mut self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value, Option<String>) {
        let (address, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = address.trim_start_matches('/').split('/').collect();
        let good = |answer: Value| (StatusCode::OK, answer, None);
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["repos", "o", "n", "installation"]) => good(installation()),
            ("GET", ["app"]) => good(app(&self.app["permissions"], &self.app["events"])),
            ("GET", ["app", "hook", "config"]) => good(self.app["hook"].clone()),
            ("POST", ["app-manifests", "a-good-code", "conversions"]) => {
                let mut made = app(&json!({"checks": "write"}), &json!(["push"]));
                let secrets = json!({
                    "client_id": "Iv1.a", "client_secret": "c", "webhook_secret": "w", "pem": crate::github_double::KEY,
                });
                made.as_object_mut().unwrap().extend(secrets.as_object().unwrap().clone());
                (StatusCode::CREATED, made, None)
            }
            ("POST", ["app", "installations", "11", "access_tokens"]) => {
                self.tokens += 1;
                let expires = "2099-01-01T00:00:00Z";
                let token = json!({"token": format!("ghs_{}", self.tokens), "expires_at": expires});
                (StatusCode::CREATED, token, None)
            }
            ("POST", ["repos", "o", "n", "check-runs"]) => {
                let id = self.next_id();
                self.checks.insert(id, json!({"id": id}));
                self.write(id, body);
                (StatusCode::CREATED, self.shown(id), None)
            }
            ("PATCH", ["repos", "o", "n", "check-runs", id]) => match self.id(id) {
                Some(id) => {
                    self.write(id, body);
                    good(self.shown(id))
                }
                None => missing(),
            },
            ("GET", ["repos", "o", "n", "check-runs", id]) => match self.id(id) {
                Some(id) => good(self.shown(id)),
                None => missing(),
            },
            ("GET", ["repos", "o", "n", "commits", sha, "check-runs"]) => {
                let name = query.split('&').find_map(|pair| pair.strip_prefix("check_name="));
                let name =
                    percent_encoding::percent_decode_str(name.unwrap_or_default()).decode_utf8().unwrap();
                let fits = |id: &&u64| {
                    self.checks[*id]["head_sha"] == *sha && self.checks[*id]["name"] == name.as_ref()
                };
                let runs: Vec<Value> = self.checks.keys().filter(fits).map(|id| self.shown(*id)).collect();
                good(json!({"total_count": runs.len(), "check_runs": runs}))
            }
            ("POST", ["repos", "o", "n", "statuses", sha]) => {
                let id = self.next_id();
                let mut status = json!({
                    "id": id, "node_id": "s", "url": "https://github.test/s", "avatar_url": "https://github.test/a",
                    "target_url": null, "description": null, "creator": null,
                    "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                });
                status.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
                self.statuses.push(json!({"sha": sha, "status": status.clone()}));
                (StatusCode::CREATED, status, None)
            }
            ("GET", ["app", "hook", "deliveries"]) => {
                let from = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
                let from: usize = from.map_or(0, |cursor| cursor.parse().unwrap());
                // Small pages, so that the cursor is used.
                let page: Vec<Value> = self.deliveries.iter().skip(from).take(2).cloned().collect();
                let link = (from + 2 < self.deliveries.len()).then(|| {
                    format!(
                        "<https://github.test/app/hook/deliveries?per_page=100&cursor={}>; rel=\"next\"",
                        from + 2
                    )
                });
                (StatusCode::OK, json!(page), link)
            }
            ("POST", ["app", "hook", "deliveries", id, "attempts"]) => {
                self.redelivered.push(id.parse().unwrap());
                (StatusCode::ACCEPTED, json!({}), None)
            }
            ("GET", ["repos", "o", "n", "compare", between]) => good(self.compare(between, query)),
            (_, ["repos", "o", "n", "deployments", rest @ ..]) => self.deployment(method, rest, query, body),
            _ => missing(),
        }
    }

    /// A page of a comparison.
    fn compare(&mut self, between: &str, query: &str) -> Value {
        let asked = |name: &str| -> usize {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
                .unwrap()
        };
        let (per_page, page) = (asked("per_page"), asked("page"));
        self.compared.push(between.to_owned());
        let commits: Vec<Value> = self.commits.iter().map(commit).collect();
        let shown: Vec<Value> = commits.iter().skip((page - 1) * per_page).take(per_page).cloned().collect();
        let base = commit(&("b".repeat(40), "Base".to_owned(), 1, None));
        json!({
            "url": "https://github.test/c", "html_url": "https://github.test/c",
            "permalink_url": "https://github.test/c", "diff_url": "https://github.test/c",
            "patch_url": "https://github.test/c", "base_commit": base, "merge_base_commit": base,
            "status": "ahead", "ahead_by": commits.len(), "behind_by": 0, "total_commits": commits.len(),
            "commits": shown, "files": [],
        })
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn id(&self, text: &str) -> Option<u64> {
        text.parse().ok().filter(|id| self.checks.contains_key(id))
    }

    fn write(&mut self, id: u64, body: &Value) {
        let check = self.checks.get_mut(&id).unwrap().as_object_mut().unwrap();
        if check.get("status").is_some_and(|status| status == "completed") {
            *self.changed_after_end.entry(id).or_default() += 1;
        }
        for (name, value) in body.as_object().unwrap() {
            if name != "output" {
                check.insert(name.clone(), value.clone());
            }
        }
        if let Some(output) = body.get("output") {
            let annotations =
                output.get("annotations").and_then(Value::as_array).cloned().unwrap_or_default();
            self.annotations.entry(id).or_default().extend(annotations);
            check
                .insert("output".to_owned(), json!({"title": output["title"], "summary": output["summary"]}));
        }
        if check.get("status").is_some_and(|status| status != "completed") {
            check.remove("conclusion");
        }
    }

    fn shown(&self, id: u64) -> Value {
        let check = &self.checks[&id];
        let or_null = |name: &str| check.get(name).cloned().unwrap_or(Value::Null);
        json!({
            "id": id, "node_id": "c", "head_sha": check["head_sha"], "external_id": or_null("external_id"),
            "url": "https://github.test/c", "html_url": "https://github.test/c",
            "details_url": or_null("details_url"), "status": or_null("status"),
            "conclusion": or_null("conclusion"), "started_at": or_null("started_at"),
            "completed_at": or_null("completed_at"), "name": check["name"], "check_suite": {"id": 3}, "app": null,
            "pull_requests": [],
            "output": {
                "title": check["output"]["title"], "summary": check["output"]["summary"], "text": null,
                "annotations_count": self.annotations.get(&id).map_or(0, Vec::len),
                "annotations_url": "https://github.test/c/annotations",
            },
        })
    }
}

/// A commit, as a comparison has it.
fn commit(known: &(String, String, usize, Option<&str>)) -> Value {
    let (sha, message, parents, wrong) = known;
    let by = json!({"name": "Ada", "email": "ada@example.invalid", "date": "2026-01-01T00:00:00Z"});
    let parent =
        json!({"sha": "c".repeat(40), "url": "https://github.test/c", "html_url": "https://github.test/c"});
    json!({
        "url": "https://github.test/c", "sha": sha, "node_id": "c", "html_url": "https://github.test/c",
        "comments_url": "https://github.test/c", "author": person(), "committer": null,
        "parents": vec![parent; *parents],
        "commit": {
            "url": "https://github.test/c", "author": by, "committer": by, "message": message, "comment_count": 0,
            "tree": {"sha": "d".repeat(40), "url": "https://github.test/t"},
            "verification": {
                "verified": wrong.is_none(), "reason": wrong.unwrap_or("valid"), "payload": null, "signature": null,
                "verified_at": null,
            },
        },
    })
}

pub(crate) fn missing() -> (StatusCode, Value, Option<String>) {
    (StatusCode::NOT_FOUND, json!({"message": "Not Found"}), None)
}

/// A try of a delivery, as the App's list has it.
pub(crate) fn delivery(id: u64, guid: &str, status_code: u32, ago_s: i64) -> Value {
    let at = jiff_text(now_s().saturating_add_signed(-ago_s));
    json!({
        "id": id, "guid": guid, "delivered_at": at, "redelivery": false, "duration": 0.1,
        "status": if status_code < 300 { "OK" } else { "failed" }, "status_code": status_code, "event": "push",
        "action": null, "installation_id": 11, "repository_id": 5, "throttled_at": null,
    })
}

fn jiff_text(seconds: u64) -> String {
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string()
}
