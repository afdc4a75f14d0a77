//! Every rule of the settings.

mod dev;
mod endpoints;
mod jwt;
mod limits;
mod mail;
mod native;
mod oidc;
mod policies;
mod retention;
mod serve;
mod sign_in;
mod sources;
mod stripe;

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::*;

type Vars = BTreeMap<&'static str, String>;

/// A production that is in order.
const GOOD: &[(&str, &str)] = &[
    ("DATABASE_URL", "postgres://verigate:hunter2@db/verigate"),
    ("PUBLIC_URL", "https://verify.example.com"),
    ("STRIPE_SECRET_KEY", "sk_live_abc"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_live_abc"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_abc"),
    ("APP_NAME", "Acme"),
    ("SUPPORT_URL", "https://acme.example/help"),
    ("PRIVACY_URL", "https://acme.example/privacy"),
    ("HAND_OFF", "on"),
];

fn good_but(changes: &[(&'static str, &str)]) -> Vars {
    let all = GOOD.iter().chain(changes);
    all.map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

fn read(mode: Mode, vars: &Vars) -> Result<Config, ConfigError> {
    Config::from_lookup(mode, |name| vars.get(name).cloned())
}

fn serve(changes: &[(&'static str, &str)]) -> Config {
    read(Mode::Serve, &good_but(changes)).unwrap()
}

fn dev(vars: &[(&'static str, &str)]) -> Config {
    read(Mode::Dev, &only(vars)).unwrap()
}

fn only(vars: &[(&'static str, &str)]) -> Vars {
    vars.iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// The advice on the one problem of `result`, which must be with `variable`.
#[track_caller]
fn refused(result: Result<Config, ConfigError>, variable: &str) -> String {
    let error = result.unwrap_err();
    let [problem] = error.problems() else {
        panic!("not one problem: {error}");
    };
    assert_eq!(problem.variable, variable, "{error}");
    problem.advice.clone()
}

#[track_caller]
fn serve_refuses(name: &'static str, value: &str) -> String {
    refused(read(Mode::Serve, &good_but(&[(name, value)])), name)
}

#[track_caller]
fn dev_refuses(name: &'static str, value: &str) -> String {
    refused(read(Mode::Dev, &only(&[(name, value)])), name)
}

const TEST_KEYS: [(&str, &str); 2] = [
    ("STRIPE_SECRET_KEY", "sk_test_abc"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_test_abc"),
];

fn test_keys_and<'a>(name: &'static str, value: &'a str) -> [(&'static str, &'a str); 3] {
    [TEST_KEYS[0], TEST_KEYS[1], (name, value)]
}
