//! What each grant sends.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const KEY: &str = include_str!("rsa.pem");

async fn form_of(auth: Value) -> (String, Option<String>) {
    let stage = Stage::default();
    stage.secrets.set("env:ID", "the id");
    stage.secrets.set("env:SECRET", "a&b");
    stage.secrets.set("file:/key.pem", KEY);
    assert_eq!(shown(&stage.credentials(&auth), 0).await.unwrap(), "Bearer token-1");
    (stage.endpoint.form(0), stage.endpoint.authorization(0))
}

#[tokio::test]
async fn client_credentials() {
    let mut auth = client();
    let (form, header) = form_of(auth.clone()).await;
    assert_eq!(form, "grant_type=client_credentials&client_id=the%20id&client_secret=a%26b");
    assert_eq!(header, None);
    auth["scope"] = json!("a b");
    auth["client_auth"] = json!("basic");
    let (form, header) = form_of(auth).await;
    assert_eq!(form, "grant_type=client_credentials&scope=a%20b");
    // `the%20id:a%26b`, escaped before it is encoded (RFC 6749, section 2.3.1).
    assert_eq!(header.unwrap(), "Basic dGhlJTIwaWQ6YSUyNmI=");
}

#[tokio::test]
async fn password() {
    let mut auth = client();
    auth["type"] = json!("oauth2_password");
    auth["username"] = json!("env:USER");
    auth["password"] = json!("env:PASSWORD");
    let (form, _) = form_of(auth).await;
    let user = "username=env%3AUSER&password=env%3APASSWORD";
    assert_eq!(form, format!("grant_type=password&{user}&client_id=the%20id&client_secret=a%26b"));
}

#[tokio::test]
async fn refresh_token() {
    let auth = json!({ "type": "oauth2_refresh_token", "client_id": "env:ID", "refresh_token": "env:REFRESH" });
    let (form, _) = form_of(auth).await;
    assert_eq!(form, "grant_type=refresh_token&refresh_token=env%3AREFRESH&client_id=the%20id");
}

#[tokio::test]
async fn a_signed_assertion() {
    let auth = json!({ "type": "oauth2_jwt_bearer", "issuer": "i", "subject": "s", "audience": "https://id.example",
        "private_key": "file:/key.pem", "key_id": "k1" });
    let (form, _) = form_of(auth).await;
    let (head, assertion) = form.split_once("&assertion=").unwrap();
    assert_eq!(head, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    assert_eq!(json(header), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    let claims = json(claims);
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&json!("i"), &json!("s"), &json!("https://id.example"))
    );
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 180);
    let public = public_key();
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, &public);
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
}

fn public_key() -> Vec<u8> {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::pki_types::pem::PemObject;
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let pair = ring::signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    pair.public().as_ref().to_vec()
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_named_and_not_shown() {
    let stage = Stage::default();
    stage.secrets.set("file:/key.pem", "hunter2\nhunter2");
    let auth = json!({ "type": "oauth2_jwt_bearer", "issuer": "i", "subject": "s", "audience": "a",
        "private_key": "file:/key.pem" });
    let fault = shown(&stage.credentials(&auth), 0).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Credentials);
    assert_eq!(fault.message, "file:/key.pem: it is no private key in PEM");
    assert_eq!(stage.endpoint.asked(), 0);
}
