//! How people are told by e-mail: a mail server, and who the mails are from.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::reader::{Advice, Noted, Reader};

/// Where mail servers take mail from programs: with TLS from the first byte, and with TLS from `STARTTLS` on.
const PORT_OF_TLS: u16 = 465;
const PORT_OF_STARTTLS: u16 = 587;
const LONGEST_ADDRESS: usize = 254;

/// How people are told by e-mail.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `SMTP_URL`: who delivers it.
    pub server: ServerConfig,
    /// `MAIL_FROM`: the name it is from; may be empty.
    pub from_name: String,
    /// `MAIL_FROM`: the address it is from.
    pub from_address: String,
    /// `SMTP_CA`: certificates in PEM that the server's may come from, beside those the machine trusts.
    pub authorities: Option<String>,
}

/// A mail server, and how it is spoken with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// A name, or an address.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// What nobody on the way can read.
    pub protection: Protection,
    /// Who we are to it.
    pub credentials: Option<(String, SecretString)>,
}

/// What of a conversation is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// All of it.
    Tls,
    /// Everything that matters: without `STARTTLS` nothing is said.
    StartTls,
    /// Nothing; only ever to this machine.
    Nothing,
}

/// On if both `SMTP_URL` and `MAIL_FROM` are set.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<MailConfig>, Noted> {
    let authorities = reader.document("SMTP_CA", parse_authorities);
    let is_own = matches!(authorities, Ok(Some(_)));
    let server = reader.secret("SMTP_URL", |text| parse_server(text, is_own));
    let from = reader.parsed("MAIL_FROM", parse_from);
    let (server, from) = match (server?, from?) {
        (Some(server), Some(from)) => (server, from),
        (Some(_), None) => {
            let advice = "is not set: say who mails are from, such as Acme <no-reply@example.com>";
            return Err(reader.problem("MAIL_FROM", advice));
        }
        (None, other) => {
            let advice = "is not set: name the mail server, or remove MAIL_FROM and SMTP_CA";
            return match (other, authorities?) {
                (None, None) => Ok(None),
                _ => Err(reader.problem("SMTP_URL", advice)),
            };
        }
    };
    Ok(Some(MailConfig {
        server,
        from_name: from.0,
        from_address: from.1,
        authorities: authorities?,
    }))
}

fn parse_authorities(text: &str) -> Result<String, Advice> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text.to_owned())
    } else {
        Err("holds no certificate in PEM".into())
    }
}

fn parse_server(text: &str, has_own_authorities: bool) -> Result<ServerConfig, Advice> {
    let advice = "is no mail server's: write smtps://user:password@host, or smtp:// for one that begins with \
                  STARTTLS, with special characters of the password percent-encoded";
    let url = Url::parse(text).map_err(|_| advice)?;
    let bare = url.query().is_none() && url.fragment().is_none();
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() || !bare || !["", "/"].contains(&url.path()) {
        return Err(advice.into());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (protection, port) = match url.scheme() {
        "smtps" => (Protection::Tls, PORT_OF_TLS),
        // Whoever can listen there can read everything else, too. An authority that is named is wanted.
        "smtp" if is_this_machine(host) && !has_own_authorities => {
            (Protection::Nothing, PORT_OF_STARTTLS)
        }
        "smtp" => (Protection::StartTls, PORT_OF_STARTTLS),
        _ => return Err(advice.into()),
    };
    Ok(ServerConfig {
        host: host.to_owned(),
        port: url.port().unwrap_or(port),
        protection,
        credentials: credentials(&url).map_err(|()| advice)?,
    })
}

fn credentials(url: &Url) -> Result<Option<(String, SecretString)>, ()> {
    let decoded = |text| percent_decode_str(text).decode_utf8().map_err(|_| ());
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None) => Err(()),
        (user, Some(password)) => {
            let password = decoded(password)?.into_owned();
            Ok(Some((decoded(user)?.into_owned(), password.into())))
        }
    }
}

/// The host of an address that is none of the web's is not looked into by its parser.
fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// `Acme <no-reply@example.com>`, or the address alone.
fn parse_from(text: &str) -> Result<(String, String), Advice> {
    let (name, address) = match text.split_once('<') {
        Some((name, rest)) => (name.trim().trim_matches('"'), rest.strip_suffix('>')),
        None => ("", Some(text)),
    };
    let address = address.filter(|address| is_address(address));
    address
        .map(|address| (name.to_owned(), address.to_owned()))
        .ok_or_else(|| {
            "is no address to send from: write no-reply@example.com, or Acme <no-reply@example.com>"
                .into()
        })
}

fn is_address(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_graphic() && !"<>,;:\"()[]\\".contains(c);
    let sides = text.split_once('@');
    text.len() <= LONGEST_ADDRESS
        && text.chars().all(fits)
        && sides
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
}
