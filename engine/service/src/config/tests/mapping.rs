//! Mistakes in rules for fields.

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
