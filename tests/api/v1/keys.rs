//! Keys: made, listed and revoked on the command line, and refused in one way whatever is wrong with them.

use reqwest::Method;
use serde_json::Value;
use verigate::domain::{KeyText, Scope};

use super::{Api, answer};
use crate::{
    program::{run, working_folder},
    support::database::TestDb,
};

/// What the program prints, if it ends well.
fn keys(db: &TestDb, words: &[&str]) -> Result<String, String> {
    let folder = working_folder();
    let words = [&["keys"], words].concat();
    let output = run(&words, &[("DATABASE_URL", db.url())], folder.path());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

fn make(db: &TestDb, more: &[&str]) -> (String, String) {
    let words = [&["create", "--name", "Shop", "--json"], more].concat();
    let made: Value = serde_json::from_str(&keys(db, &words).unwrap()).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn a_key_works_from_its_making_to_its_revocation() {
    let mut api = Api::start().await;
    let (id, key) = make(&api.world.db, &["--scope", "verifications:read"]);
    assert!(key.starts_with("vg_test_") && key.len() == 72, "{key}");
    api.key = key;
    assert_eq!(api.get("/v1/verifications").await.status, 200);

    let list = || serde_json::from_str::<Value>(&keys(&api.world.db, &["list", "--json"]).unwrap());
    let ours = |list: &Value| {
        let mut all = list.as_array().unwrap().iter();
        all.find(|key| key["id"] == id.as_str()).unwrap().clone()
    };
    let listed = ours(&list().unwrap());
    assert_eq!(listed["name"], "Shop");
    assert_eq!(listed["active"], true);
    assert_eq!(listed["scopes"], serde_json::json!(["verifications:read"]));
    let used = listed["last_used_at"].as_str().unwrap();
    assert!(used.ends_with(":00Z"), "to the minute: {used}");

    let said = keys(&api.world.db, &["revoke", &id]).unwrap();
    assert!(said.contains("is revoked"), "{said}");
    api.get("/v1/verifications")
        .await
        .is_problem(401, "invalid_api_key");
    let listed = ours(&list().unwrap());
    assert_eq!(listed["active"], false);
    assert!(listed["revoked_at"].is_string());
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_nowhere() {
    let db = TestDb::new().await;
    let words = [
        "create",
        "--name",
        "Shop",
        "--scope",
        "verifications:write,verifications:read",
    ];
    let said = keys(&db, &words).unwrap();
    let key = said.lines().next().unwrap();
    assert!(
        KeyText::parse(key).is_some() && said.contains("only now"),
        "{said}"
    );
    let secret = key.trim_start_matches("vg_test_");
    let kept: Vec<String> = sqlx::query_scalar("SELECT api_keys::text FROM api_keys")
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains(secret), "{kept:?}");
    assert!(
        kept[0].contains("\\x"),
        "the positive control: a hash is there"
    );
    for words in [&["list"][..], &["list", "--json"]] {
        let listed = keys(&db, words).unwrap();
        assert!(
            listed.contains("Shop") && !listed.contains(secret),
            "{listed}"
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_makes_no_key() {
    let db = TestDb::new().await;
    let scope = ["--scope", "verifications:read"];
    for (words, why) in [
        (&["--scope", "everything"][..], "verifications:manage"),
        (&[], "--scope"),
        (&[&scope[..], &["--expires-in-days", "0"]].concat(), "0"),
        (
            &[&scope[..], &["--return-to", "javascript://"]].concat(),
            "--return-to",
        ),
        (
            &[&scope[..], &["--return-to", "http://app.example"]].concat(),
            "https",
        ),
        (&[&scope[..], &["--name", "two\nlines"]].concat(), "name"),
    ] {
        let words = [&["create", "--name", "Shop"], words].concat();
        let refused = keys(&db, &words).unwrap_err();
        assert!(refused.contains(why), "{words:?}: {refused}");
    }
    let nobody = keys(&db, &["revoke", "00000000-0000-0000-0000-000000000000"]);
    assert!(nobody.unwrap_err().contains("there is no key"));
    assert!(keys(&db, &["list"]).unwrap().contains("no keys yet"));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
    let api = Api::start().await;
    let (_, expired) = make(
        &api.world.db,
        &["--scope", "verifications:read", "--expires-in-days", "1"],
    );
    let past =
        "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL";
    sqlx::query(past)
        .execute(api.world.db.pool())
        .await
        .unwrap();
    let (id, revoked) = make(&api.world.db, &["--scope", "verifications:read"]);
    keys(&api.world.db, &["revoke", &id]).unwrap();
    let live = api.key.replace("vg_test_", "vg_live_");
    let unknown = KeyText::mint(false, [1; 32]).expose().to_owned();
    let basic = format!("Basic {}", api.key);

    let mut bodies = Vec::new();
    for shown in [
        None,
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {revoked}")),
        Some(format!("Bearer {live}")),
        Some(format!("Bearer {unknown}")),
        Some("Bearer nonsense".to_owned()),
        Some("Bearer".to_owned()),
        Some(basic),
    ] {
        for path in ["/v1/verifications", "/v1/users/ada"] {
            let request = api.request(Method::GET, path);
            let request = match &shown {
                Some(shown) => request.header("authorization", shown),
                None => request,
            };
            let refused = answer(request).await;
            refused.is_problem(401, "invalid_api_key");
            assert_eq!(refused.headers["www-authenticate"], "Bearer", "{shown:?}");
            let mut body = refused.body;
            body["request_id"] = Value::Null;
            bodies.push(body);
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn a_key_does_only_what_it_is_made_for() {
    let mut api = Api::start().await;
    let id = uuid::Uuid::nil();
    let calls = [
        (Scope::Read, Method::GET, "/v1/verifications".to_owned()),
        (Scope::Read, Method::GET, format!("/v1/verifications/{id}")),
        (Scope::Read, Method::GET, "/v1/users/ada".to_owned()),
        (
            Scope::Read,
            Method::GET,
            "/v1/users/ada/verifications".to_owned(),
        ),
        (Scope::Write, Method::POST, "/v1/verifications".to_owned()),
        (
            Scope::Manage,
            Method::POST,
            "/v1/users/ada/allow-attempt".to_owned(),
        ),
        (
            Scope::Manage,
            Method::POST,
            format!("/v1/verifications/{id}/cancel"),
        ),
        (
            Scope::Manage,
            Method::POST,
            format!("/v1/verifications/{id}/redact"),
        ),
    ];
    for scope in Scope::ALL {
        api.key = api.key_for(&[scope]).await;
        for (needed, method, path) in &calls {
            let told = answer(api.signed(method.clone(), path)).await;
            if *needed == scope {
                assert!(
                    ![401, 403].contains(&told.status.as_u16()),
                    "{path}: {told:?}"
                );
            } else {
                told.is_problem(403, "missing_scope");
            }
        }
    }
}
