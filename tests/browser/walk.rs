//! One walk: a stage, a browser, a time limit, and what has to hold after every one.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use thirtyfour::BrowserLogEntry;
use tokio::sync::Semaphore;

use crate::{
    browser::{Browser, Habits},
    stage::Stage,
};

/// Browsers are large; more at once make none of them faster.
const AT_ONCE: usize = 2;
const LIMIT: Duration = Duration::from_secs(90);

static SEATS: Semaphore = Semaphore::const_new(AT_ONCE);

/// How a walk differs from a usual one.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) habits: Habits,
    /// Where the page's script is sought, if not at the sandbox.
    pub(crate) stripe_js: Option<String>,
    /// Errors that belong to this walk: each line of the console that holds one of these.
    pub(crate) expected: &'static [&'static str],
}

/// Somebody in front of a browser, and everything behind it.
pub(crate) struct Walk {
    pub(crate) stage: Stage,
    pub(crate) browser: Browser,
}

/// Walks, then looks at what was written: to the console nothing bad, to the database nothing forbidden.
pub(crate) async fn walk(plan: Plan, steps: impl AsyncFnOnce(&mut Walk)) {
    let _seat = SEATS.acquire().await.unwrap();
    let (stage, browser) = tokio::join!(Stage::start(plan.stripe_js), Browser::start(plan.habits));
    let mut walk = Walk { stage, browser };
    let went = AssertUnwindSafe(tokio::time::timeout(LIMIT, steps(&mut walk)))
        .catch_unwind()
        .await;
    let Walk { stage, browser } = walk;
    let console = browser.console().await;
    let failed = !matches!(went, Ok(Ok(())));
    if failed {
        describe(&browser, &console).await;
    }
    browser.quit().await;
    match went {
        Ok(in_time) => assert!(in_time.is_ok(), "the walk took longer than {LIMIT:?}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
    let bad = bad_lines(&console, plan.expected);
    assert!(bad.is_empty(), "the console says {bad:#?}");
    stage.assert_nothing_forbidden().await;
    stage.assert_history_is_whole().await;
    stage.end().await;
}

/// Warnings are told as well: a policy that is only reported is one of them.
fn bad_lines(console: &[BrowserLogEntry], expected: &[&str]) -> Vec<String> {
    console
        .iter()
        .filter(|entry| matches!(entry.level.as_str(), "SEVERE" | "WARNING"))
        .filter(|entry| !expected.iter().any(|text| entry.message.contains(text)))
        .map(|entry| format!("{}: {}", entry.level, entry.message))
        .collect()
}

#[expect(
    clippy::print_stderr,
    reason = "it helps whoever reads why a walk failed"
)]
async fn describe(browser: &Browser, console: &[BrowserLogEntry]) {
    let _ = browser.driver.enter_default_frame().await;
    eprintln!("address: {:?}", browser.driver.current_url().await);
    let script = "return document.body ? document.body.innerText : ''";
    let text = browser.driver.execute(script, vec![]).await;
    eprintln!("page: {:?}", text.map(|text| text.json().clone()));
    for entry in console {
        eprintln!("console: {} {}", entry.level, entry.message);
    }
}
