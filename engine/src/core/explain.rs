//! Which rules of a JSON Schema a value breaks, in sentences that never repeat the value: they end up
//! in logs and in the headers of dead letters. Names of fields are told, as a place can't be named
//! without them.

use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use syncline_sdk::Reason;

/// The longest place, and the longest sentence, in characters.
const PLACE: usize = 200;
const SENTENCE: usize = 300;
/// The longest name, in characters.
const NAME: usize = 64;
/// Failures that are kept: more than a message can hold, and few however many there are.
const KEPT: usize = 100;

const ADDITIONAL: &str = "additionalProperties";

/// All failures as one text of at most [`Reason::MESSAGE_BYTES`], in the order of their places:
/// ``at `/payload/email`: the value is shorter than 3 characters (minLength); …``. `base` is the
/// pointer to the value. `None` where there is none.
pub(crate) fn explain<'e>(base: &str, errors: impl IntoIterator<Item = ValidationError<'e>>) -> Option<String> {
    let mut failures = BTreeSet::new();
    let mut total = 0_usize;
    for error in errors {
        each_place(base, &error, |failure| {
            if failures.insert(failure) {
                total += 1;
            }
            if failures.len() > KEPT {
                failures.pop_last();
            }
        });
    }
    let mut text = String::new();
    for (listed, failure) in failures.iter().enumerate() {
        let (place, sentence, keyword) = failure;
        let failure = format!("at `{place}`: {sentence} ({keyword})");
        // Room for saying that there are more.
        if listed > 0 && text.len() + failure.len() + 40 > Reason::MESSAGE_BYTES {
            text.push_str(&format!("; and {} more", total - listed));
            break;
        }
        if listed > 0 {
            text.push_str("; ");
        }
        text.push_str(&failure);
    }
    (total > 0).then_some(text)
}

/// A text from outside on one line, cut to so many characters.
pub(crate) fn shown(text: &str, characters: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(characters)
        .map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter })
        .collect();
    if text.chars().nth(characters).is_some() {
        shown.push('…');
    }
    shown
}

/// A name from outside: of a field, a type, a version.
pub(super) fn name(text: &str) -> String {
    shown(text, NAME)
}

/// Place, sentence and keyword. An unknown field is a failure at its own place.
fn each_place(base: &str, error: &ValidationError<'_>, mut tell: impl FnMut((String, String, String))) {
    let place = format!("{base}{}", error.instance_path().as_str());
    let keyword = keyword(error).to_owned();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for key in unexpected {
                let key = key.replace('~', "~0").replace('/', "~1");
                tell((shown(&format!("{place}/{key}"), PLACE), sentence(error), keyword.clone()));
            }
        }
        _ => {
            let place = if place.is_empty() { "/".to_owned() } else { shown(&place, PLACE) };
            tell((place, shown(&sentence(error), SENTENCE), keyword));
        }
    }
}

/// The crate's word for a schema that is `false` is no keyword, and it doesn't name the fields where
/// none is allowed.
fn keyword<'e>(error: &'e ValidationError<'_>) -> &'e str {
    match error.kind() {
        Kind::FalseSchema if error.schema_path().as_str().ends_with("/additionalProperties") => ADDITIONAL,
        Kind::FalseSchema => "false",
        kind => kind.keyword(),
    }
}

fn sentence(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind: TypeKind::Single(kind) } => format!("expected {kind}"),
        Kind::Type { kind: TypeKind::Multiple(kinds) } => {
            format!("expected {}", kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or "))
        }
        Kind::Required { property } => format!("`{}` is missing", property.as_str().unwrap_or_default()),
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => "unknown field".to_owned(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => none_of(context),
        Kind::OneOfMultipleValid { .. } => "the value fits more than one alternative".to_owned(),
        Kind::Not { .. } => "the value fits what `not` excludes".to_owned(),
        Kind::Contains => "too few or too many elements fit".to_owned(),
        Kind::FalseSchema if keyword(error) == ADDITIONAL => "no field is allowed here".to_owned(),
        Kind::FalseSchema => "nothing is allowed here".to_owned(),
        // The crate's own sentence for it repeats the name, which may be data.
        Kind::PropertyNames { error } => format!("the name of a field isn't allowed: {}", sentence(error)),
        // So may these: they quote what a library says.
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            "the pattern is too complicated for the value".to_owned()
        }
        Kind::FromUtf8 { .. } => "the content is no UTF-8".to_owned(),
        Kind::Custom { .. } => "the value isn't allowed".to_owned(),
        _ => error.masked_with("the value").to_string(),
    }
}

/// What each alternative would have expected.
fn none_of(alternatives: &[Vec<ValidationError<'static>>]) -> String {
    let first = |errors: &Vec<ValidationError<'static>>| errors.iter().map(sentence).min();
    let expected: Vec<_> = alternatives.iter().filter_map(first).collect();
    format!("the value fits none of the alternatives: {}", expected.join(", or "))
}
