//! Schemas for payloads, through the public API; and that nothing is ever fetched or read for one.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::{Value, json};
use syncline_engine::core::{Envelope, PayloadSchema, PayloadSchemas, UnknownSchema};
use syncline_engine::record::Record;
use syncline_sdk::Bytes;

use super::parts::{Letters, Source, Transport, event};

fn schema(rules: Value) -> PayloadSchema {
    PayloadSchema::new("t", Some(1.into()), rules)
}

#[tokio::test(start_paused = true)]
async fn what_a_program_asks_for_is_refused_and_the_rest_is_delivered() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let of = |offset: i64, rest: &str| {
        let json = format!(
            r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","entity":{{"type":"t","id":"{offset}"}},
                "metadata":{{"schema_version":1}},{rest}}}"#
        );
        Record { value: Some(Bytes::from(json)), ..event(offset, offset) }
    };
    source.give([
        of(0, r#""payload":{"name":"A"}"#),
        of(1, r#""payload":{}"#),
        of(2, r#""payload":{"name":"C"},"tenant":"x""#),
        of(3, r#""event_type":"record.deleted""#),
    ]);
    let schemas = PayloadSchemas::compile([schema(json!({ "required": ["name"] }))], UnknownSchema::Reject).unwrap();
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    tokio::spawn(builder.schemas(schemas).envelope(Envelope::Strict).build().unwrap().run());
    source.committed(4).await;
    let mut paths = transport.paths();
    paths.sort();
    assert_eq!(paths, ["/e0", "/e3"]);
    let stored = letters.stored();
    let codes: Vec<_> = stored.iter().map(|letter| letter.failure.reason.code.as_ref()).collect();
    assert_eq!(codes, ["invalid_payload", "invalid_event"]);
}

#[test]
fn nothing_is_fetched_for_a_reference() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    for scheme in ["http", "https"] {
        let rules = json!({ "$ref": format!("{scheme}://{address}/schema.json") });
        let hidden = json!({ "properties": { "default": rules } });
        for rules in [rules, hidden] {
            let errors = PayloadSchemas::compile([schema(rules.clone())], UnknownSchema::Reject).unwrap_err();
            assert!(errors.to_string().contains("t.v1.json: at `/"), "{errors}");
            // The validator's own defaults, as this program was built.
            assert!(jsonschema::validator_for(&rules).is_err());
        }
    }
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has called");
}

#[test]
fn no_file_is_read_for_a_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    std::fs::write(&path, "{}").unwrap();
    let path = path.to_str().unwrap();
    for target in [format!("file://{path}"), path.to_owned()] {
        let rules = json!({ "$ref": target });
        let errors = PayloadSchemas::compile([schema(rules.clone())], UnknownSchema::Reject).unwrap_err();
        assert!(errors.to_string().contains("nothing is ever fetched or read"), "{errors}");
        assert!(jsonschema::validator_for(&rules).is_err(), "it would have been found");
    }
}
