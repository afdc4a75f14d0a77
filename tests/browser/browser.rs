//! Chromium, driven through one chromedriver a test process.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    BrowserLogEntry, CapabilitiesHelper as _, ChromiumLikeCapabilities as _, DesiredCapabilities,
    LoggingPrefsLogLevel, PageLoadStrategy, WebDriver,
    common::command::{Command as Order, ExtensionCommand},
};

use crate::support::PATIENCE;

const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const CHROMEDRIVER: [&str; 1] = ["chromedriver"];
/// No screen, no sound, no calls home: only what a test asks for.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--mute-audio",
];
/// Ends chromedriver and the browsers it started as soon as this process has closed the pipe, however it ended.
const GUARD: &str = r#"
"$1" --port=0 </dev/null &
driver=$!
read -r _
kill $(cat /proc/$driver/task/*/children 2>/dev/null) $driver 2>/dev/null
"#;
/// A violation of the page's policy becomes an error in the log, should the browser not write one itself.
const LISTEN: &str = "addEventListener('securitypolicyviolation', (event) => \
    console.error('policy violated:', event.violatedDirective, event.blockedURI));";

static DRIVER: LazyLock<Result<Driver, String>> = LazyLock::new(Driver::start);

/// Held for its pipe.
struct Driver {
    url: String,
    _guard: Child,
}

impl Driver {
    fn start() -> Result<Self, String> {
        let program = find(&CHROMEDRIVER)?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("no shell: {error}"))?;
        let told = BufReader::new(guard.stdout.take().ok_or("no output")?);
        let port = told.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        match port {
            Some(port) => Ok(Self {
                url: format!("http://127.0.0.1:{port}"),
                _guard: guard,
            }),
            None => Err(format!("{} did not start", program.display())),
        }
    }
}

/// The first of these programs on the path.
fn find(names: &[&str]) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            format!(
                "these tests need {}, and it is not on the PATH: `scripts/setup test` installs it",
                names[0]
            )
        })
}

/// How a browser differs from a usual one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habits {
    /// Runs no script.
    pub(crate) no_script: bool,
    /// Goes on before everything that a page asks for has come.
    pub(crate) impatient: bool,
}

/// A browser of a walk's own, with nothing remembered.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start(habits: Habits) -> Self {
        let chromedriver = match &*DRIVER {
            Ok(driver) => &driver.url,
            Err(error) => panic!("{error}"),
        };
        let chromium = find(&CHROMIUM).unwrap_or_else(|error| panic!("{error}"));
        let profile = tempfile::tempdir().unwrap();
        let capabilities = capabilities(&chromium, profile.path(), habits);
        // A proxy in the environment is not for this machine's own addresses.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        let driver = WebDriver::builder(chromedriver.as_str(), capabilities)
            .client(client.build().unwrap())
            .connect()
            .await
            .unwrap();
        let browser = Self {
            driver,
            _profile: profile,
        };
        browser.listen().await;
        browser
    }

    /// Listens for violations in the present tab, from its next page on.
    pub(crate) async fn listen(&self) {
        self.cdp(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": LISTEN }),
        )
        .await;
    }

    /// A command that only Chromium has.
    pub(crate) async fn cdp(&self, command: &str, params: Value) -> Value {
        let command = Cdp(json!({ "cmd": command, "params": params }));
        let order = Order::ExtensionCommand(Box::new(command));
        self.driver.cmd(order).await.unwrap().value().unwrap()
    }

    /// What was written to the console since this was asked last, by the frames too.
    pub(crate) async fn console(&self) -> Vec<BrowserLogEntry> {
        self.driver.browser_log().await.unwrap()
    }

    pub(crate) async fn quit(self) {
        self.driver.quit().await.unwrap();
    }
}

fn capabilities(chromium: &Path, profile: &Path, habits: Habits) -> thirtyfour::ChromeCapabilities {
    let mut wanted = DesiredCapabilities::chrome();
    wanted.set_binary(chromium.to_str().unwrap()).unwrap();
    let profile = format!("--user-data-dir={}", profile.display());
    for flag in FLAGS.into_iter().chain([profile.as_str()]) {
        wanted.add_arg(flag).unwrap();
    }
    wanted
        .set_browser_log_level(LoggingPrefsLogLevel::All)
        .unwrap();
    if habits.no_script {
        let prefs = json!({ "profile.managed_default_content_settings.javascript": 2 });
        wanted.add_experimental_option("prefs", prefs).unwrap();
    }
    if habits.impatient {
        wanted
            .set_page_load_strategy(PageLoadStrategy::Eager)
            .unwrap();
    }
    wanted
}

#[derive(Debug)]
struct Cdp(Value);

impl ExtensionCommand for Cdp {
    fn parameters_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }

    fn method(&self) -> reqwest::Method {
        reqwest::Method::POST
    }

    fn endpoint(&self) -> Arc<str> {
        "/goog/cdp/execute".into()
    }
}
