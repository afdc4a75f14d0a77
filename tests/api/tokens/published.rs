//! Published keys: fetched once for all, kept for a while, replaced, and away.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::json;

use super::{
    issuer::{Issuer, Publishes, Signer, claims, claims_but},
    server_of, status_of,
};
use crate::{
    server::{NOW, TestServer, unanswered},
    support::eventually,
};

const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

/// Lasts for days.
fn lasting() -> String {
    token_of(&Signer::rsa(), "rsa")
}

fn token_of(signer: &Signer, id: &str) -> String {
    signer.token(id, &claims_but(&json!({ "exp": NOW + 1_000_000 })))
}

fn other() -> Signer {
    Signer::of("other_rsa", Algorithm::RS256)
}

fn rsa() -> Publishes {
    Publishes::Keys(vec![Signer::rsa().jwk("rsa")])
}

fn later(server: &TestServer, seconds: i64) {
    server.clock.advance(TimeDelta::seconds(seconds));
}

#[tokio::test]
async fn two_hundred_at_once_share_one_fetch_and_what_comes_of_it() {
    let issuer = Issuer::start(rsa()).await;
    issuer.delay(Duration::from_millis(50));
    let server = server_of(&issuer).await;
    let token = lasting();
    let answers = join_all((0..200).map(|_| status_of(&server, &token))).await;
    assert_eq!(issuer.fetches(), 1);
    let refused = answers.iter().filter(|status| **status == UNAUTHORIZED);
    let refused = refused.count();
    // A machine with too much to do may give the fetch up; the database may turn some away.
    assert!(refused == 0 || refused == 200, "{answers:?}");
}

#[tokio::test]
async fn made_up_names_of_keys_cause_no_storm() {
    let issuer = Issuer::start(rsa()).await;
    let server = server_of(&issuer).await;
    let tokens: Vec<_> = (0..200)
        .map(|n| Signer::rsa().token(&format!("k{n}"), &claims()))
        .collect();
    let answers = join_all(tokens.iter().map(|token| status_of(&server, token))).await;
    assert!(answers.iter().all(|status| *status == UNAUTHORIZED));
    assert_eq!(issuer.fetches(), 1);
    later(&server, 10);
    join_all(tokens.iter().map(|token| status_of(&server, token))).await;
    assert_eq!(issuer.fetches(), 2, "one in ten seconds");
    assert_eq!(status_of(&server, &lasting()).await, StatusCode::OK);
}

#[tokio::test]
async fn who_hangs_up_ends_no_fetch_that_others_wait_for() {
    let issuer = Issuer::start(rsa()).await;
    issuer.delay(Duration::from_millis(300));
    let server = server_of(&issuer).await;
    let token = lasting();
    let impatient = tokio::spawn(server.get("/status").bearer_auth(&token).send());
    eventually("the fetch begins", async || {
        (issuer.fetches() > 0).then_some(())
    })
    .await;
    impatient.abort();
    assert_eq!(status_of(&server, &token).await, StatusCode::OK);
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_after_a_while_and_an_old_one_forgotten() {
    let issuer = Issuer::start(rsa()).await;
    let server = server_of(&issuer).await;
    let (old, new) = (lasting(), token_of(&other(), "new"));
    assert_eq!(status_of(&server, &old).await, StatusCode::OK);
    issuer.publish(Publishes::Keys(vec![
        Signer::rsa().jwk("rsa"),
        other().jwk("new"),
    ]));
    assert_eq!(
        status_of(&server, &new).await,
        UNAUTHORIZED,
        "too soon to ask again"
    );
    later(&server, 10);
    assert_eq!(status_of(&server, &new).await, StatusCode::OK);
    assert_eq!(status_of(&server, &old).await, StatusCode::OK);
    issuer.publish(Publishes::Keys(vec![other().jwk("new")]));
    assert_eq!(
        status_of(&server, &old).await,
        StatusCode::OK,
        "not known yet"
    );
    later(&server, 600);
    assert_eq!(status_of(&server, &old).await, UNAUTHORIZED);
    assert_eq!(status_of(&server, &new).await, StatusCode::OK);
    assert_eq!(issuer.fetches(), 3);
}

#[tokio::test]
async fn the_same_name_for_another_key_is_noticed() {
    let issuer = Issuer::start(rsa()).await;
    let server = server_of(&issuer).await;
    assert_eq!(status_of(&server, &lasting()).await, StatusCode::OK);
    issuer.publish(Publishes::Keys(vec![other().jwk("rsa")]));
    later(&server, 600);
    assert_eq!(status_of(&server, &lasting()).await, UNAUTHORIZED);
    assert_eq!(
        status_of(&server, &token_of(&other(), "rsa")).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn keys_that_are_known_outlast_an_outage_of_an_hour_and_no_more() {
    let issuer = Issuer::start(rsa()).await;
    let server = server_of(&issuer).await;
    let token = lasting();
    assert_eq!(status_of(&server, &token).await, StatusCode::OK);
    issuer.publish(Publishes::Status(503));
    later(&server, 3599);
    for _ in 0..5 {
        assert_eq!(status_of(&server, &token).await, StatusCode::OK);
    }
    assert_eq!(issuer.fetches(), 2, "it is not asked for each");
    later(&server, 1);
    assert_eq!(status_of(&server, &token).await, UNAUTHORIZED);
    issuer.publish(rsa());
    later(&server, 10);
    assert_eq!(status_of(&server, &token).await, StatusCode::OK);
}

#[tokio::test]
async fn a_clock_that_is_put_back_keeps_nothing_longer() {
    let issuer = Issuer::start(rsa()).await;
    let server = server_of(&issuer).await;
    assert_eq!(status_of(&server, &lasting()).await, StatusCode::OK);
    issuer.publish(Publishes::Keys(vec![other().jwk("rsa")]));
    later(&server, -60);
    let claims = claims_but(&json!({ "nbf": null }));
    let stolen = Signer::rsa().token("rsa", &claims);
    assert_eq!(status_of(&server, &stolen).await, UNAUTHORIZED);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn whatever_is_wrong_with_the_keys_it_is_401_and_one_fetch() {
    let keys = || vec![Signer::rsa().jwk("rsa")];
    let whole = json!({ "keys": keys() }).to_string();
    let huge = format!("{}{whole}", " ".repeat(300 * 1024));
    let many: Vec<_> = (0..64)
        .map(|n| other().jwk(&n.to_string()))
        .chain(keys())
        .collect();
    let cases = [
        Publishes::Silence,
        Publishes::Endless,
        Publishes::Status(500),
        Publishes::Status(404),
        Publishes::Status(204),
        Publishes::Elsewhere(keys()),
        Publishes::Keys(vec![]),
        Publishes::Keys(many),
        Publishes::Bytes(vec![]),
        Publishes::Bytes(huge.into_bytes()),
        Publishes::Bytes(b"<html>Sign in</html>".to_vec()),
        Publishes::Bytes(whole.as_bytes()[..whole.len() - 3].to_vec()),
        Publishes::Bytes(
            json!({ "keys": { "rsa": keys() } })
                .to_string()
                .into_bytes(),
        ),
        Publishes::Bytes(json!(keys()).to_string().into_bytes()),
    ];
    for publishes in cases {
        let what = format!("{publishes:.80?}");
        let issuer = Issuer::start(publishes).await;
        let server = server_of(&issuer).await;
        let token = lasting();
        let answers = join_all((0..20).map(|_| status_of(&server, &token))).await;
        assert!(
            answers.iter().all(|status| *status == UNAUTHORIZED),
            "{what}"
        );
        assert_eq!(issuer.fetches(), 1, "{what}");
        issuer.publish(rsa());
        later(&server, 10);
        assert_eq!(status_of(&server, &token).await, StatusCode::OK, "{what}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_401_for_all_and_asked_again_later() {
    let (socket, address) = unanswered();
    let url = format!("http://{address}/jwks.json");
    let server = super::server_with(("JWT_JWKS_URL", &url), "").await;
    let token = lasting();
    let answers = join_all((0..50).map(|_| status_of(&server, &token))).await;
    assert!(answers.iter().all(|status| *status == UNAUTHORIZED));
    let issuer = Issuer::on(socket.listen(64).unwrap(), rsa());
    assert_eq!(issuer.url, url);
    later(&server, 10);
    assert_eq!(status_of(&server, &token).await, StatusCode::OK);
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_token_may_leave_the_key_unnamed_only_where_there_is_one() {
    let issuer = Issuer::start(rsa()).await;
    let server = server_of(&issuer).await;
    let unnamed = Signer::rsa().write(&json!({ "alg": "RS256" }), &claims());
    assert_eq!(status_of(&server, &unnamed).await, StatusCode::OK);
    let mut nameless = Signer::rsa().jwk("rsa");
    nameless.as_object_mut().unwrap().remove("kid");
    issuer.publish(Publishes::Keys(vec![nameless]));
    later(&server, 600);
    let fresh = claims_but(&json!({ "exp": NOW + 1_000_000 }));
    let unnamed = Signer::rsa().write(&json!({ "alg": "RS256" }), &fresh);
    assert_eq!(status_of(&server, &unnamed).await, StatusCode::OK);
    assert_eq!(
        status_of(&server, &lasting()).await,
        UNAUTHORIZED,
        "no key has that name"
    );
}
