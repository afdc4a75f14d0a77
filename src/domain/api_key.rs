//! Keys of applications: how one is written, and what it may do.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const LIVE: &str = "vg_live_";
const TEST: &str = "vg_test_";
/// 256 random bits, so that a plain hash of a key is as good as the key is hard to guess.
const RANDOM_BYTES: usize = 32;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Ask for a person to be verified.
    Write,
    /// See where people and their verifications stand.
    Read,
    /// Cancel and redact verifications, allow another attempt, and forget people.
    Manage,
}

impl Scope {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Manage];

    /// As stored, and as an operator names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "verifications:write",
            Self::Read => "verifications:read",
            Self::Manage => "verifications:manage",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A whole key, as its owner shows it. Only its hash is ever kept.
#[derive(Clone, Debug)]
pub struct KeyText {
    text: SecretString,
    livemode: bool,
}

impl KeyText {
    /// Writes a key out of fresh random bytes.
    pub fn mint(livemode: bool, random: [u8; RANDOM_BYTES]) -> Self {
        let prefix = if livemode { LIVE } else { TEST };
        Self {
            text: format!("{prefix}{}", hex::encode(random)).into(),
            livemode,
        }
    }

    /// Reads a key that somebody shows; `None` for what can be none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, livemode) = match (text.strip_prefix(LIVE), text.strip_prefix(TEST)) {
            (Some(rest), _) => (rest, true),
            (_, Some(rest)) => (rest, false),
            (None, None) => return None,
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_whole = rest.len() == 2 * RANDOM_BYTES && rest.bytes().all(is_hex);
        is_whole.then(|| Self {
            text: text.to_owned().into(),
            livemode,
        })
    }

    /// Is it for a server with live keys of Stripe's?
    pub fn livemode(&self) -> bool {
        self.livemode
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }

    /// The key itself, to be shown once.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_itself_and_tells_its_mode() {
        for livemode in [true, false] {
            let minted = KeyText::mint(livemode, [0xa7; 32]);
            let read = KeyText::parse(minted.expose()).unwrap();
            assert_eq!(read.livemode(), livemode);
            assert_eq!(read.hash(), minted.hash());
            assert_eq!(read.expose().len(), 72);
        }
        assert!(
            KeyText::mint(true, [1; 32])
                .expose()
                .starts_with("vg_live_0101")
        );
        let (live, test) = (KeyText::mint(true, [1; 32]), KeyText::mint(false, [1; 32]));
        assert_ne!(live.hash(), test.hash(), "the hash is of the whole key");
    }

    #[test]
    fn what_can_be_no_key_is_none() {
        let whole = KeyText::mint(false, [0xab; 32]).expose().to_owned();
        let upper = whole.to_uppercase();
        let (shorter, longer) = (&whole[..71], format!("{whole}0"));
        let odd = whole.replace("ab", "xy");
        let other = whole.replace("vg_test_", "sk_test_");
        for wrong in ["", "vg_test_", shorter, &longer, &upper, &odd, &other] {
            assert!(KeyText::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_never_printed_by_accident() {
        let key = KeyText::mint(false, [0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }

    #[test]
    fn every_scope_reads_back_as_itself_and_nothing_else_does() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("verifications"), None);
    }
}
