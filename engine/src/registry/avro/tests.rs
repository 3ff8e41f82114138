//! What another implementation writes is read as JSON, and nothing else is read as anything.

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{BigDecimal, Days, Decimal, Duration, Millis, Months, Uuid};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Misfit, Schema, decode};

const MOST: usize = 1 << 20;

fn schema(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string(), []).unwrap()
}

fn read(schema: &Schema, data: &[u8]) -> Result<Value, String> {
    let json = decode(schema, data, MOST).map_err(|misfit| misfit.to_string())?;
    Ok(serde_json::from_slice(&json).unwrap())
}

fn written(schema: &Value, value: Avro) -> Vec<u8> {
    let schema = apache_avro::Schema::parse(schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn annotated(kind: &str, logical: &str) -> Value {
    json!({ "type": kind, "logicalType": logical })
}

fn fixed(size: usize, logical: &str) -> Value {
    json!({ "type": "fixed", "name": "F", "size": size, "logicalType": logical })
}

#[test]
fn every_type_has_its_json() {
    let union = json!(["null", "string", "long"]);
    let letters = json!({ "type": "enum", "name": "Letter", "symbols": ["A", "B"] });
    let money = json!({ "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 });
    let coin = json!({ "type": "fixed", "name": "F", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 3 });
    let id = Uuid::from_u128(0xf81d_4fae_7dec_11d0_a765_00a0_c91e_6bf6);
    let id_text = json!("f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    let big: BigDecimal = "-12.3400".parse().unwrap();
    let moment = 1_767_323_045_006_i64;
    for (schema_json, value, expected) in [
        (json!("null"), Avro::Null, json!(null)),
        (json!("boolean"), Avro::Boolean(true), json!(true)),
        (json!("boolean"), Avro::Boolean(false), json!(false)),
        (json!("int"), Avro::Int(i32::MIN), json!(i32::MIN)),
        (json!("int"), Avro::Int(i32::MAX), json!(i32::MAX)),
        (json!("long"), Avro::Long(i64::MIN), json!(i64::MIN)),
        (json!("long"), Avro::Long(i64::MAX), json!(i64::MAX)),
        (json!("long"), Avro::Long(-1), json!(-1)),
        (json!("float"), Avro::Float(0.1), json!(0.1)),
        (json!("double"), Avro::Double(-1.5e300), json!(-1.5e300)),
        (json!("string"), Avro::String("Zoë \"\n\0".into()), json!("Zoë \"\n\0")),
        (json!("bytes"), Avro::Bytes(vec![0, 255, 1]), json!("AP8B")),
        (json!({ "type": "fixed", "name": "F", "size": 2 }), Avro::Fixed(2, vec![255, 254]), json!("//4=")),
        (letters, Avro::Enum(1, "B".into()), json!("B")),
        (union.clone(), Avro::Union(0, Box::new(Avro::Null)), json!(null)),
        (union.clone(), Avro::Union(1, Box::new(Avro::String("x".into()))), json!("x")),
        (union, Avro::Union(2, Box::new(Avro::Long(7))), json!(7)),
        (
            json!({ "type": "array", "items": "int" }),
            Avro::Array(vec![Avro::Int(1), Avro::Int(2), Avro::Int(3)]),
            json!([1, 2, 3]),
        ),
        (json!({ "type": "array", "items": "int" }), Avro::Array(Vec::new()), json!([])),
        (
            json!({ "type": "map", "values": "boolean" }),
            Avro::Map([("a".to_owned(), Avro::Boolean(true)), ("b/\"".to_owned(), Avro::Boolean(false))].into()),
            json!({ "a": true, "b/\"": false }),
        ),
        (annotated("int", "date"), Avro::Date(20_484), json!("2026-01-31")),
        (annotated("int", "date"), Avro::Date(-1), json!("1969-12-31")),
        (annotated("int", "time-millis"), Avro::TimeMillis(86_399_999), json!("23:59:59.999")),
        (annotated("long", "time-micros"), Avro::TimeMicros(61_000_001), json!("00:01:01.000001")),
        (annotated("long", "timestamp-millis"), Avro::TimestampMillis(moment), json!("2026-01-02T03:04:05.006Z")),
        (annotated("long", "timestamp-millis"), Avro::TimestampMillis(-1), json!("1969-12-31T23:59:59.999Z")),
        (annotated("long", "timestamp-micros"), Avro::TimestampMicros(1), json!("1970-01-01T00:00:00.000001Z")),
        (annotated("long", "timestamp-nanos"), Avro::TimestampNanos(-1), json!("1969-12-31T23:59:59.999999999Z")),
        (
            annotated("long", "local-timestamp-millis"),
            Avro::LocalTimestampMillis(moment),
            json!("2026-01-02T03:04:05.006"),
        ),
        (
            annotated("long", "local-timestamp-micros"),
            Avro::LocalTimestampMicros(0),
            json!("1970-01-01T00:00:00.000000"),
        ),
        (
            annotated("long", "local-timestamp-nanos"),
            Avro::LocalTimestampNanos(5),
            json!("1970-01-01T00:00:00.000000005"),
        ),
        (money.clone(), Avro::Decimal(Decimal::from([0x04, 0xd2])), json!("12.34")),
        (money.clone(), Avro::Decimal(Decimal::from([0xfb, 0x2e])), json!("-12.34")),
        (money, Avro::Decimal(Decimal::from([0x07])), json!("0.07")),
        (coin, Avro::Decimal(Decimal::from([0xff, 0xff, 0xff, 0xff])), json!("-0.001")),
        (annotated("bytes", "big-decimal"), Avro::BigDecimal(big), json!("-12.3400")),
        (annotated("string", "uuid"), Avro::Uuid(id), id_text.clone()),
        (fixed(16, "uuid"), Avro::Uuid(id), id_text),
        (
            fixed(12, "duration"),
            Avro::Duration(Duration::new(Months::new(1), Days::new(2), Millis::new(3004))),
            json!("P1M2DT3.004S"),
        ),
        // Logical types that are unknown, or that annotate something else, are ignored.
        (annotated("int", "color"), Avro::Int(3), json!(3)),
        (annotated("string", "date"), Avro::String("soon".into()), json!("soon")),
    ] {
        let data = written(&schema_json, value);
        assert_eq!(read(&schema(&schema_json), &data), Ok(expected), "{schema_json}");
    }
}

/// An event as a producer may have it: nested, optional, recursive, with a namespace.
fn event() -> Value {
    json!({
        "type": "record", "name": "Event", "namespace": "com.example", "doc": "an event",
        "fields": [
            { "name": "event_id", "type": "string" },
            { "name": "entity", "type": { "type": "record", "name": "Entity", "fields": [
                { "name": "type", "type": { "type": "string", "avro.java.string": "String" } },
                { "name": "id", "type": ["null", "string"], "default": null },
            ] } },
            { "name": "payload", "type": { "type": "map", "values": ["null", "string", "double", "com.example.Entity"] } },
            { "name": "tags", "type": { "type": "array", "items": "boolean" } },
            { "name": "parent", "type": ["null", "Event"], "default": null },
        ],
    })
}

fn example() -> (Avro, Value) {
    let text = |text: &str| Avro::String(text.to_owned());
    let some = |index, value| Avro::Union(index, Box::new(value));
    let entity = |id| Avro::Record(vec![("type".to_owned(), text("customer")), ("id".to_owned(), id)]);
    let of = |id: &str, parent| {
        Avro::Record(vec![
            ("event_id".to_owned(), text(id)),
            ("entity".to_owned(), entity(some(1, text("7")))),
            ("payload".to_owned(), Avro::Map([("who".to_owned(), some(3, entity(some(0, Avro::Null))))].into())),
            ("tags".to_owned(), Avro::Array(vec![Avro::Boolean(true), Avro::Boolean(false)])),
            ("parent".to_owned(), parent),
        ])
    };
    let json = |id: &str, parent: Value| {
        json!({
            "event_id": id, "entity": { "type": "customer", "id": "7" }, "parent": parent, "tags": [true, false],
            "payload": { "who": { "type": "customer", "id": null } },
        })
    };
    (of("a", some(1, of("b", some(0, Avro::Null)))), json("a", json("b", Value::Null)))
}

#[test]
fn records_nest_and_refer_to_each_other_and_to_themselves() {
    let (value, expected) = example();
    assert_eq!(read(&schema(&event()), &written(&event(), value)), Ok(expected));
}

/// The crate that is used for writing here reads some of these as a record that ends with nulls.
#[test]
fn no_part_of_a_value_is_a_value() {
    let data = written(&event(), example().0);
    let schema = schema(&event());
    for length in 0..data.len() {
        assert!(read(&schema, &data[..length]).is_err(), "{length} of {} bytes", data.len());
    }
    let mut longer = data;
    longer.push(0);
    assert_eq!(read(&schema, &longer).unwrap_err(), "at `/`: there are bytes behind the end of the value");
}

#[test]
fn what_does_not_fit_is_refused_with_its_place_and_without_its_value() {
    let record = |kind: Value| json!({ "type": "record", "name": "R", "fields": [{ "name": "a/b", "type": kind }] });
    let list = json!({ "type": "array", "items": "string" });
    let map = json!({ "type": "map", "values": "boolean" });
    let letters = json!({ "type": "enum", "name": "E", "symbols": ["A"] });
    for (kind, data, what) in [
        (json!("boolean"), &[2][..], "expected a boolean"),
        (json!("int"), &[0x80, 0x80, 0x80, 0x80, 0x10], "expected a number of 32 bits"),
        (json!("long"), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "more than 64 bits"),
        (json!("long"), &[0x80; 11], "more than 64 bits"),
        (json!("float"), &[0, 0, 0xc0, 0x7f], "JSON has no number for it"),
        (json!("double"), &[0, 0, 0, 0, 0, 0, 0xf0, 0xff], "JSON has no number for it"),
        (json!("string"), &[2, 0xff], "the text is no UTF-8"),
        (json!("string"), &[1], "a length is negative"),
        (json!("bytes"), &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "the data end too early"),
        (letters, &[2], "the enum has no such symbol"),
        (json!(["null"]), &[2], "the union has no such branch"),
        (json!(["null"]), &[1], "the union has no such branch"),
        (annotated("int", "date"), &[0xff, 0xff, 0xff, 0xff, 0x0f], "outside of what its logical type can say"),
        (annotated("int", "time-millis"), &[1], "outside of what its logical type can say"),
        (
            annotated("long", "timestamp-millis"),
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            "outside of what its logical type can say",
        ),
        (annotated("bytes", "big-decimal"), &[6, 2, 7, 1], "expected a big decimal"),
    ] {
        let error = read(&schema(&record(kind.clone())), data).unwrap_err();
        assert!(error.starts_with("at `/a~1b`: ") && error.contains(what), "{kind}: {error}");
    }
    let error = read(&schema(&record(list)), &[2, 2, b'x', 2, 2, 0xff]).unwrap_err();
    assert_eq!(error, "at `/a~1b/1`: the text is no UTF-8");
    let error = read(&schema(&record(map)), &[2, 2, b'k', 7, 0]).unwrap_err();
    assert_eq!(error, "at `/a~1b/k`: expected a boolean");
}

/// A few bytes announce more than there is memory, or more nesting than there is stack.
#[test]
fn a_small_value_can_not_ask_for_much() {
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let nothing = json!({ "type": "record", "name": "Nothing", "fields": [] });
    for items in [json!("null"), nothing] {
        let bomb = schema(&json!({ "type": "array", "items": items }));
        assert_eq!(decode(&bomb, &many, 10_000), Err(Misfit::TooLarge));
    }
    let list = json!({ "type": "record", "name": "L", "fields": [{ "name": "l", "type": ["null", "L"] }] });
    let chain = |links: usize| [vec![2; links - 1], vec![0]].concat();
    assert!(read(&schema(&list), &chain(127)).is_ok(), "as deep as the JSON parser goes");
    assert!(read(&schema(&list), &chain(128)).unwrap_err().contains("within each other"));
    assert!(read(&schema(&list), &chain(1_000_000)).is_err());
    let endless = json!({ "type": "record", "name": "L", "fields": [{ "name": "l", "type": "L" }] });
    assert!(read(&schema(&endless), &[]).unwrap_err().contains("within each other"));
    let text = schema(&json!("string"));
    let data = written(&json!("string"), Avro::String("x".repeat(1000)));
    assert_eq!(decode(&text, &data, 500), Err(Misfit::TooLarge));
    assert!(decode(&text, &data, 1002).is_ok());
}

/// Writers may give the size of a block, and several blocks.
#[test]
fn blocks_may_have_sizes() {
    let list = schema(&json!({ "type": "array", "items": "int" }));
    assert_eq!(read(&list, &[3, 4, 2, 4, 2, 6, 0]), Ok(json!([1, 2, 3])));
}

#[test]
fn names_are_found_in_their_namespaces_and_in_other_schemas() {
    let address = json!({ "type": "record", "name": "Address", "namespace": "com.a", "fields": [
        { "name": "country", "type": "com.b.Country" }, { "name": "next", "type": ["null", "Address"] },
    ] });
    let country = json!({ "type": "enum", "name": "com.b.Country", "symbols": ["DE", "FR"] });
    let person = json!({ "type": "record", "name": "com.a.Person", "fields": [
        { "name": "home", "type": "Address" }, { "name": "born", "type": { "type": "com.b.Country" } },
        { "name": "inner", "type": { "type": "fixed", "name": "Two", "namespace": "", "size": 1 } },
        { "name": "again", "type": "Two" },
    ] });
    let texts = [country.to_string(), address.to_string()];
    let read_all = |texts: &[String]| Schema::parse(&person.to_string(), texts.iter().map(String::as_str));
    let schema = read_all(&texts).unwrap();
    let expected = json!({ "home": { "country": "FR", "next": null }, "born": "DE", "inner": "/w==", "again": "AA==" });
    assert_eq!(read(&schema, &[2, 0, 0, 0xff, 0]), Ok(expected));
    assert_eq!(read_all(&texts[1..]).unwrap_err(), "the type `com.b.Country` is not defined");
}

#[test]
fn what_is_no_schema_is_refused() {
    for (text, what) in [
        ("record", "it is no JSON"),
        ("7", "neither text, list nor object"),
        ("\"strin\"", "the type `strin` is not defined"),
        ("{}", "a type has no `type`"),
        (r#"["null",["string"]]"#, "directly within a union"),
        (r#"{"type":"record","fields":[]}"#, "a named type has no `name`"),
        (r#"{"type":"record","name":"R"}"#, "a record has no `fields`"),
        (r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#, "a field has no `name`"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#, "the field `a` has no `type`"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "the field `a` is there twice",
        ),
        (r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":1}]"#, "`F` is defined twice"),
        (r#"{"type":"fixed","name":"F","size":-1}"#, "a fixed has no `size`"),
        (r#"{"type":"enum","name":"E","symbols":[1]}"#, "a symbol of an enum is no text"),
        (r#"{"type":"array"}"#, "an array has no `items`"),
        (r#"{"type":"map"}"#, "a map has no `values`"),
    ] {
        let error = Schema::parse(text, []).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(1000), "}".repeat(1000));
    assert!(Schema::parse(&deep, []).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&schema(&event()), &data);
    }

    #[test]
    fn whole_numbers_are_read_as_they_were_written(number in any::<i64>()) {
        let data = written(&json!("long"), Avro::Long(number));
        prop_assert_eq!(read(&schema(&json!("long")), &data), Ok(json!(number)));
    }

    #[test]
    fn decimals_have_the_digits_of_their_number(number in any::<i128>(), scale in 0_usize..50) {
        let text = super::text::decimal(&number.to_be_bytes(), scale).unwrap();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        prop_assert_eq!(fraction.len(), scale);
        prop_assert!(whole.trim_start_matches('-') == "0" || !whole.trim_start_matches('-').starts_with('0'));
        prop_assert_eq!(format!("{whole}{fraction}").parse::<i128>().unwrap(), number);
    }

    /// Against jiff's own way to write it.
    #[test]
    fn moments_are_as_a_calendar_has_them(seconds in -62_167_219_200_i64..253_402_207_200, millis in 0_i64..1000) {
        let text = super::text::timestamp(seconds * 1000 + millis, super::schema::Unit::Millis, false).unwrap();
        let moment = jiff::Timestamp::from_millisecond(seconds * 1000 + millis).unwrap();
        prop_assert_eq!(text, format!("{moment:.3}"));
    }
}
