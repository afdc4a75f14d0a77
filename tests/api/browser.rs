//! Somebody's browser, as far as the server can tell: it keeps a cookie, and says where a form was sent from.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use uuid::Uuid;
use verigate::{
    domain::Person,
    verification::{HandOff, NewHandOff},
};

use crate::server::TestServer;

pub(crate) const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A browser that talks to one server.
pub(crate) struct Browser<'a> {
    pub(crate) server: &'a TestServer,
    /// As it is sent back: name and value.
    pub(crate) cookie: Option<String>,
    /// What it was marked with when it looked at a link.
    pub(crate) mark: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(server: &'a TestServer) -> Self {
        Self {
            server,
            cookie: None,
            mark: None,
        }
    }

    /// One that was signed in by a link.
    pub(crate) async fn signed_in(server: &'a TestServer, person: &str) -> Self {
        let mut browser = Self::new(server);
        let link = server.hand_off(person).await;
        let followed = browser.press(&path(&link)).await;
        assert_eq!(followed.status(), StatusCode::SEE_OTHER);
        browser
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.server.request(method, path);
        let all: Vec<&str> = [&self.cookie, &self.mark]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        if all.is_empty() {
            return request;
        }
        request.header("cookie", all.join("; "))
    }

    /// Sends a request, and keeps the cookie that is set or taken away.
    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Response {
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let pair = set.split(';').next().unwrap().to_owned();
            if pair.contains("verigate-mark=") {
                self.mark = Some(pair);
            } else {
                self.cookie = (!set.contains("Max-Age=0")).then_some(pair);
            }
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response {
        let request = self.request(Method::GET, path);
        self.send(request.header("accept", HTML)).await
    }

    /// Presses a button on a page of ours, which it has read.
    pub(crate) async fn press(&mut self, path: &str) -> Response {
        if path.starts_with("/start/") && self.mark.is_none() {
            self.get(path).await;
        }
        let request = self.request(Method::POST, path);
        let request = request.header("accept", HTML);
        self.send(request.header("sec-fetch-site", "same-origin"))
            .await
    }

    /// A page's words.
    pub(crate) async fn read(&mut self, path: &str) -> (StatusCode, String) {
        let answer = self.get(path).await;
        (answer.status(), answer.text().await.unwrap())
    }

    /// `/status`, asked by a page's script.
    pub(crate) async fn status(&self) -> (StatusCode, Value) {
        let answer = self.request(Method::GET, "/status").send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

/// Where a hand-off's link leads.
pub(crate) fn path(hand_off: &HandOff) -> String {
    use secrecy::ExposeSecret as _;
    format!("/start/{}", hand_off.token.expose_secret())
}

impl TestServer {
    /// An application's key, by its id.
    pub(crate) async fn api_key(&self) -> Uuid {
        let id = Uuid::new_v4();
        let key = "INSERT INTO api_keys (id, name, token_hash, livemode, scopes) VALUES ($1, 'test', $2, false, '{}')";
        sqlx::query(key)
            .bind(id)
            .bind(id.as_bytes().as_slice())
            .execute(self.pool())
            .await
            .unwrap();
        id
    }

    /// A hand-off of a person with an e-mail address.
    pub(crate) async fn hand_off(&self, person: &str) -> HandOff {
        let new = self.asked_for(person).await;
        self.verifier.hand_off(new, None).await.unwrap()
    }

    /// The same, to be changed before it is asked for.
    pub(crate) async fn asked_for(&self, person: &str) -> NewHandOff {
        NewHandOff {
            api_key: self.api_key().await,
            person: Person {
                realm: "app".to_owned(),
                external_id: person.to_owned(),
                email: Some(format!("{person}@example.com")),
            },
            policy: "default".to_owned(),
            label: None,
            return_url: None,
        }
    }
}
