//! jq, by the crate `jaq`: compiled once, and without what isn't a pure function of its input.

use std::fmt;

use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::{self, Arena, File, Loader, span};
use jaq_core::{Compiler, Ctx, Native, Vars, compile, data, unwrap_valr};
use jaq_json::Val;
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_sdk::Event;

type Data = data::JustLut<Val>;

/// A proven expression.
pub(crate) struct Expression {
    code: String,
    filter: compile::Filter<Native<Data>>,
}

/// What isn't a function of the input alone, and what may never end.
const UNAVAILABLE: &[&str] = &[
    "def",
    "import",
    "include",
    "input",
    "inputs",
    "input_filename",
    "input_line_number",
    "env",
    "now",
    "localtime",
    "strflocaltime",
    "mktime",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "halt",
    "halt_error",
    "repeat",
    "until",
    "while",
    "range",
    "recurse",
];

impl Expression {
    /// # Errors
    /// What is wrong with the code, and where.
    pub(crate) fn compile(code: &str) -> Result<Self, String> {
        let at = |part: &str| span(code, part).start + 1;
        let tokens = Lexer::new(code).lex().map_err(|errors| expected(&errors, at))?;
        if let Some(word) = unavailable(&tokens) {
            let place = at(word);
            return Err(format!("`{word}` at character {place} isn't available: a mapping depends on the event alone"));
        }
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(definitions).load(&arena, File { code, path: () }).map_err(|errors| {
            let first = errors.into_iter().next().map(|(_, error)| error);
            match first {
                Some(load::Error::Lex(errors)) => expected(&errors, at),
                Some(load::Error::Parse(errors)) => {
                    let found = errors
                        .first()
                        .map(|(expected, found)| format!("expected {} at character {}", expected.as_str(), at(found)));
                    found.unwrap_or_else(|| "it isn't jq".to_owned())
                }
                Some(load::Error::Io(_)) | None => "it isn't jq".to_owned(),
            }
        })?;
        let compiled = Compiler::default().with_funs(functions).with_global_vars(["$event"]).compile(modules);
        let filter = compiled.map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            first.map_or_else(
                || "it isn't jq".to_owned(),
                |(name, kind)| format!("the {} `{name}` at character {} isn't known", kind.as_str(), at(name)),
            )
        })?;
        Ok(Self { code: code.to_owned(), filter })
    }

    /// The code, as it was written.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The first result; nothing where there is none.
    ///
    /// # Errors
    /// That it failed. jq's own words aren't repeated, as they hold data.
    pub(crate) fn run(&self, input: &Input) -> Result<Option<Value>, ()> {
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([input.event.clone()]));
        let mut results = self.filter.id.run((context, input.payload.clone())).map(unwrap_valr);
        match results.next() {
            None => Ok(None),
            Some(Ok(value)) => serde_json::from_str(&value.to_string()).map(Some).map_err(drop),
            Some(Err(_)) => Err(()),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.code).finish()
    }
}

/// An event as expressions see it.
pub(crate) struct Input {
    payload: Val,
    event: Val,
}

impl Input {
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let entity = event.entity();
        let about = json!({
            "event_id": event.id(),
            "idempotency_key": event.idempotency_key(),
            "event_type": event.operation().event_type(),
            "event_version": event.event_version(),
            "occurred_at": event.occurred_at(),
            "source": event.source(),
            "entity": { "type": entity.kind, "id": entity.id, "version": entity.version },
            "metadata": event.metadata(),
        });
        Some(Self { payload: Val::deserialize(event.payload()).ok()?, event: Val::deserialize(&about).ok()? })
    }
}

fn expected(errors: &[load::lex::Error<&str>], at: impl Fn(&str) -> usize) -> String {
    let first =
        errors.first().map(|(expected, found)| format!("expected {} at character {}", expected.as_str(), at(found)));
    first.unwrap_or_else(|| "it isn't jq".to_owned())
}

/// The first word that isn't available, however deep it stands.
fn unavailable<'c>(tokens: &[Token<&'c str>]) -> Option<&'c str> {
    tokens.iter().find_map(|Token(text, token)| match token {
        Tok::Word => UNAVAILABLE.contains(text).then_some(*text),
        Tok::Block(inside) => unavailable(inside),
        Tok::Str(parts) => parts.iter().find_map(|part| match part {
            StrPart::Term(term) => unavailable(std::slice::from_ref(term)),
            _ => None,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &Value) -> Event {
        let event = json!({
            "event_id": "e", "idempotency_key": "k", "entity": { "type": "customer", "id": "7" }, "payload": payload,
        });
        serde_json::from_value(event).unwrap()
    }

    fn run(code: &str, payload: &Value) -> Result<Option<Value>, ()> {
        Expression::compile(code).unwrap().run(&Input::of(&event(payload)).unwrap())
    }

    #[test]
    fn expressions_see_payload_and_event() {
        let payload =
            json!({ "tags": ["b", "a"], "lines": [{ "price": 2, "count": 3 }, { "price": 1.5, "count": 2 }] });
        assert_eq!(run(".tags | sort | join(\",\")", &payload), Ok(Some(json!("a,b"))));
        assert_eq!(run("[.lines[] | .price * .count] | add", &payload), Ok(Some(json!(9.0))));
        assert_eq!(run("\"\\($event.entity.type)-\\($event.entity.id)\"", &payload), Ok(Some(json!("customer-7"))));
        assert_eq!(run(".tags[] | select(. == \"c\")", &payload), Ok(None));
        assert_eq!(run(".nothing", &payload), Ok(Some(Value::Null)));
        assert_eq!(run(".tags + 1", &payload), Err(()));
        assert_eq!(run("\"2026-01-20T17:16:48Z\" | fromdate", &payload), Ok(Some(json!(1_768_929_408))));
    }

    #[test]
    fn numbers_and_text_come_through_as_they_are() {
        let payload = json!({ "large": 9_007_199_254_740_993_i64, "text": "ä\u{1f600}\u{0}", "deep": [{ "a": null }] });
        assert_eq!(run(".", &payload), Ok(Some(payload.clone())));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (code, says) in [
            (".a | nope", "`nope` at character 6 isn't known"),
            (".a | $other", "`$other` at character 6 isn't known"),
            (".a | (", "at character 7"),
            (".a |", "at character"),
            ("§", "at character 1"),
            ("now", "`now` at character 1 isn't available"),
            ("[.a | {b: \"x\\(env)\"}]", "`env` at character"),
            ("def f: f; f", "`def` at character 1 isn't available"),
            ("last(range(1e9))", "`range` at character 6"),
        ] {
            let error = Expression::compile(code).map(|compiled| format!("{compiled:?}")).unwrap_err();
            assert!(error.contains(says), "{code}: {error}");
        }
    }
}
