//! How a page looks: at every width, in light and dark, to an eye and to axe.

use std::{fs, path::PathBuf, sync::LazyLock};

use serde_json::json;
use tokio::sync::OnceCell;

use crate::{browser::Browser, support::npm, walk::Walk};

const SCHEMES: [&str; 2] = ["light", "dark"];
/// The narrowest first: it is the one that must not scroll sideways.
const WIDTHS: [u32; 3] = [320, 390, 1280];
const HEIGHT: u64 = 800;

const AXE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/browser/node_modules/axe-core/axe.min.js"
);
/// What it finds, as one text; frames are asked each for itself.
const ASK_AXE: &str = "
    const done = arguments[0];
    const node = ({ html, failureSummary }) => `${html}\\n${failureSummary}`;
    const finding = ({ id, help, nodes }) => `${id}: ${help}\\n${nodes.map(node).join('\\n')}`;
    axe.run(document, { iframes: false, resultTypes: ['violations'] })
        .then(({ violations, passes }) => done(passes.length ? violations.map(finding).join('\\n') : 'nothing was checked'))
        .catch((error) => done(`axe failed: ${error}`));
";

static SCRIPT: OnceCell<String> = OnceCell::const_new();

/// Where the pictures go.
static PICTURES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&folder).unwrap();
    folder
});

/// The script that finds what people would stumble over.
pub(crate) async fn axe() -> &'static str {
    let install = async || {
        npm::install("browser").await;
        fs::read_to_string(AXE).unwrap()
    };
    SCRIPT.get_or_init(install).await
}

impl Browser {
    /// Checks the page as it is in both schemes, and takes a picture of it at each width.
    pub(crate) async fn inspect(&self, name: &str, with_pictures: bool) {
        self.look(name, with_pictures, true).await;
    }

    async fn look(&self, name: &str, with_pictures: bool, with_axe: bool) {
        for scheme in SCHEMES {
            let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
            self.cdp(
                "Emulation.setEmulatedMedia",
                json!({ "features": [feature] }),
            )
            .await;
            for width in WIDTHS {
                if width != WIDTHS[0] && !with_pictures {
                    continue;
                }
                self.resize(width, HEIGHT).await;
                let beyond = self.beyond_the_edge().await;
                assert_eq!(beyond, 0, "pixels of {name} beyond the edge at {width}");
                if width == WIDTHS[0] && with_axe {
                    self.assert_axe_finds_nothing(&format!("{name}, {scheme}"))
                        .await;
                }
                if with_pictures {
                    let high = self.number("scrollHeight").await;
                    self.resize(width, high.max(HEIGHT)).await;
                    let file = PICTURES.join(format!("{name}-{width}-{scheme}.png"));
                    self.driver.screenshot(&file).await.unwrap();
                }
            }
        }
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": [] }))
            .await;
        self.cdp("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
    }

    /// Where the driver is: in the page, or in the frame it has entered.
    pub(crate) async fn assert_axe_finds_nothing(&self, name: &str) {
        let found = self.ask_axe().await;
        assert_eq!(found, "", "axe finds in {name}");
    }

    pub(crate) async fn ask_axe(&self) -> String {
        let is_there = self.driver.execute("return !!window.axe", vec![]).await;
        if is_there.unwrap().json() == false {
            self.driver.execute(axe().await, vec![]).await.unwrap();
        }
        let found = self.driver.execute_async(ASK_AXE, vec![]).await.unwrap();
        found.json().as_str().unwrap().to_owned()
    }

    /// How far the page can be scrolled sideways.
    pub(crate) async fn beyond_the_edge(&self) -> u64 {
        self.number("scrollWidth").await - self.number("clientWidth").await
    }

    pub(crate) async fn narrow(&self) {
        self.resize(WIDTHS[0], HEIGHT).await;
    }

    async fn resize(&self, width: u32, height: u64) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    async fn number(&self, property: &str) -> u64 {
        let script = format!("return document.documentElement.{property}");
        let number = self.driver.execute(script, vec![]).await.unwrap();
        number.json().as_u64().unwrap()
    }
}

impl Walk {
    /// Checks the page as it is, and takes pictures of it.
    pub(crate) async fn inspect(&self, name: &str) {
        self.browser.inspect(&format!("live-{name}"), true).await;
    }

    /// The same where no script runs, and so no axe.
    pub(crate) async fn inspect_without_script(&self, name: &str) {
        self.browser
            .look(&format!("live-{name}"), true, false)
            .await;
    }
}
