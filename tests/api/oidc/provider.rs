//! A real identity provider in a process of its own, and people who sign in there.

use std::process::Stdio;

use reqwest::{Client, Response, Url, redirect::Policy};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use verigate::clock::Clock;

use crate::{
    server::NOW,
    support::{PATIENCE, eventually, npm},
};

pub(crate) const CALLBACK: &str = "/oidc/callback";
pub(crate) const CLIENT_SECRET: &str = "a secret of the tests, & with signs";

/// The provider, until it is dropped.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    process: Child,
}

impl Provider {
    /// One that knows us by this origin, and whose clock shows what the server's does.
    pub(crate) async fn start(origin: &str) -> Self {
        npm::install("provider").await;
        let ahead = NOW - Clock::system().unix();
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .args([format!("{origin}{CALLBACK}"), ahead.to_string()])
            .current_dir(npm::folder("provider"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = async {
            loop {
                let line = said.next_line().await.unwrap().unwrap();
                if let Some(issuer) = line.strip_prefix("listening at ") {
                    return issuer.to_owned();
                }
            }
        };
        let issuer = tokio::time::timeout(PATIENCE, listening).await.unwrap();
        // Somebody has to read what it says further on.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Self { issuer, process }
    }

    /// Ends it.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
        let address = self.issuer.strip_prefix("http://").unwrap();
        eventually("nobody listens there", async || {
            let gone = tokio::net::TcpStream::connect(address).await.is_err();
            gone.then_some(())
        })
        .await;
    }

    /// Goes where the server sends a browser, signs in by this name, or turns back; gives the address that the
    /// browser is sent to in the end.
    pub(crate) async fn walk(&self, start: &str, name: Option<&str>) -> Url {
        let browser = Client::builder()
            .redirect(Policy::none())
            .cookie_store(true);
        let browser = browser.timeout(PATIENCE).build().unwrap();
        let mut url: Url = start.parse().unwrap();
        for _ in 0..20 {
            if url.path() == CALLBACK {
                return url;
            }
            assert!(url.as_str().starts_with(&self.issuer), "{url}");
            let answer = browser.get(url.clone()).send().await.unwrap();
            if let Some(next) = redirected(&answer) {
                url = next;
                continue;
            }
            let page = answer.text().await.unwrap();
            let Some(name) = name else {
                url = url.join(&between(&page, "href=\"", "/abort\"")).unwrap();
                url.set_path(&format!("{}/abort", url.path()));
                continue;
            };
            let prompt = between(&page, "name=\"prompt\" value=\"", "\"");
            let action = url.join(&between(&page, "action=\"", "\"")).unwrap();
            let form = [("prompt", &*prompt), ("login", name), ("password", "any")];
            let answer = browser.post(action).form(&form).send().await.unwrap();
            url = redirected(&answer).unwrap();
        }
        panic!("it goes round in circles: {url}");
    }
}

fn redirected(answer: &Response) -> Option<Url> {
    let location = answer.headers().get("location")?.to_str().unwrap();
    Some(answer.url().join(location).unwrap())
}

fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text
        .split(before)
        .find(|rest| rest.contains(after) && !rest.starts_with('<'));
    let found = rest.and_then(|rest| rest.split(after).next());
    found
        .unwrap_or_else(|| panic!("no {before}…{after} in {text}"))
        .to_owned()
}
