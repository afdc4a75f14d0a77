//! `ALLOWED_ORIGINS`: whose pages may call us with a token of their own.

use super::{
    parse,
    reader::{Advice, Found, Reader},
};

pub(super) fn read(reader: &mut Reader<'_>) -> Found<Vec<String>> {
    reader.parsed("ALLOWED_ORIGINS", |text| {
        text.split(',').map(origin).collect()
    })
}

/// One origin, as a browser writes it.
fn origin(text: &str) -> Result<String, Advice> {
    let text = text.trim();
    if text.contains('*') || text == "null" {
        return Err(
            "names no page in particular: list each origin, such as https://app.example.com".into(),
        );
    }
    let url = parse::origin(text)?;
    if url.scheme() != "https" && !parse::is_loopback(&url) {
        return Err(
            "names an origin without https://, whose pages anybody on the way can change".into(),
        );
    }
    Ok(url.origin().ascii_serialization())
}
