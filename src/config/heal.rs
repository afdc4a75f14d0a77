//! How often what deliveries missed is looked for.

use std::time::Duration;

use super::{
    parse,
    reader::{Noted, Reader},
};

const USUAL: Duration = Duration::from_mins(5);

/// `HEAL_EVERY`: `None` is never, which has to be asked for by its name.
pub(super) fn read_heal_every(reader: &mut Reader<'_>) -> Result<Option<Duration>, Noted> {
    let found = reader.parsed("HEAL_EVERY", |text| match text {
        "none" => Ok(None),
        _ => parse::seconds(text, 10..=86_400).map(|every| Some(Duration::from_secs(every))),
    });
    Ok(found?.unwrap_or(Some(USUAL)))
}
