//! What the README tells operators to watch is there to be watched.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    observe::insert_attempt,
    program::{Program, run, working_folder},
    support::eventually,
    world::{World, http_client},
};

/// A server with metrics, and where they are.
async fn start(world: &World, own: &[(&str, &str)]) -> (Program, String, tempfile::TempDir) {
    let folder = working_folder();
    let mut variables = vec![
        ("DATABASE_URL", world.db.url()),
        ("STRIPE_API_BASE", &world.sandbox.base),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
    ];
    variables.extend(own);
    let mut program = Program::start(&["dev"], &variables, folder.path());
    let told = "\"metrics are served\",\"address\":\"";
    let address = program.word_after(told).await;
    let address = format!("http://{}/metrics", address.split('"').next().unwrap());
    (program, address, folder)
}

async fn scrape(address: &str) -> Option<String> {
    let scraped = http_client().get(address).send().await.ok()?;
    scraped.text().await.ok()
}

fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let names = words.filter(|word| word.starts_with("verigate_"));
    names.collect()
}

#[tokio::test]
async fn every_metric_that_operators_are_told_of_is_in_a_scrape() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("\n## Operating it\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let told = names(section);
    assert!(told.len() > 6, "{told:?}");

    let world = World::new().await;
    // Something to heal, and somebody to tell of it.
    let attempt = insert_attempt(world.db.pool(), "ada").await;
    let session = world.create_for(attempt).await;
    let success = json!({ "case": "success" });
    world.act(&session, "outcome", &success).await;
    let endpoints = format!(
        r#"{{"shop": {{"url": "https://192.0.2.1/", "secrets": ["whsec_{}"]}}}}"#,
        "A".repeat(32)
    );
    let (_program, address, _folder) = start(&world, &[("WEBHOOK_ENDPOINTS", &endpoints)]).await;
    eventually("every metric", async || {
        let text = scrape(&address).await?;
        let found = names(&text);
        // A histogram is shown by its parts.
        let is_found = |name: &&str| found.iter().any(|it| it.starts_with(*name));
        told.iter().all(is_found).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_never_could_heal_shows_no_end_of_an_age() {
    let world = World::new().await;
    // As with a restricted key that may not read events.
    let refused = json!({ "kind": "error", "status": 403, "path": "/v1/events", "times": 0 });
    world.sandbox.fault(refused).await;
    let (_program, address, _folder) = start(&world, &[]).await;
    eventually("the age", async || {
        let text = scrape(&address).await?;
        text.contains("verigate_last_heal_age_seconds inf\n")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_list_of_messages_says_that_there_are_more() {
    let world = World::new().await;
    let many = "INSERT INTO users (id, realm, external_id) VALUES (gen_random_uuid(), 'test', 'ada');
        INSERT INTO outbox (id, user_id, sequence, livemode, type, data)
        SELECT gen_random_uuid(), u.id, n, false, 'verification.verified', '{}' FROM users u, generate_series(1, 1001) n;
        INSERT INTO outbox_deliveries (endpoint, user_id, sequence, message_id)
        SELECT 'shop', user_id, sequence, id FROM outbox";
    sqlx::raw_sql(many).execute(world.db.pool()).await.unwrap();
    let folder = working_folder();
    let variables = [("DATABASE_URL", world.db.url())];
    let list = || {
        let output = run(&["messages", "list"], &variables, folder.path());
        let [listed, said] =
            [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (listed.lines().count(), said)
    };
    let (listed, said) = list();
    assert_eq!(listed, 1000);
    assert!(said.contains("and more"), "{said}");
    sqlx::query("DELETE FROM outbox_deliveries WHERE sequence = 1")
        .execute(world.db.pool())
        .await
        .unwrap();
    assert_eq!(list(), (1000, String::new()));
}
