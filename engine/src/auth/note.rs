//! A rotated refresh token, as it is kept in the state store: encrypted, so that whoever reads the
//! store learns nothing.
//!
//! The key comes from the configured refresh token and client secret. So no further secret is
//! needed, every member can read the note, and a newly configured refresh token makes it void.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Opens and closes the note of one destination.
pub(super) struct Seal {
    key: LessSafeKey,
    name: String,
}

const SALT: &[u8] = b"syncline oauth note";
/// The form of a note: this byte, the nonce, what is encrypted with its tag.
const FORM: u8 = 1;

impl Seal {
    /// `None` where the cipher refuses the key, which it has no reason to.
    pub(super) fn new(destination: &str, refresh_token: &str, client_secret: &str) -> Option<Self> {
        let mut secret = Vec::with_capacity(16 + refresh_token.len() + client_secret.len());
        for part in [refresh_token, client_secret] {
            // With the lengths, no two pairs look the same.
            secret.extend((part.len() as u64).to_be_bytes());
            secret.extend(part.as_bytes());
        }
        let secret = SecretSlice::from(secret);
        let secret = Salt::new(HKDF_SHA256, SALT).extract(secret.expose_secret());
        let key = UnboundKey::from(secret.expand(&[destination.as_bytes()], &CHACHA20_POLY1305).ok()?);
        Some(Self { key: LessSafeKey::new(key), name: format!("oauth/refresh-token/{destination}") })
    }

    /// What the note is called in the store.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `None` where the system gives no randomness.
    pub(super) fn close(&self, token: &str) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut text = token.as_bytes().to_vec();
        let aad = Aad::from(self.name.as_bytes());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        let mut note = vec![FORM];
        note.extend(nonce);
        note.append(&mut text);
        Some(note)
    }

    /// `None` for a note that was closed with other secrets, or is damaged.
    pub(super) fn open(&self, note: &[u8]) -> Option<SecretString> {
        let (form, rest) = note.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        if *form != FORM {
            return None;
        }
        let mut text = SecretSlice::from(text.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = {
            use secrecy::ExposeSecretMut;
            let plain =
                self.key.open_in_place(nonce, Aad::from(self.name.as_bytes()), text.expose_secret_mut()).ok()?;
            std::str::from_utf8(plain).ok()?.to_owned()
        };
        Some(SecretString::from(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secrets_and_destination_open_a_note() {
        let seal = |destination, token, secret| Seal::new(destination, token, secret).unwrap();
        let note = seal("crm", "first", "secret").close("rotated").unwrap();
        assert!(!note.windows(7).any(|bytes| bytes == b"rotated"));
        let opened = seal("crm", "first", "secret").open(&note).unwrap();
        assert_eq!(opened.expose_secret(), "rotated");
        for other in [
            seal("other", "first", "secret"),
            seal("crm", "second", "secret"),
            seal("crm", "first", "changed"),
            seal("crm", "firsts", "ecret"),
        ] {
            assert!(other.open(&note).is_none());
        }
        assert_ne!(note, seal("crm", "first", "secret").close("rotated").unwrap(), "each has a nonce of its own");
    }

    #[test]
    fn a_damaged_note_is_void() {
        let seal = Seal::new("crm", "first", "secret").unwrap();
        let note = seal.close("rotated").unwrap();
        for length in 0..note.len() {
            assert!(seal.open(&note[..length]).is_none());
        }
        for position in 0..note.len() {
            let mut bad = note.clone();
            bad[position] ^= 1;
            assert!(seal.open(&bad).is_none());
        }
    }
}
