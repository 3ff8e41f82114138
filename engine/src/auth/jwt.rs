//! Assertions that are signed with RS256 (RFC 7523), by the signer that TLS uses.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;
use serde_json::json;

/// What an assertion says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) audience: &'a str,
    pub(super) key_id: Option<&'a str>,
}

/// Providers take at most 3 to 5 minutes.
const LIFETIME: Duration = Duration::from_secs(180);

/// A signed assertion. The error says what is wrong with the key, and nothing of it.
pub(super) fn sign(claims: Claims<'_>, private_key: &str, now: SystemTime) -> Result<SecretString, &'static str> {
    let key = PrivateKeyDer::from_pem_slice(private_key.as_bytes()).map_err(|_| "it is no private key in PEM")?;
    let key = any_supported_type(&key).map_err(|_| "its kind of key isn't supported; RS256 needs an RSA key")?;
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or("RS256 needs an RSA key")?;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(key_id), Some(header)) = (claims.key_id, header.as_object_mut()) {
        header.insert("kid".to_owned(), key_id.into());
    }
    let claims = json!({
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": claims.audience,
        "iat": seconds,
        "exp": seconds.saturating_add(LIFETIME.as_secs()),
        "jti": uuid::Uuid::new_v4().to_string(),
    });
    let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = signer.sign(signed.as_bytes()).map_err(|_| "the key can't sign")?;
    Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
