//! Who asks people to verify.

use url::Url;

use super::{
    parse,
    reader::{Noted, Reader},
};

/// Who asks people to verify, and where they find more.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// `APP_NAME`: the application's name.
    pub name: String,
    /// `APP_PURPOSE`: one sentence that says why it asks; may be empty.
    pub purpose: String,
    /// `SUPPORT_URL`: where help is; a page or a `mailto:` address.
    pub support_url: Url,
    /// `PRIVACY_URL`: the privacy policy.
    pub privacy_url: Url,
    /// `ALTERNATIVE_URL`: the way to verify without biometrics, if there is one.
    pub alternative_url: Option<Url>,
    /// `APP_URL`: where "back to the application" leads.
    pub home_url: Option<Url>,
}

impl AppConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let is_dev = reader.mode().is_dev();
        let example = |address: &str| is_dev.then(|| Url::parse(address).ok()).flatten();
        let name = reader.parsed("APP_NAME", parse::line);
        let name = reader.required(
            "APP_NAME",
            name,
            is_dev.then(|| "Acme".to_owned()),
            "set it to the name under which users know your application",
        );
        let purpose = reader.parsed("APP_PURPOSE", parse::line);
        let support_url = reader.parsed("SUPPORT_URL", parse::help);
        let support_url = reader.required(
            "SUPPORT_URL",
            support_url,
            example("https://example.com/help"),
            "set it to a page or a mailto: address where people find help",
        );
        let privacy_url = reader.parsed("PRIVACY_URL", parse::page);
        let privacy_url = reader.required(
            "PRIVACY_URL",
            privacy_url,
            example("https://example.com/privacy"),
            "set it to the address of your privacy policy",
        );
        let alternative_url = reader.parsed("ALTERNATIVE_URL", parse::help);
        let home_url = reader.parsed("APP_URL", parse::page);
        Ok(Self {
            name: name?,
            purpose: purpose?.unwrap_or_default(),
            support_url: support_url?,
            privacy_url: privacy_url?,
            alternative_url: alternative_url?.or(example("https://example.com/other-way")),
            home_url: home_url?.or(example("https://example.com/")),
        })
    }
}
