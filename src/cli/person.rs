//! Whom a command is about.

use anyhow::bail;

use crate::{
    domain::Person,
    store::{self, Db},
};

/// The person of this name, of this realm if several have it.
pub(super) async fn find_named(
    db: &Db,
    external_id: &str,
    realm: Option<&str>,
) -> anyhow::Result<Person> {
    let mut people = store::list_people(db, external_id).await?;
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
    Ok(Person {
        realm: person.realm.clone(),
        external_id: person.external_id.clone(),
        email: None,
    })
}
