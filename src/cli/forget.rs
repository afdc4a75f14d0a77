//! `verigate forget`: forgets a person at the operator's word.

use std::io::Write as _;

use anyhow::bail;

use super::{database::find_database, person::find_named};
use crate::{store, verification::forget_person};

pub(super) async fn run(
    lookup: impl Fn(&str) -> Option<String>,
    external_id: &str,
    realm: Option<&str>,
) -> anyhow::Result<()> {
    let (url, _running) = find_database(lookup).await?;
    let db = store::connect(&url, 1)?;
    let person = find_named(&db, external_id, realm).await?;
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
