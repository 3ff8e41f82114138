//! Mistakes in rules for fields.

use super::super::model::OnOutage;
use super::{FILE, refused, with_file};

#[test]
fn a_rule_is_refused_with_file_line_field_and_expression() {
    let with = |fields: &str| {
        let entity =
            format!("\n[destinations.entities.customer]\ntable = \"t\"\nfields = {{ {fields} }}\n\n[[routes]]");
        with_file(&FILE.replacen("\n[[routes]]", &entity, 1), [])
    };
    assert!(with("u_tags = { jq = \".tags | join(\\\",\\\")\" }, name = { template = \"{/a} {/b}\" }").is_ok());
    for (fields, parts) in [
        ("u_a = { jq = \".a | nope\" }", &["entities.customer.fields.u_a.jq", "`nope` at character 6 isn't known"][..]),
        ("u_a = { jq = \"now\" }", &["entities.customer.fields.u_a.jq", "isn't available"]),
        ("u_a = { template = \"{a}\" }", &["entities.customer.fields.u_a.template", "at character 1"]),
        ("u_a = \"a\"", &["entities.customer.fields.u_a", "beginning with `/`"]),
    ] {
        refused(with(fields), parts);
        refused(with(fields), &["syncline.toml:14"]);
    }
}

#[test]
fn a_shadow_is_the_destination_with_its_changes() {
    let with = |shadow: &str| {
        let ours = "[destinations.entities.customer]\ntable = \"t\"";
        let written = format!("\n{ours}\n\n[destinations.shadow]\n{shadow}\n\n[[routes]]");
        with_file(&FILE.replacen("\n[[routes]]", &written, 1), [])
    };
    let config = with("entities.order = { table = \"u_order\" }").unwrap();
    let planned = &config.destinations[0];
    let shadow = planned.shadow.as_ref().unwrap();
    let expected: Vec<_> = planned.connector.entity_types().into_iter().chain(["order"]).collect();
    let mut known = shadow.entity_types();
    known.sort_unstable();
    assert!(expected.iter().all(|kind| known.contains(kind)), "{known:?} of {expected:?}");
    assert!(!planned.connector.entity_types().contains(&"order"));
    let assembled = format!("{:?}", crate::assemble::destination(planned, OnOutage::Pause));
    assert!(assembled.contains("u_order"), "{assembled}");
    for (shadow, parts) in [
        ("base_url = \"https://other.example\"", &["destinations[0].shadow.base_url", "a shadow sends nothing"][..]),
        ("auth = { type = \"none\" }", &["destinations[0].shadow.auth"]),
        ("nonsense = 1", &["destinations[0].shadow", "nonsense"]),
        (
            "entities.customer = { table = \"t\", fields = { u_a = { jq = \".a | nope\" } } }",
            &["shadow.entities.customer.fields.u_a.jq", "isn't known"],
        ),
    ] {
        refused(with(shadow), parts);
    }
}
