//! What a person does on our pages, and what they see.

use serde_json::{Value, json};
use thirtyfour::{By, Key, WebElement, WindowHandle, error::WebDriverResult};

use crate::{support::eventually, walk::Walk};

pub(crate) const BUTTON: &str = "#verify-button";

impl Walk {
    pub(crate) async fn open(&self, path: &str) {
        self.browser.driver.goto(self.stage.at(path)).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        self.browser.driver.refresh().await.unwrap();
    }

    pub(crate) async fn click(&self, css: &str) {
        self.shown(css).await.click().await.unwrap();
    }

    pub(crate) async fn start(&self) {
        self.click(BUTTON).await;
    }

    /// Waits until there is a visible element.
    pub(crate) async fn shown(&self, css: &str) -> WebElement {
        eventually(css, async || {
            let element = self.browser.driver.find(By::Css(css)).await.ok()?;
            let is_shown = element.is_displayed().await.ok()?;
            is_shown.then_some(element)
        })
        .await
    }

    /// Waits until the page's heading says so.
    pub(crate) async fn reads(&self, heading: &str) {
        eventually(heading, async || {
            (self.text("main h1").await.ok()? == heading).then_some(())
        })
        .await;
    }

    /// Waits until the visible text of an element has these words in it.
    pub(crate) async fn says(&self, css: &str, words: &str) {
        eventually(words, async || {
            let text = self.text(css).await.ok()?;
            text.contains(words).then_some(())
        })
        .await;
    }

    async fn text(&self, css: &str) -> WebDriverResult<String> {
        self.browser.driver.find(By::Css(css)).await?.text().await
    }

    /// Waits until the browser is at this path of the server.
    pub(crate) async fn arrives(&self, path: &str) {
        let wanted = self.stage.at(path);
        eventually(path, async || {
            let address = self.browser.driver.current_url().await.ok()?;
            (address.as_str() == wanted).then_some(())
        })
        .await;
    }

    /// Leaves a mark that is gone after a reload.
    pub(crate) async fn mark(&self) {
        self.run("window.marked = true").await;
    }

    pub(crate) async fn assert_not_reloaded(&self) {
        assert_eq!(self.run("return window.marked === true").await, true);
    }

    /// Runs a script in the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let answer = self.browser.driver.execute(script, vec![]).await.unwrap();
        answer.json().clone()
    }

    /// Presses keys where the focus is.
    pub(crate) async fn press(&self, keys: &[Key]) {
        for key in keys {
            let chain = self.browser.driver.action_chain();
            chain.send_keys(key.clone()).perform().await.unwrap();
        }
    }

    /// Cuts the browser off, or connects it again.
    pub(crate) async fn offline(&self, offline: bool) {
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.browser.cdp("Network.enable", json!({})).await;
        self.browser
            .cdp("Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// Opens a page in a new tab, and stays there.
    pub(crate) async fn open_tab(&self, path: &str) -> WindowHandle {
        let tab = self.browser.driver.new_tab().await.unwrap();
        self.browser
            .driver
            .switch_to_window(tab.clone())
            .await
            .unwrap();
        self.browser.listen().await;
        self.open(path).await;
        tab
    }

    /// What has the focus: its id, else its value, else its words.
    pub(crate) async fn focused(&self) -> String {
        let script = "const { id, value, innerText } = document.activeElement; return id || value || innerText";
        self.run(script)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Presses Tab until this has the focus.
    pub(crate) async fn tab_to(&self, wanted: &str) {
        for _ in 0..12 {
            self.press(&[Key::Tab]).await;
            if self.focused().await == wanted {
                return;
            }
        }
        panic!(
            "Tab does not lead to {wanted}, but to {}",
            self.focused().await
        );
    }
}
