//! From the application by a one-time link to a verdict, and back to the application.

use serde_json::Value;
use thirtyfour::By;

use crate::{
    app::Application,
    browser::Habits,
    support::eventually,
    walk::{Plan, Walk, walk},
};

const SETTINGS: &[(&str, &str)] = &[("HAND_OFF", "on")];
const VERIFIED: &str = "Your identity is verified";

fn plan() -> Plan {
    Plan {
        settings: SETTINGS,
        ..Plan::default()
    }
}

fn plan_without_script() -> Plan {
    Plan {
        habits: Habits {
            no_script: true,
            ..Habits::default()
        },
        ..plan()
    }
}

impl Walk {
    async fn goes_to(&self, address: &str) {
        self.browser.driver.goto(address).await.unwrap();
    }

    async fn address(&self) -> String {
        self.browser.driver.current_url().await.unwrap().into()
    }

    /// Waits until the browser is back at the application, and reads what it says of the person.
    async fn is_back_at(&self, app: &Application) -> String {
        let home = format!("{}/", app.origin);
        eventually("the browser is back", async || {
            (self.address().await == home).then_some(())
        })
        .await;
        let status = self.shown("#status").await;
        status.text().await.unwrap()
    }

    /// Signs in at the application, and presses its button.
    async fn asks_to_verify(&self, app: &Application, name: &str) {
        self.goes_to(&app.origin).await;
        let field = self.shown("input[name=name]").await;
        field.send_keys(name).await.unwrap();
        self.click("button").await;
        assert_eq!(self.is_back_at(app).await, "not begun");
        self.click("button").await;
        self.reads("Is this you?").await;
        self.says("main", &format!("{name} at Example")).await;
    }

    /// The number of links that were followed.
    async fn followed(&self) -> i64 {
        let spent = "SELECT count(*) FROM hand_offs WHERE spent_at IS NOT NULL";
        sqlx::query_scalar(spent)
            .fetch_one(self.stage.db.pool())
            .await
            .unwrap()
    }

    async fn goes_back(&self, app: &Application) -> String {
        let css = "main a.button";
        self.says(css, "Back to Acme").await;
        self.click(css).await;
        self.is_back_at(app).await
    }
}

#[tokio::test]
async fn from_the_application_through_the_window_and_back() {
    walk(plan(), async |walk| {
        let app = Application::start(&walk.stage).await;
        walk.asks_to_verify(&app, "ada").await;
        walk.inspect("link").await;
        walk.click("main button").await;
        walk.arrives("/verify").await;
        walk.reads("Verify your identity").await;
        walk.inspect("signed-in").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads(VERIFIED).await;
        walk.stage.stands("verified", None).await;
        assert_eq!(walk.goes_back(&app).await, "verified");
    })
    .await;
}

#[tokio::test]
async fn from_the_application_by_redirect_and_back_without_script() {
    walk(plan_without_script(), async |walk| {
        let app = Application::start(&walk.stage).await;
        walk.asks_to_verify(&app, "ada").await;
        walk.click("main button").await;
        walk.arrives("/verify").await;
        walk.start().await;
        walk.choose("success").await;
        // The cookie comes along with the way back from another site.
        walk.arrives("/submitted").await;
        walk.reads(VERIFIED).await;
        walk.stage.stands("verified", None).await;
        assert_eq!(walk.goes_back(&app).await, "verified");
    })
    .await;
}

#[tokio::test]
async fn somebody_may_leave_before_the_verdict_and_sign_out() {
    walk(
        Plan {
            expected: &["401 (Unauthorized)"],
            ..plan()
        },
        async |walk| {
            let app = Application::start(&walk.stage).await;
            walk.stage.hold_checks().await;
            walk.asks_to_verify(&app, "ada").await;
            walk.click("main button").await;
            walk.verify("success_async").await;
            walk.arrives("/submitted").await;
            walk.reads("We are checking your document").await;
            walk.click(".leave a").await;
            assert_eq!(walk.is_back_at(&app).await, "processing");
            walk.open("/verify").await;
            walk.reads("We are checking your document").await;
            walk.click("footer button").await;
            walk.arrives("/submitted").await;
            walk.reads("You can close this page").await;
            walk.open("/verify").await;
            walk.reads("Open this page from Acme").await;
            walk.stage.finish_checks().await;
        },
    )
    .await;
}

/// What a page of somebody else's can try with a link it has got hold of.
const TRICKS: &str = "
    const [link, done] = arguments;
    const frame = document.createElement('iframe');
    frame.name = 'frame';
    const prefetch = Object.assign(document.createElement('link'), { rel: 'prefetch', href: link });
    const form = Object.assign(document.createElement('form'), { method: 'post', action: link, target: 'frame' });
    document.body.append(frame, prefetch, form);
    frame.onload = () => {
        frame.onload = () => done('tried');
        form.submit();
    };
    const ask = (method) => fetch(link, { method, mode: 'no-cors', credentials: 'include' }).catch(() => 0);
    Promise.all(['GET', 'HEAD', 'POST'].map(ask)).then(() => { frame.src = link; });
";

#[tokio::test]
async fn a_link_outlives_everybody_who_looks_at_it_with_scripts_on() {
    // The browser says so of what it does not show in a frame.
    let expected = &[
        "frame-ancestors",
        "403 (Forbidden)",
        "chromewebdata",
        "ERR_BLOCKED_BY_RESPONSE",
    ];
    walk(Plan { expected, ..plan() }, async |walk| {
        let app = Application::start(&walk.stage).await;
        walk.asks_to_verify(&app, "ada").await;
        let link = walk.address().await;
        for _ in 0..3 {
            walk.reload().await;
            walk.reads("Is this you?").await;
        }
        let scripts = walk.browser.driver.find_all(By::Css("script")).await;
        assert!(scripts.unwrap().is_empty(), "nothing could submit it");
        walk.goes_to(&app.origin).await;
        let tried = walk
            .browser
            .driver
            .execute_async(TRICKS, vec![Value::from(&*link)]);
        assert_eq!(tried.await.unwrap().json(), "tried");
        assert_eq!(walk.followed().await, 0);

        walk.goes_to(&link).await;
        let button = walk.shown("main button").await;
        let twice = walk.browser.driver.action_chain();
        twice.double_click_element(&button).perform().await.unwrap();
        walk.arrives("/verify").await;
        assert_eq!(walk.followed().await, 1);
        // Gone back to, it goes on in this browser.
        walk.goes_to(&link).await;
        walk.click("main button").await;
        walk.arrives("/verify").await;
        assert_eq!(walk.followed().await, 1);
    })
    .await;
}
