//! The routes of `/v1/identity/verification_reports`.

use serde_json::{Map, Value};

use super::{
    Call,
    paging::{AFTER, BEFORE, LIMIT, equals, in_range, page},
};
use crate::sandbox::{
    expand::{self, Expand},
    refusal::Refusal,
    shape::{EXPAND, Field, Shape, TEXT, may, read},
    world::World,
};

const URL: &str = "/v1/identity/verification_reports";
const NOUN: &str = "verificationreport";
static ONLY_EXPAND: [Field; 1] = [EXPAND];
static LIST: [Field; 8] = [
    EXPAND,
    LIMIT,
    AFTER,
    BEFORE,
    may("created", Shape::Range),
    may("client_reference_id", TEXT),
    may("verification_session", TEXT),
    may("type", Shape::Choice(&["document", "id_number"])),
];

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let expand = expand(&read(&call.form, &ONLY_EXPAND)?, "", call)?;
    let report = world.reports.find(&call.id);
    let report = report.ok_or_else(|| Refusal::missing(NOUN, &call.id, "report"))?;
    Ok(report.render(&expand))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let asked = read(&call.form, &LIST)?;
    let expand = expand(&asked, "data.", call)?;
    let page = page(&world.reports, &asked, NOUN, |report| {
        let is = |name, found: Option<&str>| equals(&asked, name, found);
        is("type", Some(&report.kind))
            && is("verification_session", Some(&report.session))
            && is("client_reference_id", report.client_reference_id.as_deref())
            && in_range(asked.get("created"), report.created)
    })?;
    Ok(page.render(URL, |report| report.render(&expand)))
}

fn expand(read: &Map<String, Value>, prefix: &str, call: &Call) -> Result<Expand, Refusal> {
    Expand::read(read.get("expand"), &expand::REPORT, prefix, call.restricted)
}
