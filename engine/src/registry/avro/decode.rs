//! From Avro's bytes to JSON text. Nothing that is missing is made up, nothing is left over, and the
//! text never grows beyond its limit, whatever the bytes announce.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::schema::{Id, Kind, Schema};
use super::text;

/// Objects and lists within each other that a JSON parser takes, one less than its own limit of 128.
const DEEPEST: usize = 127;

/// Data that don't fit the schema that they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// At a JSON pointer, in a sentence that repeats no data.
    At(String, &'static str),
    /// The JSON is larger than the limit.
    TooLarge,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(pointer, what) if pointer.is_empty() => write!(f, "at `/`: {what}"),
            Self::At(pointer, what) => write!(f, "at `{pointer}`: {what}"),
            Self::TooLarge => f.write_str("too large"),
        }
    }
}

/// The JSON of `data`, which has at most about `most` bytes.
///
/// # Errors
/// [`Misfit`]
pub(crate) fn decode(schema: &Schema, data: &[u8], most: usize) -> Result<Vec<u8>, Misfit> {
    let mut decoder = Decoder { schema, data, json: Vec::with_capacity(data.len().min(most)), most, depth: 0 };
    decoder.value(schema.root())?;
    match decoder.data {
        [] => Ok(decoder.json),
        _ => Err(misfit("there are bytes behind the end of the value")),
    }
}

fn misfit(what: &'static str) -> Misfit {
    Misfit::At(String::new(), what)
}

/// Puts what is wrong inside of a field or an element in its place.
fn within(segment: impl fmt::Display) -> impl FnOnce(Misfit) -> Misfit {
    move |misfit| match misfit {
        Misfit::At(pointer, what) => {
            let segment = segment.to_string().replace('~', "~0").replace('/', "~1");
            Misfit::At(format!("/{segment}{pointer}"), what)
        }
        other => other,
    }
}

const ENDS: &str = "the data end too early";

struct Decoder<'d> {
    schema: &'d Schema,
    /// What is left.
    data: &'d [u8],
    json: Vec<u8>,
    most: usize,
    depth: usize,
}

impl<'d> Decoder<'d> {
    fn value(&mut self, id: Id) -> Result<(), Misfit> {
        let schema = self.schema;
        match schema.kind(id).ok_or_else(|| misfit("its type is not defined"))? {
            Kind::Null => self.put(b"null"),
            Kind::Boolean => match self.take(1)? {
                [0] => self.put(b"false"),
                [1] => self.put(b"true"),
                _ => Err(misfit("expected a boolean")),
            },
            Kind::Int => self.int().and_then(|number| self.put(number.to_string().as_bytes())),
            Kind::Long => self.long().and_then(|number| self.put(number.to_string().as_bytes())),
            Kind::Float => {
                let number = f32::from_le_bytes(self.array()?);
                self.number(number.is_finite(), &number)
            }
            Kind::Double => {
                let number = f64::from_le_bytes(self.array()?);
                self.number(number.is_finite(), &number)
            }
            Kind::Bytes => self.bytes().and_then(|bytes| self.base64(bytes)),
            Kind::Fixed(size) => self.take(*size).and_then(|bytes| self.base64(bytes)),
            Kind::Text => self.text().and_then(|text| self.string(text)),
            Kind::Enum(symbols) => {
                let symbol = usize::try_from(self.int()?).ok().and_then(|index| symbols.get(index));
                self.string(symbol.ok_or_else(|| misfit("the enum has no such symbol"))?)
            }
            Kind::Array(items) => self.list(*items),
            Kind::Map(values) => self.map(*values),
            Kind::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|index| branches.get(index));
                self.value(*branch.ok_or_else(|| misfit("the union has no such branch"))?)
            }
            Kind::Record(fields) => self.record(fields),
            Kind::Date => self.int().and_then(|days| self.known(text::date(days))),
            Kind::Time(unit @ super::schema::Unit::Millis) => {
                self.int().and_then(|units| self.known(text::time(units.into(), *unit)))
            }
            Kind::Time(unit) => self.long().and_then(|units| self.known(text::time(units, *unit))),
            Kind::Timestamp { unit, local } => {
                self.long().and_then(|units| self.known(text::timestamp(units, *unit, *local)))
            }
            Kind::Decimal { scale, size } => {
                let bytes = if let Some(size) = size { self.take(*size)? } else { self.bytes()? };
                self.known(text::decimal(bytes, *scale))
            }
            Kind::BigDecimal => self.big_decimal(),
            Kind::Uuid => self.array().and_then(|bytes| self.string(&text::uuid(bytes))),
            Kind::Duration => self.array().and_then(|bytes| self.string(&text::duration(bytes))),
        }
    }

    fn record(&mut self, fields: &'d [(String, Id)]) -> Result<(), Misfit> {
        self.enter(b"{")?;
        for (position, (name, id)) in fields.iter().enumerate() {
            if position > 0 {
                self.put(b",")?;
            }
            self.string(name)?;
            self.put(b":")?;
            self.value(*id).map_err(within(name))?;
        }
        self.leave(b"}")
    }

    fn list(&mut self, items: Id) -> Result<(), Misfit> {
        self.enter(b"[")?;
        let mut position = 0_usize;
        while let Some(count) = self.block()? {
            for _ in 0..count {
                if position > 0 {
                    self.put(b",")?;
                }
                self.value(items).map_err(within(position))?;
                position += 1;
            }
        }
        self.leave(b"]")
    }

    fn map(&mut self, values: Id) -> Result<(), Misfit> {
        self.enter(b"{")?;
        let mut is_first = true;
        while let Some(count) = self.block()? {
            for _ in 0..count {
                if !std::mem::take(&mut is_first) {
                    self.put(b",")?;
                }
                let name = self.text()?;
                self.string(name)?;
                self.put(b":")?;
                self.value(values).map_err(within(name))?;
            }
        }
        self.leave(b"}")
    }

    /// How many values the next block has; `None` after the last one. Each takes a byte of JSON at
    /// least, so a count that makes no sense ends at the limit.
    fn block(&mut self) -> Result<Option<u64>, Misfit> {
        let count = self.long()?;
        if count < 0 {
            // Its size in bytes, for readers that skip it.
            self.long()?;
        }
        Ok(Some(count.unsigned_abs()).filter(|count| *count > 0))
    }

    /// An unscaled number and its scale, in bytes of their own.
    fn big_decimal(&mut self) -> Result<(), Misfit> {
        let mut inner = Decoder { data: self.bytes()?, json: Vec::new(), ..*self };
        let number = inner.bytes()?;
        let scale = usize::try_from(inner.long()?).ok().filter(|scale| *scale <= 1000);
        match (scale, inner.data) {
            (Some(scale), []) => self.known(text::decimal(number, scale)),
            _ => Err(misfit("expected a big decimal")),
        }
    }

    fn enter(&mut self, bracket: &[u8]) -> Result<(), Misfit> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(misfit("more objects and lists are within each other than JSON takes"));
        }
        self.put(bracket)
    }

    fn leave(&mut self, bracket: &[u8]) -> Result<(), Misfit> {
        self.depth -= 1;
        self.put(bracket)
    }

    fn put(&mut self, json: &[u8]) -> Result<(), Misfit> {
        if self.json.len() + json.len() > self.most {
            return Err(Misfit::TooLarge);
        }
        self.json.extend_from_slice(json);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Misfit> {
        if self.json.len() + text.len() > self.most {
            return Err(Misfit::TooLarge);
        }
        // Writing text to memory can't fail.
        let written = serde_json::to_writer(&mut self.json, text);
        written.map_err(|_| misfit("the text has no JSON"))
    }

    fn base64(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        if self.json.len() + bytes.len() > self.most {
            return Err(Misfit::TooLarge);
        }
        self.string(&STANDARD.encode(bytes))
    }

    fn number(&mut self, is_finite: bool, number: &impl serde::Serialize) -> Result<(), Misfit> {
        match serde_json::to_vec(number) {
            Ok(number) if is_finite => self.put(&number),
            _ => Err(misfit("JSON has no number for it: it is infinite, or none")),
        }
    }

    fn known(&mut self, text: Option<String>) -> Result<(), Misfit> {
        self.string(&text.ok_or_else(|| misfit("the value is outside of what its logical type can say"))?)
    }

    fn take(&mut self, count: usize) -> Result<&'d [u8], Misfit> {
        let (taken, left) = self.data.split_at_checked(count).ok_or_else(|| misfit(ENDS))?;
        self.data = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Misfit> {
        let (taken, left) = self.data.split_first_chunk().ok_or_else(|| misfit(ENDS))?;
        self.data = left;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Result<&'d [u8], Misfit> {
        let length = usize::try_from(self.long()?).map_err(|_| misfit("a length is negative"))?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'d str, Misfit> {
        std::str::from_utf8(self.bytes()?).map_err(|_| misfit("the text is no UTF-8"))
    }

    fn int(&mut self) -> Result<i32, Misfit> {
        i32::try_from(self.long()?).map_err(|_| misfit("expected a number of 32 bits"))
    }

    /// Seven bits a byte, the lowest first; the sign is the lowest bit of all.
    fn long(&mut self) -> Result<i64, Misfit> {
        let mut bits = 0_u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            let here = u64::from(byte & 0x7f);
            // Of the tenth byte only the lowest bit has room.
            if shift == 63 && here > 1 {
                break;
            }
            bits |= here << shift;
            if byte & 0x80 == 0 {
                #[allow(clippy::cast_possible_wrap, reason = "the halves of 64 bits")]
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err(misfit("a number has more than 64 bits"))
    }
}
