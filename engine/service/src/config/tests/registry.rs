//! `[registry]`: what it needs, and what it refuses.

use super::{CRM, FILE, refused, with_file, without_file};

fn load(section: &str) -> Result<super::Config, String> {
    with_file(&format!("{FILE}\n[registry]\n{section}\n"), [("CRM_USER", "u"), ("CRM_PASSWORD", "p")])
}

fn policy(config: &super::Config) -> String {
    crate::commands::policy(config).join("\n")
}

#[test]
fn the_schema_names_its_keys() {
    let schema = super::schema();
    let keys =
        schema.pointer("/$defs/RegistrySection/properties").and_then(serde_json::Value::as_object).unwrap().keys();
    assert!(keys.eq(["auth", "require", "timeout_ms", "url", "validate"]));
}

#[test]
fn without_a_registry_there_is_none() {
    let config = without_file([CRM]).unwrap();
    assert!(config.registry.is_none() && !policy(&config).contains("registry"));
}

#[test]
fn a_url_is_enough_and_variables_work_too() {
    let config = load("url = \"https://registry.example/\"").unwrap();
    assert!(config.registry.is_some() && config.missing_secrets.is_empty());
    let line = "registry: schemas from https://registry.example/; values without one: plain JSON";
    assert!(policy(&config).contains(line), "{}", policy(&config));
    let config = without_file([
        CRM,
        ("SYNCLINE__REGISTRY__URL", "http://schema-registry:8081"),
        ("SYNCLINE__REGISTRY__REQUIRE", "true"),
        ("SYNCLINE__REGISTRY__VALIDATE", "true"),
        ("SYNCLINE__REGISTRY__TIMEOUT_MS", "500"),
    ])
    .unwrap();
    let line = "values without one: refused; JSON is held against its schema";
    assert!(policy(&config).contains(line), "{}", policy(&config));
    let config = without_file([
        CRM,
        ("SYNCLINE__REGISTRY__URL", "https://registry.example"),
        ("SYNCLINE__REGISTRY__AUTH__TYPE", "bearer"),
        ("SYNCLINE__REGISTRY__AUTH__TOKEN", "file:/run/secrets/registry"),
    ])
    .unwrap();
    assert!(format!("{:?}", config.registry).contains("Bearer"));
}

#[test]
fn secrets_are_references_that_have_to_be_there() {
    let auth = r#"auth = { type = "basic", username = "env:REGISTRY_USER", password = "env:REGISTRY_PASSWORD" }"#;
    let config = load(&format!("url = \"https://registry.example\"\n{auth}")).unwrap();
    let missing: Vec<_> = config.missing_secrets.iter().map(ToString::to_string).collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].contains("registry.auth") && missing[0].contains("REGISTRY_USER"), "{missing:?}");
    let plain = r#"auth = { type = "bearer", token = "hunter2" }"#;
    let error = load(&format!("url = \"https://registry.example\"\n{plain}")).unwrap_err();
    assert!(error.contains("registry.auth") && !error.contains("hunter2"), "{error}");
    refused(load(&format!("url = \"http://registry:8081\"\n{auth}")), &["registry.url: ", "in the clear"]);
}

#[test]
fn what_makes_no_sense_is_told_at_its_place() {
    refused(load("require = true\nvalidate = true"), &["registry.require: ", "registry.validate: ", "write its `url`"]);
    refused(load("url = \"registry\""), &["registry.url: ", "https://"]);
    refused(load("url = \"https://r\"\ntimeout_ms = 0"), &["registry.timeout_ms: ", "at least 1"]);
    refused(load("uri = \"https://r\""), &["registry.uri: unknown key; did you mean `url`"]);
    let oauth = r#"auth = { type = "oauth2_client_credentials", client_id = "env:A", client_secret = "env:B" }"#;
    refused(load(&format!("url = \"https://r\"\n{oauth}")), &["registry.auth.token_url: "]);
}
