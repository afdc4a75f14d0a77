//! Schemathesis reads the description and tries to catch the API out.

use std::time::Duration;

use serde_json::json;
use verigate::domain::Scope;

use super::{Api, make_key_with};
use crate::clients::{install_from_pypi, run};

/// A few cases of each kind for each call; `SCHEMATHESIS_EXAMPLES` in the environment asks for more.
const EXAMPLES: &str = "15";
const LIMIT: Duration = Duration::from_mins(30);

/// What no schema can say: who is there, and what this server and this key know. Most calls are made with it.
fn configuration(verifications: &[String]) -> String {
    let verifications = json!(verifications);
    format!(
        r#"[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]

[dictionaries]
verifications = {{ values = {verifications} }}
people = {{ values = ["user_0", "user_1", "user_2"] }}
policies = {{ values = ["default", "selfie"] }}
addresses = {{ values = ["https://shop.example/done"] }}

[parameters]
"path.id" = {{ dictionary = "verifications", probability = 0.7 }}
"path.user_id" = {{ dictionary = "people", probability = 0.7 }}
"query.policy" = {{ dictionary = "policies", probability = 0.7 }}
"body.policy" = {{ dictionary = "policies", probability = 0.8 }}
"body.return_url" = {{ dictionary = "addresses", probability = 0.8 }}
"#
    )
}

#[tokio::test]
async fn nobody_who_reads_the_description_is_caught_out() {
    let mut api = Api::start().await;
    api.key = make_key_with(&api.world, &Scope::ALL, &["https://shop.example"]).await;
    let mut verifications = Vec::new();
    for (person, case) in [
        ("user_0", "success"),
        ("user_1", "failure"),
        ("user_2", "leave"),
    ] {
        let (attempt, session) = api.click(person).await;
        api.come_to(&session, case).await;
        verifications.push(attempt);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("schemathesis.toml");
    std::fs::write(&file, configuration(&verifications)).unwrap();

    let examples = std::env::var_os("SCHEMATHESIS_EXAMPLES");
    let examples = examples.map_or_else(|| EXAMPLES.to_owned(), |it| it.into_string().unwrap());
    let document = format!("{}/openapi.json", api.gateway.origin);
    let header = format!("Authorization: Bearer {}", api.key);
    let programs = install_from_pypi("schemathesis.txt", ".venv-schemathesis").await;
    let arguments = [
        "--config-file",
        file.to_str().unwrap(),
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
    assert!(said.contains("10 selected"), "every call was tried: {said}");
    // Calls that reached somebody leave a trace.
    let touched = "SELECT EXISTS (SELECT FROM verifications WHERE redaction <> 'none')";
    let touched = sqlx::query_scalar(touched).fetch_one(api.world.db.pool());
    let touched: bool = touched.await.unwrap();
    assert!(touched, "only empty addresses were called: {said}");
}
