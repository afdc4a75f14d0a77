//! Who asks to be verified, and through what.

/// A person, as the host application names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// Who vouches for the id; the same id in two realms is two people.
    pub realm: String,
    /// The application's own name for them.
    pub external_id: String,
    /// Their e-mail address, where the application told it.
    pub email: Option<String>,
}

/// What a session is asked for by, which decides what the answer must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// A page that opens Stripe's window over itself.
    Modal,
    /// A form, or a page without script, that goes to Stripe and comes back.
    Redirect,
    /// Stripe's SDK for phones.
    Native,
}

impl Client {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Modal, Self::Redirect, Self::Native];

    /// As stored, and as a request names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Modal => "modal",
            Self::Redirect => "redirect",
            Self::Native => "native",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_reads_back_as_itself_and_nothing_else_does() {
        for client in Client::ALL {
            assert_eq!(Client::parse(client.as_str()), Some(client));
        }
        assert_eq!(Client::parse("Modal"), None);
    }
}
