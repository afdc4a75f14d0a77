//! Chromium, driven through one chromedriver a test process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    CapabilitiesHelper as _, ChromiumLikeCapabilities as _, DesiredCapabilities,
    LoggingPrefsLogLevel, PageLoadStrategy, WebDriver,
    common::command::{Command as Order, ExtensionCommand},
};

use crate::support::PATIENCE;

const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Below the profile.
const LOG: &str = "console.txt";
const CHROMEDRIVER: [&str; 1] = ["chromedriver"];
/// No screen, no sound, no calls home: only what a test asks for.
const FLAGS: [&str; 12] = [
    "--enable-logging=file",
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
    profile: TempDir,
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
        let browser = Self { driver, profile };
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

    /// What the pages have written to the console since this was asked last, and everything that any frame, tab or
    /// worker has ever written.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.driver.browser_log().await.unwrap();
        // Chromedriver hears of failed requests, but hears nothing from frames of other sites; the file is the reverse.
        let file = fs::read(self.profile.path().join(LOG)).unwrap_or_default();
        let file = String::from_utf8_lossy(&file).into_owned();
        let lines = file.split("\n[").filter(|line| line.contains(":CONSOLE:"));
        entries
            .into_iter()
            .map(|entry| format!("{} {}", entry.level, entry.message))
            .chain(lines.map(str::to_owned))
            .collect()
    }

    pub(crate) async fn quit(self) {
        self.driver.quit().await.unwrap();
    }
}

fn capabilities(
    chromium: &Path,
    profile_folder: &Path,
    habits: Habits,
) -> thirtyfour::ChromeCapabilities {
    let mut wanted = DesiredCapabilities::chrome();
    wanted.set_binary(chromium.to_str().unwrap()).unwrap();
    let profile = format!("--user-data-dir={}", profile_folder.display());
    let log = format!("--log-file={}", profile_folder.join(LOG).display());
    for flag in FLAGS.into_iter().chain([profile.as_str(), log.as_str()]) {
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
