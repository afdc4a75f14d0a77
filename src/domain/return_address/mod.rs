//! Where a person may be sent back to: addresses of the application's own, and nobody else's.
//!
//! An address is compared as text with what the operator allowed for the application's key, and then once more as a
//! browser would read it. Whatever could be read in two ways is refused, even where one of them would be harmless.

use std::fmt;

use url::{Host, Url};

/// Far more than any address somebody means to come back to.
const LONGEST: usize = 2048;

/// Schemes that no application of the operator's owns: the web's own, what runs or reads something where it is
/// opened, and what opens another program than the one that was meant.
const NOT_AN_APPS: [&str; 32] = [
    "about",
    "android-app",
    "blob",
    "callto",
    "chrome",
    "chrome-extension",
    "content",
    "data",
    "facetime",
    "file",
    "filesystem",
    "ftp",
    "geo",
    "http",
    "https",
    "intent",
    "itms-apps",
    "jar",
    "javascript",
    "livescript",
    "mailto",
    "market",
    "mhtml",
    "ms-settings",
    "resource",
    "search-ms",
    "sms",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// One origin, or one scheme of an app, that people may be sent back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRule {
    /// `https://app.example` or `myapp://`.
    text: String,
    /// An origin; else an app's scheme.
    is_web: bool,
}

/// Why a rule cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnRuleError {
    /// Neither.
    #[error(
        "it is neither an origin such as https://app.example nor an app's scheme such as myapp://"
    )]
    Unreadable,
    /// An origin without https.
    #[error("it has no https; only a test key may lead to http, and only on this machine")]
    Insecure,
    /// A scheme that is not an app's.
    #[error("its scheme is not an app's own")]
    NotAnApps,
}

/// An address that was checked against the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAddress(String);

/// Why an address is not taken. It never repeats the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnAddressError {
    /// It holds what could be read in two ways, or is too long.
    #[error("the return address is not written plainly")]
    Unplain,
    /// No rule names where it leads.
    #[error("the return address leads to none of the origins and apps that the key may name")]
    NotAllowed,
}

impl ReturnRule {
    /// Reads `https://app.example`, with a port if need be, or `myapp://`. With test keys also `http` on this machine.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str, livemode: bool) -> Result<Self, ReturnRuleError> {
        if !is_plain(text) {
            return Err(ReturnRuleError::Unreadable);
        }
        match text.strip_suffix("://") {
            Some(scheme) => Self::of_app(scheme),
            None => Self::of_web(text, livemode),
        }
    }

    fn of_app(scheme: &str) -> Result<Self, ReturnRuleError> {
        let is_scheme = scheme.len() > 1
            && scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c));
        if !is_scheme {
            return Err(ReturnRuleError::Unreadable);
        }
        if NOT_AN_APPS.contains(&scheme) {
            return Err(ReturnRuleError::NotAnApps);
        }
        Ok(Self {
            text: format!("{scheme}://"),
            is_web: false,
        })
    }

    fn of_web(text: &str, livemode: bool) -> Result<Self, ReturnRuleError> {
        let url = Url::parse(text).map_err(|_| ReturnRuleError::Unreadable)?;
        let origin = url.origin();
        // As a browser writes it: so there is one way to write each, and a text can be compared.
        if !origin.is_tuple() || origin.ascii_serialization() != text || text.contains('*') {
            return Err(ReturnRuleError::Unreadable);
        }
        match url.scheme() {
            "https" => {}
            "http" if !livemode && is_loopback(&url) => {}
            "http" => return Err(ReturnRuleError::Insecure),
            _ => return Err(ReturnRuleError::NotAnApps),
        }
        Ok(Self {
            text: text.to_owned(),
            is_web: true,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn allows(&self, address: &str, url: &Url) -> bool {
        let Some(rest) = address.strip_prefix(&self.text) else {
            return false;
        };
        if !self.is_web {
            return self.text.strip_suffix("://") == Some(url.scheme());
        }
        let ends = rest.is_empty() || rest.starts_with(['/', '?', '#']);
        let bare = url.username().is_empty() && url.password().is_none();
        ends && bare && url.origin().ascii_serialization() == self.text
    }
}

impl fmt::Display for ReturnRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ReturnAddress {
    /// Takes an address that one of the rules names.
    ///
    /// # Errors
    /// When it is not written plainly, or no rule names it.
    pub fn parse(text: &str, allowed: &[ReturnRule]) -> Result<Self, ReturnAddressError> {
        if !is_plain(text) || text.len() > LONGEST {
            return Err(ReturnAddressError::Unplain);
        }
        let url = Url::parse(text).map_err(|_| ReturnAddressError::Unplain)?;
        if allowed.iter().any(|rule| rule.allows(text, &url)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReturnAddressError::NotAllowed)
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ReturnAddress> for String {
    fn from(address: ReturnAddress) -> Self {
        address.0
    }
}

/// Printable ASCII without what one reader takes for a slash or a quote and another does not.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}'".contains(&byte))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
