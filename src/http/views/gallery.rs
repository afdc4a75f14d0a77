//! Every page in every state with sample words, for review and for the tests that look at them all.

use askama::Template;
use chrono::DateTime;

use crate::{
    domain::{self, failure},
    http::assets,
    stripe::{DocumentOptions, DocumentType, SessionType},
    verification::Check,
};

use super::{
    Chrome, ErrorPage, Known, LinkPage, LinkState, Needs, NotSignedIn, NotSignedInPage, SignInPage,
    SignedOutPage, VerifyPage, VerifyState, state::Note,
};

/// Each page as a name for its file and its HTML.
pub fn pages() -> Result<Vec<(String, String)>, askama::Error> {
    let full = chrome();
    let spare = Chrome {
        purpose: String::new(),
        alternative_url: None,
        home_url: None,
        test_mode: false,
        ..full.clone()
    };
    let mut pages = Vec::new();
    for (name, state) in states() {
        pages.push((name.to_owned(), verify(&full, &state)?));
        pages.push((format!("{name}-spare"), verify(&spare, &state)?));
    }
    pages.extend(beginnings(&full)?);
    for code in failure::codes().chain(["a_code_of_tomorrow"]) {
        let page = verify(&full, &VerifyState::failed(code))?;
        pages.push((format!("failed-{code}"), page));
    }
    for status in [400, 403, 404, 405, 408, 413, 421, 422, 429, 500, 502, 503] {
        let page = ErrorPage {
            chrome: &full,
            status,
            may_repeat: true,
            request_id: Some("0193e2a0c1f47d3a"),
            retry_after: Some(30),
        };
        pages.push((format!("error-{status}"), page.render()?));
    }
    for (name, chrome) in [("", &full), ("-spare", &spare)] {
        pages.extend(signing_in(chrome, name)?);
        pages.push((
            format!("signed-out{name}"),
            SignedOutPage { chrome }.render()?,
        ));
    }
    pages.extend(links(&full, &spare)?);
    let signed_in = Chrome {
        signed_in: true,
        ..full.clone()
    };
    pages.push((
        "signed-in".to_owned(),
        verify(&signed_in, &VerifyState::Processing { mailed: false })?,
    ));
    let long = Chrome {
        app_name: "Kraftfahrzeughaftpflichtversicherungsgesellschaft Øresund <& Søn>".to_owned(),
        ..full
    };
    let state = VerifyState::NotStarted { note: None };
    pages.push(("long-name".to_owned(), verify(&long, &state)?));
    Ok(pages)
}

fn signing_in(chrome: &Chrome, name: &str) -> Result<Vec<(String, String)>, askama::Error> {
    let mut pages = Vec::new();
    for (here, of) in [(false, ""), (true, "-here")] {
        let page = SignInPage { chrome, here };
        pages.push((format!("sign-in{of}{name}"), page.render()?));
    }
    for (why, of) in [
        (NotSignedIn::Declined, "declined"),
        (NotSignedIn::Late, "late"),
        (NotSignedIn::Refused, "refused"),
        (NotSignedIn::Away, "away"),
    ] {
        let page = NotSignedInPage { chrome, why };
        pages.push((format!("not-signed-in-{of}{name}"), page.render()?));
    }
    Ok(pages)
}

fn links(full: &Chrome, spare: &Chrome) -> Result<Vec<(String, String)>, askama::Error> {
    let mut pages = Vec::new();
    for (name, state, whom) in [
        ("ready", LinkState::Ready, Some("a•••@example.com")),
        ("nobody", LinkState::Ready, None),
        ("used", LinkState::Used, None),
        ("expired", LinkState::Expired, None),
        ("unknown", LinkState::Unknown, None),
        ("refused", LinkState::Refused, None),
        ("no-cookies", LinkState::NoCookies, None),
    ] {
        for (spared, chrome) in [("", full), ("-spare", spare)] {
            let page = LinkPage {
                chrome,
                state,
                whom,
            };
            pages.push((format!("link-{name}{spared}"), page.render()?));
        }
    }
    Ok(pages)
}

/// Under policies that ask for other things than a flow, of which nobody knows.
fn beginnings(chrome: &Chrome) -> Result<Vec<(String, String)>, askama::Error> {
    let selfie = DocumentOptions {
        allowed_types: vec![DocumentType::Passport],
        require_id_number: Some(true),
        require_matching_selfie: Some(true),
        ..DocumentOptions::default()
    };
    let mut pages = Vec::new();
    for (name, kind, document) in [
        (
            "document",
            SessionType::Document,
            DocumentOptions::default(),
        ),
        ("selfie", SessionType::Document, selfie),
        ("number", SessionType::IdNumber, DocumentOptions::default()),
    ] {
        let needs = Needs::of(&Check::Of { kind, document });
        let state = VerifyState::NotStarted { note: None };
        let page = verify_under(&needs, chrome, &state)?;
        pages.push((format!("not-started-{name}"), page));
    }
    Ok(pages)
}

fn verify(chrome: &Chrome, state: &VerifyState) -> Result<String, askama::Error> {
    verify_under(&Needs::unknown(), chrome, state)
}

fn verify_under(
    needs: &Needs,
    chrome: &Chrome,
    state: &VerifyState,
) -> Result<String, askama::Error> {
    let known = Known {
        status: "processing".to_owned(),
        error: None,
    };
    VerifyPage {
        chrome,
        state,
        known: &known,
        needs,
        publishable_key: "pk_test_gallery",
        stripe_js_url: "https://js.stripe.com/dahlia/stripe.js",
    }
    .render()
}

fn chrome() -> Chrome {
    Chrome {
        app_name: "Acme".to_owned(),
        purpose: "We need this before you can rent a car, so that nobody can do it in your name."
            .to_owned(),
        support_url: "https://acme.example/help".to_owned(),
        privacy_url: "https://acme.example/privacy".to_owned(),
        alternative_url: Some("https://acme.example/verify-in-person".to_owned()),
        home_url: Some("https://acme.example/".to_owned()),
        test_mode: true,
        signed_in: false,
    }
}

fn states() -> Vec<(&'static str, VerifyState)> {
    let at = DateTime::from_timestamp(1_795_441_500, 0);
    vec![
        ("not-started", VerifyState::NotStarted { note: None }),
        (
            "left",
            VerifyState::NotStarted {
                note: Some(Note::Left),
            },
        ),
        ("waiting", VerifyState::Waiting),
        ("processing", VerifyState::Processing { mailed: false }),
        (
            "processing-mailed",
            VerifyState::Processing { mailed: true },
        ),
        ("verified", VerifyState::Verified { at }),
        (
            "another-try",
            VerifyState::AnotherTry {
                advice: domain::advice(Some("document_expired")),
                tries_left: Some(2),
            },
        ),
        ("tries-used", VerifyState::Closed.tries_used(None)),
        (
            "tries-used-today",
            VerifyState::failed("document_expired").tries_used(Some(5 * 3600)),
        ),
        (
            "budget-spent",
            VerifyState::Unavailable {
                retry_after: Some(7 * 3600),
            },
        ),
        (
            "budget-of-the-month-spent",
            VerifyState::Unavailable {
                retry_after: Some(9 * 86_400),
            },
        ),
        ("declined", VerifyState::Declined),
        ("no-camera", VerifyState::NoCamera),
        ("closed", VerifyState::Closed),
        (
            "unavailable",
            VerifyState::Unavailable {
                retry_after: Some(120),
            },
        ),
    ]
}

/// The files the pages ask for, each with its address.
pub fn files() -> Vec<(String, &'static [u8])> {
    assets::all()
        .iter()
        .map(|asset| (asset.address().to_owned(), asset.body()))
        .collect()
}
