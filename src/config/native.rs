//! Phones' apps: whether they are served, and how people get back into them.

use url::Url;

use super::{
    parse,
    reader::{Advice, Noted, Reader},
};

/// The web's own schemes but https, and those that run or read something where they are opened.
const NOT_AN_APPS: [&str; 8] = [
    "http",
    "javascript",
    "data",
    "file",
    "blob",
    "about",
    "vbscript",
    "mailto",
];

/// Whether apps are served, and how people get back into them.
#[derive(Clone, Debug)]
pub struct NativeConfig {
    /// `NATIVE`: does a program get a key for the phone SDKs?
    pub on: bool,
    /// `APP_LINKS`: what opens the app; the first is the usual one.
    pub links: Vec<String>,
}

impl NativeConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let usual = reader.mode().is_dev();
        let on = reader.parsed("NATIVE", parse::switch);
        let links = reader.parsed("APP_LINKS", links);
        Ok(Self {
            on: on?.unwrap_or(usual),
            links: links?.unwrap_or_default(),
        })
    }
}

fn links(text: &str) -> Result<Vec<String>, Advice> {
    let links: Vec<_> = text.split(',').map(str::trim).collect();
    if links.iter().all(|link| opens_an_app(link)) {
        Ok(links.into_iter().map(str::to_owned).collect())
    } else {
        Err("holds something that opens no app: write links such as https://example.com/app or myapp://verified, \
             separated by commas"
            .into())
    }
}

fn opens_an_app(link: &str) -> bool {
    let plain = link.bytes().all(|byte| byte.is_ascii_graphic());
    let Ok(url) = Url::parse(link) else {
        return false;
    };
    // As written, so that nothing but its own scheme can be read out of it.
    plain
        && link.starts_with(&format!("{}://", url.scheme()))
        && !NOT_AN_APPS.contains(&url.scheme())
        && (url.scheme() != "https" || parse::page(link).is_ok())
}
