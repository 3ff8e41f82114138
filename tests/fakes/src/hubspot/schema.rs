//! Object types and their properties.

/// What a property holds. On the wire every value is a string.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Up to 65,536 characters.
    Text,
    /// An address: trimmed, lower-cased, and refused where it has no `@`.
    Email,
    /// A decimal number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `YYYY-MM-DD`, or a midnight in UTC as milliseconds.
    Date,
    /// ISO 8601, or milliseconds.
    DateTime,
    /// One of these internal values, exactly.
    Enumeration(Vec<String>),
    /// Several of these, joined by `;`. A leading `;` adds to those there are.
    Checkboxes(Vec<String>),
    /// One of these, which only moves forward unless it is cleared first. A step back is ignored in silence.
    Stage(Vec<String>),
}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) unique: bool,
    pub(super) read_only: bool,
}

impl Property {
    /// A property that can be written, and whose values need not be unique.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind, unique: false, read_only: false }
    }

    /// A text.
    pub fn text(name: &str) -> Self {
        Self::new(name, Kind::Text)
    }

    /// An enumeration.
    pub fn enumeration(name: &str, values: &[&str]) -> Self {
        Self::new(name, Kind::Enumeration(values.iter().map(|value| (*value).to_owned()).collect()))
    }

    /// With `hasUniqueValue`: a second record with the same value is refused, and it serves as `idProperty`.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Whose writing is refused.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// An object type: standard or custom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectType {
    pub(super) name: String,
    pub(super) type_id: String,
    pub(super) singular: String,
    pub(super) properties: Vec<Property>,
    pub(super) key: String,
    /// Of each group, a new record needs one.
    pub(super) minimum: Vec<Vec<String>>,
}

impl ObjectType {
    /// A type as paths name it, and its id, such as `2-1001`. It has the vendor's own properties only. Its key, by which
    /// rules and ledger tell its records apart, is `sync_key`.
    pub fn new(name: &str, type_id: &str) -> Self {
        let properties = ["hs_object_source", "hs_object_source_id", "hs_object_source_label"];
        let properties =
            properties.into_iter().map(Property::text).chain([Property::new("hs_object_id", Kind::Number)]);
        let times = if name == "contacts" {
            ["createdate", "lastmodifieddate"]
        } else {
            ["hs_createdate", "hs_lastmodifieddate"]
        };
        let times = times.into_iter().map(|name| Property::new(name, Kind::DateTime));
        Self {
            name: name.into(),
            type_id: type_id.into(),
            singular: name
                .strip_suffix("ies")
                .map_or_else(|| name.trim_end_matches('s').into(), |stem| format!("{stem}y")),
            properties: properties.chain(times).map(Property::read_only).collect(),
            key: "sync_key".into(),
            minimum: Vec::new(),
        }
    }

    /// With this property, in the place of another of its name.
    #[must_use]
    pub fn property(mut self, property: Property) -> Self {
        self.properties.retain(|other| other.name != property.name);
        self.properties.push(property);
        self
    }

    /// Told apart by this property.
    #[must_use]
    pub fn key(mut self, name: &str) -> Self {
        self.key = name.into();
        self
    }

    /// Of which a new record needs one of these. Each call adds a group.
    #[must_use]
    pub fn needs_one_of(mut self, names: &[&str]) -> Self {
        self.minimum.push(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    pub(super) fn find(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    pub(super) fn created(&self) -> &'static str {
        if self.name == "contacts" { "createdate" } else { "hs_createdate" }
    }

    pub(super) fn modified(&self) -> &'static str {
        if self.name == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" }
    }

    /// Whether records can be found by this property.
    pub(super) fn is_unique(&self, name: &str) -> bool {
        self.find(name).is_some_and(|property| property.unique)
    }
}

/// Contacts, companies and deals, each with a unique `sync_key`.
pub(super) fn defaults() -> Vec<ObjectType> {
    let stages = ["subscriber", "lead", "opportunity", "customer"].map(str::to_owned);
    let key = || Property::text("sync_key").unique();
    vec![
        ObjectType::new("contacts", "0-1")
            .property(Property::new("email", Kind::Email).unique())
            .property(Property::text("firstname"))
            .property(Property::text("lastname"))
            .property(Property::text("phone"))
            .property(Property::new("lifecyclestage", Kind::Stage(stages.into())))
            .property(key())
            .needs_one_of(&["email", "firstname", "lastname"]),
        ObjectType::new("companies", "0-2")
            .property(Property::text("name"))
            .property(Property::text("domain"))
            .property(Property::enumeration("industry", &["BANKING", "COMPUTER_SOFTWARE"]))
            .property(Property::new("numberofemployees", Kind::Number))
            .property(key())
            .needs_one_of(&["name", "domain"]),
        ObjectType::new("deals", "0-3")
            .property(Property::text("dealname"))
            .property(Property::enumeration("dealstage", &["appointmentscheduled", "closedwon", "closedlost"]))
            .property(Property::text("pipeline"))
            .property(Property::new("amount", Kind::Number))
            .property(Property::new("closedate", Kind::DateTime))
            .property(key())
            .needs_one_of(&["dealname"])
            .needs_one_of(&["dealstage"]),
    ]
}
