//! The ways to leave the window before a document is sent, and everything that can be in the way of it.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::{
    browser::Habits,
    page::BUTTON,
    walk::{Plan, Walk, walk},
};

const START: &str = "Verify your identity";

/// Ends the window by this case; the page itself then says so, and says it again when it is opened anew.
async fn ends(case: &'static str, heading: &str, words: &str, error: &'static str) {
    walk(Plan::default(), async |walk| {
        walk.open("/verify").await;
        walk.verify(case).await;
        walk.reads(heading).await;
        walk.says("main", words).await;
        walk.arrives("/verify").await;
        walk.inspect(case).await;
        walk.stage.stands("requires_input", Some(error)).await;
        walk.reload().await;
        walk.reads(heading).await;
        walk.says("main", words).await;
    })
    .await;
}

#[tokio::test]
async fn declining_is_a_choice_with_another_way() {
    let words = "Verify another way";
    ends(
        "decline_consent",
        "You chose not to continue",
        words,
        "consent_declined",
    )
    .await;
}

#[tokio::test]
async fn without_a_camera_the_person_hears_how_to_get_one() {
    let words = "Allow the camera when your browser asks";
    ends(
        "no_camera",
        "We need a camera",
        words,
        "device_not_supported",
    )
    .await;
}

#[tokio::test]
async fn somebody_too_young_hears_so_without_accusation() {
    let words = "people who have reached the required age";
    ends(
        "under_age",
        "This check has an age limit",
        words,
        "under_supported_age",
    )
    .await;
}

#[tokio::test]
async fn a_phone_number_that_is_not_confirmed_is_named() {
    let heading = "We could not confirm your phone number";
    ends(
        "decline_phone",
        heading,
        "Try again",
        "phone_verification_declined",
    )
    .await;
}

#[tokio::test]
async fn an_e_mail_address_that_is_not_confirmed_is_named() {
    let heading = "We could not confirm your e-mail address";
    ends(
        "decline_email",
        heading,
        "Try again",
        "email_verification_declined",
    )
    .await;
}

#[tokio::test]
async fn somebody_who_declined_can_still_start_again() {
    walk(Plan::default(), async |walk| {
        walk.open("/verify").await;
        walk.verify("decline_consent").await;
        walk.says(BUTTON, "Start again").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads("Your identity is verified").await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

async fn nothing_was_sent(walk: &Walk) {
    walk.modal_closes().await;
    walk.says(
        "[data-notes]",
        "Nothing was sent. Start again when you are ready.",
    )
    .await;
    walk.reads(START).await;
    walk.stage.stands("requires_input", None).await;
    walk.says(BUTTON, "Verify my identity").await;
}

#[tokio::test]
async fn a_closed_window_leaves_the_page_with_a_quiet_note() {
    walk(Plan::default(), async |walk| {
        walk.open("/verify").await;
        // By its button, by Escape inside and outside the frame, and by the page's own way to leave.
        walk.start().await;
        walk.enter_modal().await;
        walk.leave_modal().await;
        walk.click("dialog button").await;
        nothing_was_sent(walk).await;
        walk.inspect("left").await;

        walk.start().await;
        walk.enter_modal().await;
        walk.press(&[Key::Tab, Key::Escape]).await;
        walk.leave_modal().await;
        nothing_was_sent(walk).await;

        walk.start().await;
        walk.enter_modal().await;
        walk.leave_modal().await;
        walk.run("document.querySelector('dialog button').focus()")
            .await;
        walk.press(&[Key::Escape]).await;
        nothing_was_sent(walk).await;

        walk.verify("leave").await;
        nothing_was_sent(walk).await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_network_is_told_and_the_next_try_goes_on() {
    let plan = Plan {
        expected: &["net::ERR_INTERNET_DISCONNECTED"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        walk.open("/verify").await;
        walk.reads(START).await;
        walk.offline(true).await;
        walk.start().await;
        walk.says("[data-notes]", "Check your connection and try again.")
            .await;
        walk.says("main", "Open in this page").await;
        walk.offline(false).await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads("Your identity is verified").await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_network_lost_before_stripes_script_came_is_told_and_the_script_asked_for_again() {
    let plan = Plan {
        expected: &["/stripe.js", "net::ERR_INTERNET_DISCONNECTED"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        break_script(walk, json!({ "kind": "cut" })).await;
        walk.open("/verify").await;
        walk.reads(START).await;
        walk.stage.clear_faults().await;
        walk.offline(true).await;
        walk.start().await;
        walk.says("[data-notes]", "Check your connection and try again.")
            .await;
        walk.offline(false).await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads("Your identity is verified").await;
    })
    .await;
}

#[tokio::test]
async fn while_stripe_is_away_the_page_says_that_it_is_us() {
    let plan = Plan {
        expected: &["503"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        walk.open("/verify").await;
        walk.reads(START).await;
        walk.stage.stop_sandbox().await;
        walk.start().await;
        walk.reads("We can’t verify right now").await;
        walk.says("main", "The reason is on our side, not yours.")
            .await;
        let reference = "return document.querySelector('[data-reference]').hidden";
        assert_eq!(walk.run(reference).await, true);
        walk.inspect("unavailable").await;
        walk.stage.start_sandbox().await;
        walk.says(BUTTON, "Try again").await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads("Your identity is verified").await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

#[tokio::test]
async fn where_only_support_can_help_the_page_gives_a_reference_number() {
    let plan = Plan {
        expected: &["status of 502"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        let sessions = "/v1/identity/verification_sessions";
        let refused = json!({
            "kind": "error", "status": 400, "method": "POST", "path": sessions, "times": 0,
        });
        walk.stage.tell("/_faults", refused).await;
        walk.open("/verify").await;
        walk.start().await;
        walk.reads("We can’t verify right now").await;
        walk.says("main", "give this reference number").await;
        let code = "return document.querySelector('[data-reference] code').textContent";
        let id = walk.run(code).await;
        assert!(uuid::Uuid::parse_str(id.as_str().unwrap()).is_ok(), "{id}");
        walk.inspect("reference").await;
    })
    .await;
}

#[tokio::test]
async fn without_script_the_same_button_leads_to_the_answer() {
    let habits = Habits {
        no_script: true,
        ..Habits::default()
    };
    let plan = Plan {
        habits,
        ..Plan::default()
    };
    walk(plan, async |walk| {
        walk.stage.hold_checks().await;
        walk.open("/").await;
        walk.start().await;
        walk.reads("Choose how this verification ends").await;
        walk.choose("success_async").await;
        walk.arrives("/submitted").await;
        walk.reads("We are checking your document").await;
        walk.says("main", "Check again").await;
        walk.inspect_without_script("processing-without-script")
            .await;
        walk.stage.stands("processing", None).await;
        walk.stage.finish_checks().await;
        walk.reads("Your identity is verified").await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}

/// The button without a window: to the sandbox's page and back.
async fn goes_the_plain_way(walk: &Walk) {
    walk.reads("Choose how this verification ends").await;
    walk.inspect("sandbox-start").await;
    walk.choose("success").await;
    walk.arrives("/submitted").await;
    walk.reads("Your identity is verified").await;
    walk.stage.stands("verified", None).await;
}

/// Breaks the script on its way.
async fn break_script(walk: &Walk, how: Value) {
    let mut fault = json!({ "path": "/stripe.js", "times": 0 });
    fault
        .as_object_mut()
        .unwrap()
        .extend(how.as_object().unwrap().clone());
    walk.stage.tell("/_faults", fault).await;
}

#[tokio::test]
async fn where_stripes_script_fails_the_button_is_a_plain_form() {
    let plan = Plan {
        expected: &["/stripe.js"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        break_script(walk, json!({ "kind": "error", "status": 404 })).await;
        walk.open("/verify").await;
        walk.start().await;
        goes_the_plain_way(walk).await;
    })
    .await;
}

#[tokio::test]
async fn where_stripes_script_cannot_be_reached_the_button_is_a_plain_form() {
    let plan = Plan {
        expected: &["/stripe.js"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        break_script(walk, json!({ "kind": "cut" })).await;
        walk.open("/verify").await;
        walk.start().await;
        goes_the_plain_way(walk).await;
    })
    .await;
}

#[tokio::test]
async fn where_stripes_script_never_comes_a_link_is_offered() {
    let habits = Habits {
        impatient: true,
        ..Habits::default()
    };
    let plan = Plan {
        habits,
        ..Plan::default()
    };
    walk(plan, async |walk| {
        break_script(walk, json!({ "kind": "timeout" })).await;
        walk.open("/verify").await;
        walk.start().await;
        walk.says(BUTTON, "Opening…").await;
        walk.says("[data-slow]", "Nothing opening?").await;
        walk.inspect("slow").await;
        walk.click("[data-slow] button").await;
        goes_the_plain_way(walk).await;
    })
    .await;
}

#[tokio::test]
async fn a_window_that_cannot_open_the_session_says_so_on_the_page() {
    let plan = Plan {
        expected: &["/modal/session"],
        ..Plan::default()
    };
    walk(plan, async |walk| {
        let fault = json!({ "kind": "cut", "path": "/modal/session", "times": 0 });
        walk.stage.tell("/_faults", fault).await;
        walk.open("/verify").await;
        walk.start().await;
        walk.modal_closes().await;
        walk.says(
            "[data-notes]",
            "The verification page could not be reached.",
        )
        .await;
        walk.inspect("failed").await;
        walk.stage.clear_faults().await;
        walk.verify("success").await;
        walk.arrives("/submitted").await;
        walk.reads("Your identity is verified").await;
        walk.stage.stands("verified", None).await;
    })
    .await;
}
