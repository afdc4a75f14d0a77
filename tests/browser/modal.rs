//! What a person does in the window that Stripe's script opens over the page, and on its hosted page.

use thirtyfour::By;

use crate::{support::eventually, walk::Walk};

impl Walk {
    /// Waits until the window is open and shows its test cases; what follows is done inside it.
    pub(crate) async fn enter_modal(&self) {
        let frame = self.shown("dialog iframe").await;
        frame.enter_frame().await.unwrap();
        self.shown("button[value=success]").await;
    }

    pub(crate) async fn leave_modal(&self) {
        self.browser.driver.enter_default_frame().await.unwrap();
    }

    /// Chooses a test case where the cases are shown.
    pub(crate) async fn choose(&self, case: &str) {
        self.click(&format!("button[value={case}]")).await;
    }

    /// Chooses a failure code where the cases are shown.
    pub(crate) async fn choose_code(&self, code: &str) {
        self.shown(&format!("option[value={code}]"))
            .await
            .click()
            .await
            .unwrap();
    }

    /// Opens the window and chooses a test case in it.
    pub(crate) async fn verify(&self, case: &str) {
        self.start().await;
        self.enter_modal().await;
        self.choose(case).await;
        self.leave_modal().await;
    }

    /// Waits until the window is gone.
    pub(crate) async fn modal_closes(&self) {
        eventually("the window closes", async || {
            let left = self.browser.driver.find_all(By::Css("dialog")).await.ok()?;
            left.is_empty().then_some(())
        })
        .await;
    }
}
