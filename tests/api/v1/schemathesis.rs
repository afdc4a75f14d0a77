//! Schemathesis reads the description and tries to catch the API out.

use std::time::Duration;

use serde_json::json;

use super::Api;
use crate::clients::{install_from_pypi, run};

/// A few cases of each kind for each call; `SCHEMATHESIS_EXAMPLES` in the environment asks for more.
const EXAMPLES: &str = "15";
const LIMIT: Duration = Duration::from_mins(30);

#[tokio::test]
async fn nobody_who_reads_the_description_is_caught_out() {
    let api = Api::start().await;
    // Somebody to be found, besides all those who are not.
    api.create(&json!({ "user_id": "0" })).await;
    let (_, session) = api.click("0").await;
    api.come_to(&session, "success").await;

    let examples = std::env::var_os("SCHEMATHESIS_EXAMPLES");
    let examples = examples.map_or_else(|| EXAMPLES.to_owned(), |it| it.into_string().unwrap());
    let document = format!("{}/openapi.json", api.gateway.origin);
    let header = format!("Authorization: Bearer {}", api.key);
    let programs = install_from_pypi("schemathesis.txt", ".venv-schemathesis").await;
    let arguments = [
        "--config-file",
        "schemathesis.toml",
        "run",
        &document,
        "--header",
        &header,
        "--max-examples",
        &examples,
        "--generation-database",
        "none",
        "--no-color",
    ];
    let output = run(programs.join("st"), &arguments, LIMIT).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("8 selected"), "every call was tried: {said}");
}
