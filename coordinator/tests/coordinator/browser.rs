//! A browser without scripts, for the tests of pages.

use reqwest::redirect::Policy;
use reqwest::{Method, Response};
use slipway_coordinator::Handle;

use crate::fixture::Fixture;

/// Sends what a person clicks on, with the cookie of a session, and follows nothing by itself.
pub(crate) struct Browser {
    pub(crate) http: reqwest::Client,
    address: String,
    pub(crate) cookie: String,
}

impl Browser {
    pub(crate) fn new(handle: &Handle) -> Self {
        let http = slipway_tests::http_client_builder().redirect(Policy::none()).build().unwrap();
        Self { http, address: format!("http://{}", handle.http_addr), cookie: String::new() }
    }

    pub(crate) async fn signed_in(handle: &Handle) -> Self {
        Self::signed_in_with(handle, handle.admin_token.reveal()).await
    }

    pub(crate) async fn signed_in_with(handle: &Handle, token: &str) -> Self {
        let mut browser = Self::new(handle);
        let form = format!("token={token}&next=%2F");
        let answer = browser.post("/sign-in", &form).await;
        assert_eq!(answer.status(), 303);
        browser.keep_cookie(&answer);
        browser
    }

    /// The same browser at another coordinator.
    pub(crate) fn at(&self, handle: &Handle) -> Self {
        let address = format!("http://{}", handle.http_addr);
        Self { http: self.http.clone(), address, cookie: self.cookie.clone() }
    }

    pub(crate) fn keep_cookie(&mut self, answer: &Response) {
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        self.cookie = cookie.split_once(';').unwrap().0.to_owned();
    }

    async fn send(&self, method: Method, path: &str, form: Option<&str>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        request = request.header("accept", "text/html").header("cookie", &self.cookie);
        if let Some(form) = form {
            let form_type = "application/x-www-form-urlencoded";
            request = request.header("content-type", form_type).body(form.to_owned());
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Response {
        self.send(Method::POST, path, Some(form)).await
    }

    /// A page that is there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// The token that a page's forms carry.
    pub(crate) async fn form_token(&self, path: &str) -> String {
        let page = self.page(path).await;
        let token = page.split("name=\"form_token\" value=\"").nth(1).unwrap();
        token.split('"').next().unwrap().to_owned()
    }
}

/// The path of the page of a run's first job.
pub(crate) async fn job_path(fixture: &Fixture, run: &str) -> String {
    let shown = fixture.get(&format!("/api/v1/runs/{run}")).await;
    format!("/runs/{run}/jobs/{}", shown["instances"][0]["instance_id"].as_str().unwrap())
}
