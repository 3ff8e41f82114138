//! Splits an encoded query at `^`, where `^^` stands for a caret inside a value.

/// The terms, with their carets unescaped.
pub(super) fn terms(encoded: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut term = String::new();
    let mut characters = encoded.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '^' {
            term.push(character);
        } else if characters.next_if_eq(&'^').is_some() {
            term.push('^');
        } else {
            terms.push(std::mem::take(&mut term));
        }
    }
    terms.push(term);
    terms.retain(|term| !term.is_empty());
    terms
}
