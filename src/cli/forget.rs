//! `verigate forget`: forgets a person at the operator's word.

use std::io::Write as _;

use anyhow::bail;

use super::database::find_database;
use crate::{domain::Person, store, verification::forget_person};

pub(super) async fn run(
    lookup: impl Fn(&str) -> Option<String>,
    external_id: &str,
    realm: Option<&str>,
) -> anyhow::Result<()> {
    let (url, _running) = find_database(lookup).await?;
    let db = store::connect(&url, 1)?;
    let mut people = store::list_people(&db, external_id).await?;
    people.retain(|person| realm.is_none_or(|realm| person.realm == realm));
    let [person] = people.as_slice() else {
        if people.is_empty() {
            bail!(
                "nobody is called {external_id:?} here: they never were, or are forgotten already"
            );
        }
        let realms: Vec<&str> = people.iter().map(|it| it.realm.as_str()).collect();
        bail!(
            "several people are called {external_id:?}: say which with --realm, of {}",
            realms.join(", ")
        );
    };
    let person = Person {
        realm: person.realm.clone(),
        external_id: person.external_id.clone(),
        email: None,
    };
    let erasure = forget_person(&db, &person, None).await?;
    db.close().await;
    let Some(erasure) = erasure else {
        bail!("nobody is called {external_id:?} any more: somebody else was faster");
    };
    let mut out = std::io::stdout();
    writeln!(out, "forgotten, for good; the reference is {}", erasure.id)?;
    if erasure.waiting > 0 {
        writeln!(
            out,
            "the running server has Stripe erase {} of their verifications, which takes up to four days",
            erasure.waiting
        )?;
    }
    Ok(())
}
