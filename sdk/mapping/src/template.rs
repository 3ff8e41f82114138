//! Text with pointers in it.

use std::fmt;

use serde_json::{Map, Value};

use crate::field_map::look_up;
use crate::format;

/// A proven template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Pointer(String),
}

/// What a template gives.
#[derive(Debug, PartialEq)]
pub(crate) enum Filled {
    Text(String),
    Missing,
    Null,
    /// The value at this pointer is a list or an object.
    NoText(String),
}

impl Template {
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inside = brace.strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let Some((pointer, after)) = inside.filter(|(pointer, _)| pointer.starts_with('/')) else {
                    let place = text.len() - brace.len() + 1;
                    return Err(format!(
                        "expected a JSON pointer in braces, such as {{/name}}, at character {place}; a brace itself is \
                         written twice"
                    ));
                };
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Pointer(pointer.to_owned()));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    pub(crate) fn fill(&self, payload: &Map<String, Value>) -> Filled {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Pointer(pointer) => match look_up(payload, pointer) {
                    None => return Filled::Missing,
                    Some(Value::Null) => return Filled::Null,
                    Some(value) => match format::text(value) {
                        Some(text) => filled.push_str(&text),
                        None => return Filled::NoText(pointer.clone()),
                    },
                },
            }
        }
        Filled::Text(filled)
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Pointer(pointer) => write!(f, "{{{pointer}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(template: &str, payload: &Value) -> Filled {
        Template::parse(template).unwrap().fill(payload.as_object().unwrap())
    }

    #[test]
    fn pointers_stand_for_values() {
        let payload = json!({ "first": "Ä", "last": "B", "age": 7, "none": null, "list": [1], "a/b": true });
        for (template, expected) in [
            ("{/first} {/last}", Filled::Text("Ä B".into())),
            ("{{{/age}}}", Filled::Text("{7}".into())),
            ("no pointer", Filled::Text("no pointer".into())),
            ("", Filled::Text(String::new())),
            ("{/a~1b}", Filled::Text("true".into())),
            ("{/first} {/middle}", Filled::Missing),
            ("{/first} {/none}", Filled::Null),
            ("{/list}", Filled::NoText("/list".into())),
        ] {
            assert_eq!(Template::parse(template).unwrap().to_string(), template);
            assert_eq!(fill(template, &payload), expected, "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (template, place) in [("ab {name}", 4), ("{/name", 1), ("a } b", 3), ("{}", 1), ("ä{", 3)] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(&format!("at character {place};")), "{template}: {error}");
        }
    }
}
