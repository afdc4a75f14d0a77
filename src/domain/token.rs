//! Random tokens: what proves a link or a browser, and what is kept of it.

use std::fmt;

use sha2::{Digest, Sha256};

/// How many random bytes a token is made from: nobody guesses one, so its hash needs no salt and no slowness.
pub const TOKEN_BYTES: usize = 32;
/// How many characters those are.
const TOKEN_CHARS: usize = 43;

/// The alphabet of base64url.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token as its bearer shows it. It can be shown, compared by its hash, and not be printed by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// What is kept of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// Writes random bytes as base64url, without padding.
    pub fn from_random(bytes: [u8; TOKEN_BYTES]) -> Self {
        let mut text = String::with_capacity(TOKEN_CHARS);
        for three in bytes.chunks(3) {
            let group = three
                .iter()
                .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
            let group = group << (8 * (3 - three.len()));
            for place in 0..=three.len() {
                let index = (group >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            }
        }
        Self(text)
    }

    /// The token that comes of these two, the same each time: whoever lacks one of them cannot tell it.
    pub fn of_both(one: &Self, other: &Self) -> Self {
        // Both have one length, so that no other two come to the same text.
        let both = format!("{} {}", one.0, other.0);
        Self::from_random(Sha256::digest(both.as_bytes()).into())
    }

    /// Reads what somebody shows; nothing that cannot be a token is ever looked up.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == TOKEN_CHARS;
        let known = text.bytes().all(|byte| ALPHABET.contains(&byte));
        (fits && known).then(|| Self(text.to_owned()))
    }

    /// What is kept of it: of the text, so that no other way of writing the same bytes passes.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Another token, which only who has this one can write: one for each purpose, and none tells of another.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(purpose.as_bytes());
        // No purpose holds one.
        hash.update(b":");
        hash.update(self.0.as_bytes());
        Self::from_random(hash.finalize().into())
    }

    /// The token itself, for its bearer alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl TokenHash {
    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_base64url() {
        let counting = std::array::from_fn(|i| u8::try_from(i).unwrap());
        for (bytes, text) in [
            ([0; 32], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            ([255; 32], "__________________________________________8"),
            (counting, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        ] {
            let token = Token::from_random(bytes);
            assert_eq!(token.expose(), text);
            assert_eq!(Token::parse(text), Some(token));
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        let good = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for wrong in [
            String::new(),
            good[1..].to_owned(),
            format!("{good}="),
            format!("{good}A"),
            good.replace('D', "+"),
            good.replace('D', "/"),
            good.replace('D', "\0"),
            good.replace("AA", "é"),
        ] {
            assert_eq!(Token::parse(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn another_way_to_write_the_same_bytes_is_another_token() {
        let good = Token::from_random([0; 32]);
        let same_bytes = Token::parse(&format!("{}B", "A".repeat(42))).unwrap();
        assert_ne!(good.hash(), same_bytes.hash());
    }

    #[test]
    fn two_tokens_come_to_one_that_needs_both_and_their_order() {
        let [one, other, third] = [1, 2, 3].map(|byte| Token::from_random([byte; 32]));
        let both = Token::of_both(&one, &other);
        assert_eq!(both, Token::of_both(&one, &other));
        for different in [
            Token::of_both(&other, &one),
            Token::of_both(&one, &third),
            Token::of_both(&third, &other),
            one.clone(),
            other.clone(),
        ] {
            assert_ne!(both, different);
        }
    }

    #[test]
    fn derived_tokens_differ_by_their_purpose_and_their_origin() {
        let (one, other) = (Token::from_random([1; 32]), Token::from_random([2; 32]));
        assert_eq!(one.derive("state"), one.derive("state"));
        assert_ne!(one.derive("state"), one.derive("nonce"));
        assert_ne!(one.derive("state"), other.derive("state"));
        let derived = one.derive("state");
        assert_eq!(Token::parse(derived.expose()), Some(derived));
    }

    #[test]
    fn a_token_is_not_printed_and_its_hash_is_sha_256() {
        let token = Token::from_random([7; 32]);
        assert!(!format!("{token:?}").contains(token.expose()));
        let hash = Token::from_random([0; 32]).hash();
        assert_eq!(
            hex::encode(hash.as_bytes()),
            "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a"
        );
    }
}
