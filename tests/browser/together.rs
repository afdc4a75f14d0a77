//! Two tabs at once, a Stripe that has forgotten everything, and a person who has only a keyboard.

use serde_json::json;
use thirtyfour::Key;

use crate::{
    page::BUTTON,
    walk::{Plan, walk},
};

const VERIFIED: &str = "Your identity is verified";
const PROCESSING: &str = "We are checking your document";
const CLOSED: &str = "This verification was closed";

#[tokio::test]
async fn two_tabs_share_one_session_and_both_end_verified() {
    let plan = Plan {
        // The second document for a session that has one already.
        expected: &["status of 410", "status of 409"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        walk.stage.hold_checks().await;
        let driver = walk.browser.driver.clone();
        let first = driver.window().await.unwrap();
        walk.open("/verify").await;
        let second = walk.open_tab("/verify").await;
        // One click right after the other; only then is either window looked at.
        driver.switch_to_window(first.clone()).await.unwrap();
        walk.start().await;
        driver.switch_to_window(second.clone()).await.unwrap();
        walk.start().await;
        walk.enter_modal().await;
        driver.switch_to_window(first.clone()).await.unwrap();
        walk.enter_modal().await;
        walk.choose("success_async").await;
        walk.leave_modal().await;
        walk.arrives("/submitted").await;
        walk.reads(PROCESSING).await;
        walk.mark().await;

        driver.switch_to_window(second.clone()).await.unwrap();
        walk.enter_modal().await;
        walk.choose("success").await;
        walk.leave_modal().await;
        walk.modal_closes().await;
        walk.says("[data-notes]", "It was used already").await;
        walk.start().await;
        walk.reads(PROCESSING).await;
        walk.mark().await;
        walk.stage.stands("processing", None).await;

        walk.stage.finish_checks().await;
        for tab in [first, second] {
            driver.switch_to_window(tab).await.unwrap();
            walk.reads(VERIFIED).await;
            walk.assert_not_reloaded().await;
        }
        walk.stage.stands("verified", None).await;
        assert_eq!(walk.stage.creates().await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_page_that_waits_for_a_forgotten_session_offers_a_new_start() {
    let plan = Plan {
        // The server is away for a moment.
        expected: &[
            "/status/stream - Failed to load resource: net::ERR_",
            "/status - Failed to load resource: net::ERR_",
        ],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        walk.stage.hold_checks().await;
        walk.open("/").await;
        walk.verify("success_async").await;
        walk.reads(PROCESSING).await;
        walk.stage.stands("processing", None).await;
        let forgotten = walk.stage.session().await;
        walk.mark().await;

        walk.stage.restart().await;
        assert!(walk.stage.sessions().await.is_empty());
        walk.reads(CLOSED).await;
        walk.assert_not_reloaded().await;
        walk.inspect("closed").await;
        walk.says(BUTTON, "Start again").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads(VERIFIED).await;
        walk.stage.stands_after(&forgotten, "verified").await;
    })
    .await;
}

#[tokio::test]
async fn a_keyboard_is_enough() {
    walk(Plan::default(), async |walk| {
        walk.open("/verify").await;
        walk.tab_to("verify-button").await;
        walk.press(&[Key::Enter]).await;
        walk.enter_modal().await;
        walk.leave_modal().await;
        walk.press(&[Key::Escape]).await;
        walk.modal_closes().await;
        walk.says("[data-notes]", "Nothing was sent.").await;
        assert_eq!(walk.focused().await, "verify-button");

        walk.press(&[Key::Enter]).await;
        walk.enter_modal().await;
        walk.tab_to("success").await;
        walk.press(&[Key::Enter]).await;
        walk.leave_modal().await;
        walk.arrives("/submitted").await;
        walk.reads(VERIFIED).await;
        walk.tab_to("Back to Acme").await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

#[tokio::test]
async fn the_window_fits_a_narrow_screen_and_lets_axe_find_nothing() {
    walk(Plan::default(), async |walk| {
        walk.open("/verify").await;
        walk.start().await;
        walk.enter_modal().await;
        walk.leave_modal().await;
        walk.inspect("window").await;
        walk.enter_modal().await;
        walk.browser.assert_axe_finds_nothing("the frame").await;
        walk.leave_modal().await;
    })
    .await;
}

#[tokio::test]
async fn what_a_page_must_not_do_would_be_found() {
    let plan = Plan {
        expected: &["style-src", "policy violated", "told by the frame"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        walk.open("/verify").await;
        let styled =
            "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')";
        walk.run(styled).await;
        walk.start().await;
        walk.enter_modal().await;
        walk.run("console.error('told by the frame')").await;
        walk.leave_modal().await;
        for said in ["style-src", "policy violated", "told by the frame"] {
            walk.console_says(said).await;
        }

        walk.reload().await;
        assert_eq!(walk.browser.ask_axe().await, "");
        let nameless = "document.querySelector('main').append(document.createElement('button'))";
        walk.run(nameless).await;
        let found = walk.browser.ask_axe().await;
        assert!(found.contains("button-name"), "{found}");
        walk.browser.narrow().await;
        assert_eq!(walk.browser.beyond_the_edge().await, 0);
        walk.run("document.querySelector('h1').style.setProperty('width', '500px')")
            .await;
        assert!(walk.browser.beyond_the_edge().await > 100);
    })
    .await;
}

#[tokio::test]
async fn what_the_database_must_not_hold_would_be_found() {
    walk(Plan::default(), async |walk| {
        walk.open("/verify").await;
        walk.verify("success").await;
        walk.reads(VERIFIED).await;
        let canaries = [
            "vs_1_secret_x",
            "http://127.0.0.1:1/start/x",
            "ek_test_x",
            "t=1,v1=x",
            "Jenny",
        ];
        for canary in canaries {
            assert_eq!(walk.stage.find_forbidden().await, Vec::<String>::new());
            walk.stage.plant(&json!({ "a": [canary] })).await;
            assert_eq!(walk.stage.find_forbidden().await.len(), 1, "{canary}");
            walk.stage.plant(&json!({})).await;
        }
    })
    .await;
}
