//! One mail's way to the mail server, step by step, so that a refusal of ours can be told from one of the address.

use std::{io, time::Duration};

use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter},
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use url::Host;

use super::MailError;
use crate::config::{MailConfig, Protection};

/// How long each of the server's addresses may take to be connected to, for the next one has its turn after it; how long
/// all of them and the greeting; and a mail in all.
const CONNECT: Duration = Duration::from_secs(2);
const GREETING: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a farewell may take, which changes nothing.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a mail was not sent, in a word that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// What it tells is in doubt.
    Doubtful,
    /// It cannot be written.
    Unwritable,
    /// The address is none that mail can be sent to.
    Unaddressable,
    /// The server could not be connected to.
    Unreachable,
    /// It took too long.
    TimedOut,
    /// The connection broke, or what came was no SMTP.
    Broken,
    /// There is no `STARTTLS`, or its certificate is not to be trusted.
    Unprotected,
    /// It does not let us in, or offers no way in.
    SignIn,
    /// It answered this, for now or because of us.
    Answered(u16),
    /// It answered this for good, because of the address.
    Refused(u16),
}

impl Failure {
    /// As stored.
    pub(super) fn word(self) -> String {
        let word = match self {
            Self::Answered(code) => return format!("answered_{code}"),
            Self::Refused(code) => return format!("refused_{code}"),
            Self::Doubtful => "in_doubt",
            Self::Unwritable => "unwritable",
            Self::Unaddressable => "unusable_address",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken_off",
            Self::Unprotected => "no_trusted_tls",
            Self::SignIn => "sign_in_refused",
        };
        word.to_owned()
    }

    /// Trying again would change nothing.
    pub(super) fn is_final(self) -> bool {
        matches!(
            self,
            Self::Unwritable | Self::Unaddressable | Self::Refused(_)
        )
    }
}

/// An address that mail can be sent to. Nothing in it can end a line: each is checked to the letter.
pub(super) fn address(text: &str) -> Result<Address, Failure> {
    let none = Failure::Unaddressable;
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(none);
    }
    let (name, host) = text.rsplit_once('@').ok_or(none)?;
    // As servers without SMTPUTF8 know it.
    let Ok(Host::Domain(host)) = Host::parse(host) else {
        return Err(none);
    };
    Address::new(name, host).map_err(|_| none)
}

/// The mail server.
pub(super) struct Post {
    host: String,
    port: u16,
    protection: Protection,
    tls: TlsParameters,
    credentials: Option<(String, SecretString)>,
    hello: ClientId,
    sender: Address,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Post {
    pub(super) fn new(config: &MailConfig, sender: Address, name: &str) -> Result<Self, MailError> {
        let server = &config.server;
        let unusable = |error: Error| MailError::Certificates(error.into());
        let mut tls = TlsParameters::builder(server.host.clone());
        if let Some(pem) = &config.authorities {
            tls =
                tls.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(unusable)?);
        }
        Ok(Self {
            host: server.host.clone(),
            port: server.port,
            protection: server.protection,
            tls: tls.build().map_err(unusable)?,
            credentials: server.credentials.clone(),
            hello: ClientId::Domain(name.to_owned()),
            sender,
        })
    }

    /// Sends it. `Ok` is what the server said once it had all of it.
    pub(super) async fn send(&self, to: &Address, mail: &[u8]) -> Result<(), Failure> {
        let conversation = timeout(PATIENCE, async {
            let mut line = self.sign_in().await?;
            self.hand_over(&mut line, to, mail).await?;
            Ok(line)
        });
        let mut line = conversation.await.unwrap_or(Err(Failure::TimedOut))?;
        let _ = timeout(FAREWELL, line.quit()).await;
        Ok(())
    }

    async fn sign_in(&self) -> Result<AsyncSmtpConnection, Failure> {
        let from_the_start = self.protection == Protection::Tls;
        let tls = from_the_start.then(|| self.tls.clone());
        let server = (self.host.as_str(), self.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT), &self.hello, tls, None);
        let connected = timeout(GREETING, connecting).await;
        let mut line =
            connected
                .map_err(|_| Failure::TimedOut)?
                .map_err(|error| match of_tls(&error) {
                    Failure::Unprotected if !from_the_start => Failure::Broken,
                    Failure::Broken if !has_been_there(&error) => Failure::Unreachable,
                    failure => failure,
                })?;
        if self.protection == Protection::StartTls {
            if !line.can_starttls() {
                return Err(Failure::Unprotected);
            }
            let started = line.starttls(self.tls.clone(), &self.hello).await;
            started.map_err(|error| of_tls(&error))?;
        }
        if let Some((user, password)) = &self.credentials {
            let password = password.expose_secret().to_owned();
            let credentials = Credentials::new(user.clone(), password);
            let ways = [Mechanism::Plain, Mechanism::Login];
            let let_in = line.auth(&ways, &credentials).await;
            let_in.map_err(|error| match (error.status(), error.is_client()) {
                (Some(_), _) | (_, true) => Failure::SignIn,
                _ => failure(&error),
            })?;
        }
        Ok(line)
    }

    /// What is refused before the address is named is not because of it, so it is tried again. What is refused later may
    /// be: many servers say only then that it is us they do not want.
    async fn hand_over(
        &self,
        line: &mut AsyncSmtpConnection,
        to: &Address,
        mail: &[u8],
    ) -> Result<(), Failure> {
        let mut options = Vec::new();
        let is_plain = AsRef::<str>::as_ref(to).is_ascii();
        if !is_plain {
            if !line.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Failure::Unaddressable);
            }
            options.push(MailParameter::SmtpUtfEight);
        }
        let from = Mail::new(Some(self.sender.clone()), options);
        line.command(from).await.map_err(|error| failure(&error))?;
        let to = Rcpt::new(to.clone(), Vec::new());
        let refused = |error: Error| refusal(&error, &[550, 551, 553]);
        line.command(to).await.map_err(refused)?;
        line.command(Data)
            .await
            .map_err(|error| refusal(&error, &[]))?;
        let taken = line.message(mail).await;
        taken.map_err(|error| refusal(&error, &[]))?;
        Ok(())
    }
}

/// What the server says may hold the address, so that its number alone is taken.
fn failure(error: &Error) -> Failure {
    match error.status() {
        Some(code) => Failure::Answered(code.into()),
        None if error.is_timeout() => Failure::TimedOut,
        None => Failure::Broken,
    }
}

/// The same where TLS begins: a certificate that is not to be trusted comes as data that is none.
fn of_tls(error: &Error) -> Failure {
    let untrusted = cause(error).is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData);
    if untrusted || error.is_tls() {
        Failure::Unprotected
    } else {
        failure(error)
    }
}

/// A refusal is final if it is of the address, by its enhanced code (RFC 3463), or, if it has none, by being one of these.
fn refusal(error: &Error, of_the_address: &[u16]) -> Failure {
    let Failure::Answered(code) = failure(error) else {
        return failure(error);
    };
    let said = std::error::Error::source(error).map(ToString::to_string);
    let is_final = match said.as_deref().and_then(enhanced) {
        // Of the sender's address.
        Some((5, 1, 7 | 8)) => false,
        // No such address, no such or a closed mailbox, an address that is not ASCII.
        Some((5, 1 | 2, _) | (5, 6, 7)) => true,
        Some(_) => false,
        None => of_the_address.contains(&code),
    };
    if is_final {
        Failure::Refused(code)
    } else {
        Failure::Answered(code)
    }
}

/// The enhanced status code that an answer begins with.
fn enhanced(said: &str) -> Option<(u16, u16, u16)> {
    let mut parts = said.split_whitespace().next()?.split('.');
    let mut part = || parts.next()?.parse().ok();
    let code = (part()?, part()?, part()?);
    parts.next().is_none().then_some(code)
}

fn cause(error: &Error) -> Option<&io::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(cause) = error.downcast_ref() {
            return Some(cause);
        }
        source = error.source();
    }
    None
}

/// Was there anybody who hung up, rather than nobody at all?
fn has_been_there(error: &Error) -> bool {
    let hung_up = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
    ];
    error.is_response() || cause(error).is_some_and(|cause| hung_up.contains(&cause.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_servers_know_it() {
        for (text, sent) in [
            ("ada@acme.example", "ada@acme.example"),
            ("ada+spam@Acme.Example", "ada+spam@acme.example"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ädä@acme.example", "ädä@acme.example"),
        ] {
            let address = address(text).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Ok(sent), "{text}");
        }
    }

    #[test]
    fn what_could_be_more_than_an_address_is_none() {
        for text in [
            "",
            "ada",
            "@acme.example",
            "ada@",
            "ada@acme.example\r\nBcc: eve@acme.example",
            "ada@acme.example\nRCPT TO:<eve@acme.example>",
            "ada\r\n@acme.example",
            "\"ada\r\nBcc: eve\"@acme.example",
            "ada@acme.example\0",
            "ada@acme.example>, <eve@acme.example",
            "<ada@acme.example>",
            "ada@acme.example,eve@acme.example",
            "ada eve@acme.example",
            "ada@acme.example eve",
            "ada@acme.example\u{2028}Bcc: eve@acme.example",
            "ada@acme.example\u{85}",
            "ada@acme%0d%0a.example",
        ] {
            assert_eq!(
                address(text).map(|it| it.to_string()),
                Err(Failure::Unaddressable),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_enhanced_code_is_read_where_there_is_one() {
        assert_eq!(enhanced("5.1.1 no such user"), Some((5, 1, 1)));
        assert_eq!(enhanced("4.7.0"), Some((4, 7, 0)));
        for said in [
            "",
            "no such user",
            "5.1",
            "5.1.1.1 what",
            "5.x.1 what",
            "5.1.99999999 what",
        ] {
            assert_eq!(enhanced(said), None, "{said}");
        }
    }

    #[test]
    fn only_what_will_not_change_by_itself_is_final() {
        let will = [
            Failure::TimedOut,
            Failure::SignIn,
            Failure::Unprotected,
            Failure::Answered(550),
            Failure::Answered(451),
        ];
        assert!(will.iter().all(|failure| !failure.is_final()));
        assert!(Failure::Refused(550).is_final() && Failure::Unaddressable.is_final());
    }
}
