//! What each call asks for.

use super::UserRole;
use super::UserRole::{Admin, Approver, Developer, Viewer};

/// The routes of `/api/v1` that need a token, sorted; what is not here is for administrators.
pub(crate) const HTTP: [(&str, UserRole); 53] = [
    ("delete /agents/tokens/{token}", Admin),
    ("delete /agents/{agent}", Admin),
    ("delete /pools/{pool}", Admin),
    ("delete /runs/{run}/artifacts/{artifact}", Developer),
    ("delete /secrets/{secret}", Admin),
    ("delete /tokens/{token}", Admin),
    ("delete /variables/{variable}", Admin),
    ("get /agents", Viewer),
    ("get /agents/tokens", Admin),
    ("get /audit", Admin),
    ("get /audit/verify", Admin),
    ("get /backup", Admin),
    ("get /cache", Viewer),
    ("get /identity", Admin),
    ("get /pools", Viewer),
    ("get /reports", Viewer),
    ("get /runs", Viewer),
    ("get /runs/{run}", Viewer),
    ("get /runs/{run}/artifacts", Viewer),
    ("get /runs/{run}/artifacts/{artifact}", Viewer),
    // What a rerun on somebody's own machine carries over: outputs of jobs.
    ("get /runs/{run}/carried", Developer),
    ("get /runs/{run}/events", Viewer),
    ("get /runs/{run}/logs", Viewer),
    ("get /runs/{run}/records", Viewer),
    ("get /runs/{run}/reports", Viewer),
    ("get /runs/{run}/tests", Viewer),
    ("get /secrets", Admin),
    ("get /tests", Viewer),
    ("get /tests/one", Viewer),
    ("get /tokens", Admin),
    ("get /usage", Viewer),
    // Whoever may start runs may read them anyway.
    ("get /variables", Developer),
    ("get /whoami", Viewer),
    ("post /agents/tokens", Admin),
    ("post /agents/{agent}/drain", Admin),
    ("post /agents/{agent}/resume", Admin),
    ("post /blobs", Developer),
    ("post /cache/check", Admin),
    ("post /cache/prune", Admin),
    ("post /cache/tokens", Admin),
    ("post /dispatches", Developer),
    ("post /history/rebuild", Admin),
    ("post /identity/rotate", Admin),
    ("post /runs", Developer),
    ("post /runs/{run}/approvals", Approver),
    ("post /runs/{run}/cancel", Developer),
    ("post /runs/{run}/rerun", Developer),
    ("post /tokens", Admin),
    ("post /vault/rotate", Admin),
    ("put /pools/{pool}", Admin),
    ("put /runs/{run}/artifacts/{artifact}", Developer),
    ("put /secrets/{secret}", Admin),
    ("put /variables/{variable}", Admin),
];

/// The calls of `slipway.v1.Runs`.
pub(crate) const GRPC: [(&str, UserRole); 5] =
    [("Cancel", Developer), ("Get", Viewer), ("List", Viewer), ("Submit", Developer), ("Watch", Viewer)];

/// The pages that ask for more than looking.
pub(crate) const PAGES: [(&str, UserRole); 20] = [
    ("get /audit", Admin),
    ("get /settings", Admin),
    ("get /settings/secrets", Admin),
    ("get /settings/tokens", Admin),
    ("get /settings/variables", Admin),
    ("get /start", Developer),
    ("post /fleet/{agent}/drain", Admin),
    ("post /fleet/{agent}/resume", Admin),
    ("post /runs/{run}/approvals", Approver),
    ("post /runs/{run}/cancel", Developer),
    ("post /runs/{run}/rerun", Developer),
    ("post /settings/secrets", Admin),
    ("post /settings/secrets/remove", Admin),
    ("post /settings/tokens", Admin),
    ("post /settings/tokens/enrolment", Admin),
    ("post /settings/tokens/enrolment/{token}/revoke", Admin),
    ("post /settings/tokens/{token}/revoke", Admin),
    ("post /settings/variables", Admin),
    ("post /settings/variables/remove", Admin),
    ("post /start", Developer),
];

fn find(rules: &[(&str, UserRole)], call: &str) -> Option<UserRole> {
    rules.iter().find(|(known, _)| *known == call).map(|(_, role)| *role)
}

/// What a request needs; `path`: the route's, below `/api/v1`.
pub(crate) fn of_http(method: &str, path: &str) -> UserRole {
    // axum answers HEAD where GET is.
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    find(&HTTP, &format!("{method} {path}")).unwrap_or(Admin)
}

/// What a call of `slipway.v1.Runs` needs.
pub(crate) fn of_grpc(method: &str) -> UserRole {
    find(&GRPC, method).unwrap_or(Admin)
}

/// What a page needs of whoever signed in.
pub(crate) fn of_page(method: &str, path: &str) -> UserRole {
    match method {
        "GET" | "HEAD" => find(&PAGES, &format!("get {path}")).unwrap_or(Viewer),
        // Everybody may go.
        "POST" if path == "/sign-out" => Viewer,
        _ => find(&PAGES, &format!("{} {path}", method.to_ascii_lowercase())).unwrap_or(Admin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_rule_and_no_rule_is_of_nothing() {
        let ruled: Vec<&str> = HTTP.iter().map(|(route, _)| *route).collect();
        let open = ["get /openapi.json"];
        let routes: Vec<&str> =
            crate::http::ROUTES.into_iter().filter(|route| !open.contains(route)).collect();
        assert_eq!(ruled, routes);
    }

    #[test]
    fn every_call_of_the_service_has_a_rule() {
        use prost::Message as _;
        let files = prost_types::FileDescriptorSet::decode(slipway_proto::DESCRIPTORS).expect("our own");
        let services = files.file.iter().flat_map(|file| &file.service);
        let runs = services.filter(|service| service.name() == "Runs").flat_map(|service| &service.method);
        let mut calls: Vec<&str> = runs.map(|method| method.name()).collect();
        calls.sort_unstable();
        assert_eq!(calls, GRPC.map(|(call, _)| call));
    }

    #[test]
    fn what_has_no_rule_is_for_administrators() {
        assert_eq!(of_http("GET", "/runs"), Viewer);
        assert_eq!(of_http("HEAD", "/runs"), Viewer);
        assert_eq!(of_http("POST", "/runs"), Developer);
        assert_eq!(of_http("PATCH", "/runs"), Admin);
        assert_eq!(of_http("GET", "/anything"), Admin);
        assert_eq!(of_grpc("Submit"), Developer);
        assert_eq!(of_grpc("Anything"), Admin);
        assert_eq!(of_page("GET", "/runs/{run}"), Viewer);
        assert_eq!(of_page("GET", "/caches"), Viewer);
        assert_eq!(of_page("GET", "/audit"), Admin);
        assert_eq!(of_page("POST", "/anything"), Admin);
    }
}
