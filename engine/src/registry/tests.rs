//! The client of a registry and the decoders, against answers as registries give them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use syncline_sdk::{Auth, Reply, SecretRef};

use super::{
    Decoder, ReferencedSchema, RegisteredSchema, Registry, Rules, SchemaFormat, SchemaSource, SchemaSourceError,
};
use crate::auth::{EnvAndFiles, Seams};
use crate::state::MemoryStore;
use crate::transport::{FaultKind, HttpRequest, HttpTransport, Sent, TransportFault};

/// Answers by path, and remembers what it was asked.
#[derive(Default)]
struct Answers {
    by_path: BTreeMap<String, (u16, String)>,
    asked: Mutex<Vec<HttpRequest>>,
}

#[async_trait]
impl HttpTransport for Answers {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let path = request.url.strip_prefix("https://registry.example/base").unwrap().to_owned();
        self.asked.lock().unwrap().push(request);
        let (status, body) = self.by_path.get(&path).ok_or_else(|| TransportFault {
            sent: Sent::Unsent,
            kind: FaultKind::Connection,
            message: "refused".to_owned(),
        })?;
        Ok(Reply { status: *status, headers: Vec::new(), body: Bytes::from(body.clone()) })
    }
}

fn source(answers: &Arc<Answers>, auth: Auth) -> Arc<dyn SchemaSource> {
    let registry = Registry::at("https://registry.example/base/", auth, Duration::from_secs(3)).unwrap();
    let seams = |transport, timeout| Seams {
        secrets: Arc::new(EnvAndFiles),
        transport,
        store: Arc::new(MemoryStore::default()),
        timeout,
    };
    registry.connect(Arc::<Answers>::clone(answers), seams).unwrap()
}

fn answering(answers: impl IntoIterator<Item = (&'static str, u16, Value)>) -> Arc<Answers> {
    let by_path = answers.into_iter().map(|(path, status, body)| (path.to_owned(), (status, body.to_string())));
    Arc::new(Answers { by_path: by_path.collect(), asked: Mutex::default() })
}

fn reference(name: &str, subject: &str, version: i64) -> Value {
    json!({ "name": name, "subject": subject, "version": version })
}

fn referenced(name: &str, schema: &str) -> ReferencedSchema {
    ReferencedSchema { name: name.to_owned(), schema: schema.to_owned() }
}

fn registered(format: SchemaFormat, schema: &Value, references: &[(&str, Value)]) -> RegisteredSchema {
    let references = references.iter().map(|(name, schema)| referenced(name, &schema.to_string())).collect();
    RegisteredSchema { format, schema: schema.to_string(), references }
}

#[tokio::test]
async fn a_schema_comes_with_all_that_it_refers_to_the_farthest_first() {
    let answers = answering([
        (
            "/schemas/ids/7",
            200,
            json!({ "schema": "S", "references": [reference("a", "a/ü", 1), reference("c", "c", 3)] }),
        ),
        (
            "/subjects/a%2F%C3%BC/versions/1",
            200,
            json!({ "subject": "a/ü", "version": 1, "id": 1, "schema": "A", "references": [reference("b", "b", 2)] }),
        ),
        ("/subjects/b/versions/2", 200, json!({ "schema": "B", "references": [reference("a", "a/ü", 1)] })),
        ("/subjects/c/versions/3", 200, json!({ "schema": "C", "references": [reference("b", "b", 2)] })),
    ]);
    let schema = source(&answers, Auth::None {}).schema(7).await.unwrap();
    let references = vec![referenced("b", "B"), referenced("a", "A"), referenced("c", "C")];
    assert_eq!(schema, RegisteredSchema { format: SchemaFormat::Avro, schema: "S".to_owned(), references });
    let asked = answers.asked.lock().unwrap();
    assert_eq!(asked.len(), 4, "each is asked for once");
    assert!(asked.iter().all(|request| request.timeout == Duration::from_secs(3) && request.credential.is_none()));
}

#[tokio::test]
async fn only_the_registry_s_own_words_prove_that_a_schema_is_not_there() {
    let refusal = |code: i64| json!({ "error_code": code, "message": "Schema 7 not found" });
    let given = |references: Value| json!({ "schema": "{}", "schemaType": "JSON", "references": references });
    for (status, body, expected) in [
        (404, refusal(40403), Err(("unknown", "Schema 7 not found"))),
        (404, refusal(404), Err(("unavailable", "is the URL right?"))),
        (404, json!("not found"), Err(("unavailable", "is the URL right?"))),
        (200, json!({ "ok": true }), Err(("unavailable", "is the URL right?"))),
        (
            200,
            json!({ "schema": "m", "schemaType": "PROTOBUF", "references": [reference("x", "x", 1)] }),
            Ok("PROTOBUF"),
        ),
        (200, given(json!(null)), Ok("JSON")),
        (200, given(json!([reference("n", "gone", 4)])), Err(("unusable", "version 4 of `gone`"))),
        (200, given(json!([reference("n", "down", 4)])), Err(("unavailable", "refused"))),
        (401, json!({}), Err(("unavailable", "refuses our credentials"))),
        (403, json!({}), Err(("unavailable", "may not read"))),
        (429, refusal(42901), Err(("unavailable", "status 429"))),
        (500, refusal(50001), Err(("unavailable", "status 500: Schema 7 not found"))),
        (302, json!({}), Err(("unavailable", "status 302"))),
    ] {
        let answers =
            answering([("/schemas/ids/7", status, body.clone()), ("/subjects/gone/versions/4", 404, refusal(40401))]);
        let result = source(&answers, Auth::None {}).schema(7).await;
        let found = match &result {
            Ok(schema) => Ok(match &schema.format {
                SchemaFormat::Avro => "AVRO",
                SchemaFormat::Json => "JSON",
                SchemaFormat::Other(other) => other,
            }),
            Err(SchemaSourceError::Unknown(said)) => Err(("unknown", said.as_str())),
            Err(SchemaSourceError::Unusable(said)) => Err(("unusable", said.as_str())),
            Err(SchemaSourceError::Unavailable(said)) => Err(("unavailable", said.as_str())),
        };
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err((kind, said)), Err((expected, part))) => {
                assert!(kind == expected && said.contains(part), "{status} {body}: {kind}: {said}");
            }
            (found, expected) => panic!("{status} {body}: {found:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn credentials_are_read_when_they_are_used_and_read_again_when_they_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let answers = answering([("/schemas/ids/1", 401, json!({}))]);
    let source = source(&answers, Auth::Bearer { token: SecretRef::File(path.clone()) });
    let error = source.schema(1).await.unwrap_err().to_string();
    assert!(error.contains("/token: the file can't be read"), "{error}");
    for secret in ["first", "second"] {
        std::fs::write(&path, secret).unwrap();
        assert!(source.schema(1).await.is_err());
    }
    let asked = answers.asked.lock().unwrap();
    let shown: Vec<_> = asked.iter().map(|request| request.credential.as_ref().unwrap().expose().to_owned()).collect();
    assert_eq!(shown, ["Bearer first", "Bearer second"], "the second is used at once");
}

#[test]
fn credentials_travel_encrypted() {
    let basic = || Auth::Basic { username: SecretRef::Env("U".into()), password: SecretRef::Env("P".into()) };
    let at = |url, auth| Registry::at(url, auth, Duration::from_secs(1));
    for url in ["https://registry.example", "http://registry:8081/", "http://localhost:8081"] {
        assert!(at(url, Auth::None {}).is_ok(), "{url}");
        assert_eq!(at(url, basic()).is_ok(), url != "http://registry:8081/", "{url}");
    }
    for url in ["registry:8081", "ftp://registry", "http://user:hunter2@registry", "https://registry/?x=hunter2"] {
        let error = at(url, Auth::None {}).unwrap_err();
        assert!(error.path == "url" && !error.message.contains("hunter2"), "{error}");
    }
}

const VALIDATED: Rules = Rules { require: false, validate: true };

fn decoded(schema: &RegisteredSchema, rules: Rules, data: &str, most: usize) -> Result<String, String> {
    let decoder = Decoder::new(7, schema, rules).map_err(|reason| reason.to_string())?;
    let json = decoder.decode(7, &Bytes::from(data.to_owned()), most).map_err(|reason| reason.to_string())?;
    Ok(String::from_utf8(json.to_vec()).unwrap())
}

#[test]
fn json_is_taken_as_it_is_or_held_against_its_schema() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "required": ["name"], "properties": { "name": { "$ref": "text.json" }, "born": { "$ref": "https://a.example/day" } },
    });
    let references = [
        ("https://a.example/day", json!({ "pattern": "^[0-9-]+$" })),
        ("text.json", json!({ "type": "string", "minLength": 2 })),
    ];
    let registered = registered(SchemaFormat::Json, &schema, &references);
    let (good, bad) = (r#"{"name": "Ada","born":"1815-12-10"}"#, r#"{"name":"x","born":"hunter2"}"#);
    assert_eq!(decoded(&registered, Rules::default(), bad, 1000).as_deref(), Ok(bad));
    assert_eq!(decoded(&registered, VALIDATED, good, 1000).as_deref(), Ok(good));
    let refused = decoded(&registered, VALIDATED, bad, 1000).unwrap_err();
    let failures =
        "at `/born`: the value does not match \"^[0-9-]+$\" (pattern); at `/name`: the value is shorter than 2";
    assert!(refused.contains("wire_data") && refused.contains(failures), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
    assert_eq!(decoded(&registered, VALIDATED, "{", 1000).as_deref(), Ok("{"), "whoever reads it refuses it");
    assert_eq!(decoded(&registered, VALIDATED, bad, 10).as_deref(), Ok(bad), "whoever reads it refuses it");
}

#[test]
fn names_of_references_are_relative_to_the_schema_s_own_id() {
    let schema = json!({ "$id": "https://a.example/x/person.json", "$ref": "name.json" });
    let with = |name| registered(SchemaFormat::Json, &schema, &[(name, json!({ "type": "string" }))]);
    for name in ["name.json", "https://a.example/x/name.json"] {
        assert!(decoded(&with(name), VALIDATED, "7", 10).unwrap_err().contains("expected string"), "{name}");
    }
    let error = decoded(&with("other.json"), VALIDATED, "7", 10).unwrap_err();
    assert!(error.contains("bad_schema") && error.contains("name.json"), "{error}");
}

#[test]
fn what_can_not_be_used_is_told_by_its_id() {
    let avro = json!({ "type": "record", "name": "R", "fields": [{ "name": "a", "type": "boolean" }] });
    let other = SchemaFormat::Other("PROTOBUF".to_owned());
    let big = RegisteredSchema { format: SchemaFormat::Json, schema: " ".repeat(5 << 20), references: Vec::new() };
    for (schema, data, part) in [
        (registered(SchemaFormat::Avro, &json!("R"), &[]), "", "bad_schema: the schema 7 can't be used: the type `R`"),
        (registered(SchemaFormat::Json, &json!({ "type": 7 }), &[]), "", "bad_schema: the schema 7 can't be used"),
        (registered(other, &json!("m"), &[]), "", "unsupported_schema: the schema 7 is of the type PROTOBUF"),
        (big, "", "bad_schema: the schema 7 can't be used: with its references it has more"),
        (registered(SchemaFormat::Avro, &avro, &[]), "\u{2}", "wire_data: the data don't fit the schema 7: at `/a`"),
        (registered(SchemaFormat::Avro, &json!("string"), &[]), "\u{18}hunter2hunte", "event_too_large: as JSON"),
    ] {
        let error = decoded(&schema, VALIDATED, data, 10).unwrap_err();
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    }
    let twice = [("a", avro.clone()), ("b", avro)];
    let user = registered(SchemaFormat::Avro, &json!({ "type": "array", "items": "R" }), &twice);
    assert_eq!(decoded(&user, VALIDATED, "\u{2}\u{1}\0", 100).as_deref(), Ok(r#"[{"a":true}]"#));
}
