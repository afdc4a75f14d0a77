//! What a mail says, in the words of the verify page, as text and as HTML. No name, no document, and no link that
//! proves anything: whoever reads it has to sign in as always.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use lettre::{
    Address,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use url::Url;

use super::MailError;
use crate::{
    config::{Config, MailConfig},
    domain::{Advice, Retry},
    store::Message,
};

/// So that no machine answers it.
const AUTOMATIC: (HeaderName, &str) = (
    HeaderName::new_from_ascii_str("Auto-Submitted"),
    "auto-generated",
);

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// They are verified.
    Verified,
    /// They are not, and this is why and what helps.
    NotVerified(Advice),
}

/// Who writes, and where everything is.
#[derive(Debug)]
pub(super) struct House {
    sender: Mailbox,
    app_name: String,
    /// The verify page, where whoever comes to it can sign in.
    verify_url: Option<String>,
    host: String,
    support_url: String,
    alternative_url: Option<String>,
    home_url: Option<String>,
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct TextLetter<'a> {
    letter: &'a Letter<'a>,
}

#[derive(Template)]
#[template(path = "mail/letter.html", whitespace = "minimize")]
struct HtmlLetter<'a> {
    letter: &'a Letter<'a>,
}

struct Letter<'a> {
    house: &'a House,
    news: &'a News,
    is_test: bool,
}

impl Letter<'_> {
    fn heading(&self) -> &'static str {
        match self.news {
            News::Verified => "Your identity is verified",
            News::NotVerified(advice) => advice.heading,
        }
    }

    fn may_retry(advice: &Advice) -> bool {
        advice.retry != Retry::No
    }
}

impl House {
    pub(super) fn new(config: &Config, mail: &MailConfig) -> Result<Self, MailError> {
        let optional = |url: &Option<Url>| url.as_ref().map(ToString::to_string);
        let name = Some(mail.from_name.clone()).filter(|name| !name.is_empty());
        let address: Address = mail.from_address.parse().map_err(|_| MailError::Sender)?;
        // Who comes by a link or a token of the application's would stand before it as a stranger.
        let verify_url = config.sign_in.oidc.as_ref().map(|_| {
            let mut url = config.public_url.clone();
            url.set_path("verify");
            url.to_string()
        });
        Ok(Self {
            sender: Mailbox::new(name, address),
            app_name: config.app.name.clone(),
            verify_url,
            host: config
                .public_url
                .host_str()
                .unwrap_or("localhost")
                .to_owned(),
            support_url: config.app.support_url.to_string(),
            alternative_url: optional(&config.app.alternative_url),
            home_url: optional(&config.app.home_url),
        })
    }

    /// The address that mails are from.
    pub(super) fn sender(&self) -> &Address {
        &self.sender.email
    }

    /// Who we are among hosts.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The whole mail as it is sent.
    pub(super) fn write(
        &self,
        message: &Message,
        to: &Address,
        news: &News,
        now: i64,
    ) -> Result<Vec<u8>, ()> {
        let letter = &Letter {
            house: self,
            news,
            is_test: !message.livemode,
        };
        let text = TextLetter { letter }.render().map_err(|_| ())?;
        let html = HtmlLetter { letter }.render().map_err(|_| ())?;
        let now = Duration::from_secs(u64::try_from(now).unwrap_or(0));
        let (name, value) = AUTOMATIC;
        let mail = lettre::Message::builder()
            .from(self.sender.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(format!("{} – {}", letter.heading(), self.app_name))
            .date(UNIX_EPOCH + now)
            .message_id(Some(format!("<{}@{}>", message.name(), self.host)))
            .raw_header(HeaderValue::new(name, value.to_owned()))
            .multipart(MultiPart::alternative_plain_html(text, html));
        mail.map(|mail| mail.formatted()).map_err(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain;

    #[test]
    fn a_mail_leads_to_where_its_reader_can_go_on_and_nowhere_else() {
        let verify = "https://verify.example/verify";
        let home = "https://acme.example/home";
        let retry = "Go to Acme and start again from there";
        for (verify_url, home_url, code, words) in [
            (Some(verify), Some(home), "document_expired", "Try again"),
            (
                Some(verify),
                None,
                "selfie_manipulated",
                "See where things stand",
            ),
            (None, Some(home), "document_expired", retry),
            (None, Some(home), "selfie_manipulated", "Back to Acme"),
            (None, None, "document_expired", retry),
            (None, None, "selfie_manipulated", "Contact help"),
        ] {
            let house = House {
                sender: "no-reply@acme.example".parse().unwrap(),
                app_name: "Acme".to_owned(),
                verify_url: verify_url.map(str::to_owned),
                host: "verify.example".to_owned(),
                support_url: "https://acme.example/help".to_owned(),
                alternative_url: None,
                home_url: home_url.map(str::to_owned),
            };
            let letter = &Letter {
                house: &house,
                news: &News::NotVerified(domain::advice(Some(code))),
                is_test: false,
            };
            let text = TextLetter { letter }.render().unwrap();
            let html = HtmlLetter { letter }.render().unwrap();
            for said in [text, html] {
                assert!(said.contains(words), "{words} in {said}");
                let leads = |url| said.contains(url);
                assert_eq!(leads(verify), verify_url.is_some(), "{said}");
                assert_eq!(leads(home), verify_url.or(home_url) == Some(home), "{said}");
                let helps = code == "selfie_manipulated";
                assert_eq!(said.contains("Contact help"), helps, "{said}");
            }
        }
    }
}
