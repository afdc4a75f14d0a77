//! One walk: a stage, a browser, a time limit, and what has to hold after every one.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    browser::{Browser, Habits},
    stage::Stage,
    support::eventually,
};

/// Browsers are large; more at once make none of them faster.
const AT_ONCE: usize = 2;
const LIMIT: Duration = Duration::from_secs(90);

static SEATS: Semaphore = Semaphore::const_new(AT_ONCE);

/// A place among the browsers that may run at one time.
pub(crate) async fn seat() -> SemaphorePermit<'static> {
    SEATS.acquire().await.unwrap()
}

/// How a walk differs from a usual one.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) habits: Habits,
    /// Settings of the server beside the usual ones.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Errors that belong to this walk: each line of the console that holds one of these.
    pub(crate) expected: &'static [&'static str],
}

/// Somebody in front of a browser, and everything behind it.
pub(crate) struct Walk {
    pub(crate) stage: Stage,
    pub(crate) browser: Browser,
    /// What the console has said so far.
    console: Vec<String>,
}

impl Walk {
    /// Waits until some line of the console that a walk would fail for has these words.
    pub(crate) async fn console_says(&mut self, words: &str) {
        eventually(words, async || {
            self.console.extend(self.browser.console().await);
            let bad = bad_lines(&self.console, &[]);
            bad.iter().any(|line| line.contains(words)).then_some(())
        })
        .await;
    }
}

/// Walks, then looks at what was written: to the console nothing bad, to the database nothing forbidden.
pub(crate) async fn walk(plan: Plan, steps: impl AsyncFnOnce(&mut Walk)) {
    let _seat = seat().await;
    let (stage, browser) = tokio::join!(Stage::start(plan.settings), Browser::start(plan.habits));
    let mut walk = Walk {
        stage,
        browser,
        console: Vec::new(),
    };
    let went = AssertUnwindSafe(tokio::time::timeout(LIMIT, steps(&mut walk)))
        .catch_unwind()
        .await;
    let Walk {
        stage,
        browser,
        mut console,
    } = walk;
    console.extend(browser.console().await);
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

/// Our pages write nothing there, so every line is bad.
fn bad_lines(console: &[String], expected: &[&str]) -> Vec<String> {
    let is_expected = |line: &&String| expected.iter().any(|text| line.contains(text));
    let mut bad: Vec<String> = console
        .iter()
        .filter(|line| !is_expected(line))
        .cloned()
        .collect();
    bad.sort();
    bad.dedup();
    bad
}

#[expect(
    clippy::print_stderr,
    reason = "it helps whoever reads why a walk failed"
)]
async fn describe(browser: &Browser, console: &[String]) {
    let _ = browser.driver.enter_default_frame().await;
    eprintln!("address: {:?}", browser.driver.current_url().await);
    let script = "return document.body ? document.body.innerText : ''";
    let text = browser.driver.execute(script, vec![]).await;
    eprintln!("page: {:?}", text.map(|text| text.json().clone()));
    for line in bad_lines(console, &[]) {
        eprintln!("console: {line}");
    }
}
