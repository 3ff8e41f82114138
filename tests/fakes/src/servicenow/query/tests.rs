use super::{Operator, Query};

const COLUMNS: [(&str, &str); 4] = [("name", "Acme"), ("status", "open"), ("u_tier", "10"), ("note", "a^b")];

fn value(column: &str) -> &'static str {
    COLUMNS.iter().find(|(name, _)| *name == column).map_or("", |(_, value)| value)
}

fn matches(encoded: &str) -> bool {
    Query::parse(encoded).bind(|column| COLUMNS.iter().any(|(name, _)| *name == column)).matches(value)
}

#[test]
fn each_operator_compares_as_documented() {
    let facts = [
        ("name=Acme", true),
        ("name=acme", false),
        ("name!=Acme", false),
        ("u_tier>9", true),
        ("u_tier<9", false),
        ("u_tier>=10", true),
        ("u_tier<=9", false),
        ("nameINBolt,Acme", true),
        ("nameINBolt,Acm", false),
        ("nameNOT INBolt", true),
        ("nameSTARTSWITHAc", true),
        ("nameENDSWITHAc", false),
        ("nameLIKEcm", true),
        ("nameNOT LIKEcm", false),
        ("nameISEMPTY", false),
        ("nameISNOTEMPTY", true),
    ];
    for (encoded, expected) in facts {
        assert_eq!(matches(encoded), expected, "{encoded}");
    }
}

#[test]
fn and_or_and_new_query_bind_in_that_order() {
    assert!(matches("name=Acme^status=open"));
    assert!(!matches("name=Acme^status=closed"));
    assert!(matches("name=Acme^status=closed^ORstatus=open"));
    assert!(!matches("name=Bolt^status=closed^ORstatus=open"));
    assert!(matches("name=Bolt^status=closed^NQstatus=open"));
}

#[test]
fn a_doubled_caret_is_a_literal_one() {
    assert!(matches("note=a^^b"));
    assert!(matches("note=a^^b^name=Acme"));
    let query = Query::parse("note=a^^ORname=b");
    assert_eq!(query.value_of("note"), Some("a^ORname=b"));
}

#[test]
fn an_invalid_part_is_dropped_and_widens_the_result() {
    assert!(matches("nmae=Bolt"), "an unknown column matches the whole table");
    assert!(matches("???^name=Acme"));
    assert!(!matches("nmae=Bolt^name=Bolt"));
    assert!(matches("name~Acme"), "an unknown operator is no condition");
    assert_eq!(Query::parse("name~Acme").dropped, ["name~Acme"]);
}

#[test]
fn order_is_kept_apart_from_the_conditions() {
    let query = Query::parse("name=Acme^ORDERBYsys_updated_on^ORDERBYDESCsys_id^EQ");
    let order: Vec<_> = query.order.iter().map(|order| (order.column.as_str(), order.descending)).collect();
    assert_eq!(order, [("sys_updated_on", false), ("sys_id", true)]);
    assert_eq!(query.groups[0].clauses.len(), 1);
}

#[test]
fn the_operator_starts_where_the_column_ends() {
    let query = Query::parse("u_lines=1");
    assert_eq!(query.groups[0].clauses[0].any[0].operator, Operator::Equal);
    assert_eq!(query.value_of("u_lines"), Some("1"));
}

#[test]
fn any_text_parses() {
    for encoded in ["", "^", "^^", "^^^", "=", "^OR", "^NQ^NQ", "ORDERBY", "é=ü", "a=^ORb="] {
        let _ = Query::parse(encoded);
    }
}
