//! What objects there are, and what their fields take.

/// An object: its fields, and the rules that its records keep.
#[derive(Debug, Clone)]
pub struct Object {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) fields: Vec<Field>,
    pub(super) duplicate_rule: Option<(String, String)>,
    pub(super) validation: Option<(String, String, String)>,
}

/// A field. Fields are writable text of at most 255 characters unless told otherwise.
#[derive(Debug, Clone)]
pub struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) max_length: Option<usize>,
    pub(super) unique: bool,
    pub(super) external_id: bool,
    pub(super) case_sensitive: bool,
    pub(super) writable: bool,
    pub(super) hidden: bool,
    pub(super) system: bool,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A record's own id.
    Id,
    /// Text.
    Text,
    /// An address that must look like one.
    Email,
    /// A number with decimals.
    Double,
    /// A whole number.
    Integer,
    /// True or false, never null.
    Boolean,
    /// `YYYY-MM-DD`
    Date,
    /// A point in time, shown with `+0000`.
    DateTime,
    /// One of these values, if restricted; any, if not.
    Picklist {
        /// The values.
        values: Vec<String>,
        /// Whether others are refused.
        restricted: bool,
    },
    /// A parent.
    Reference {
        /// The parent's object.
        to: String,
        /// How a body names the parent by external id: `Account`, `Parent__r`.
        relationship: String,
        /// Whether a write of the child locks the parent.
        locks: bool,
        /// Whether a child can be given another parent. A master-detail field's usually cannot.
        reparentable: bool,
    },
}

impl Object {
    /// An object with `Id` and the audit fields. The prefix begins its records' ids: `001` for accounts.
    pub fn new(name: &str, prefix: &str) -> Self {
        let user = |name: &str, relationship: &str| Field::reference(name, "User", relationship).system();
        let fields = vec![
            Field::of("Id", Kind::Id).system(),
            Field::of("IsDeleted", Kind::Boolean).system(),
            Field::of("CreatedDate", Kind::DateTime).system(),
            user("CreatedById", "CreatedBy"),
            Field::of("LastModifiedDate", Kind::DateTime).system(),
            user("LastModifiedById", "LastModifiedBy"),
            Field::of("SystemModstamp", Kind::DateTime).system(),
        ];
        Self { name: name.into(), prefix: prefix.into(), fields, duplicate_rule: None, validation: None }
    }

    /// Adds a field, or replaces the one of the same name.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.retain(|other| !other.is(&field.name));
        self.fields.push(field);
        self
    }

    /// Refuses a create whose `field` another record holds with `DUPLICATES_DETECTED`, unless the request says
    /// `Sforce-Duplicate-Rule-Header: allowSave=true`.
    #[must_use]
    pub fn duplicate_rule(mut self, rule: &str, field: &str) -> Self {
        self.duplicate_rule = Some((rule.into(), field.into()));
        self
    }

    /// Refuses a write that sets `field` to `value` with `FIELD_CUSTOM_VALIDATION_EXCEPTION`.
    #[must_use]
    pub fn validation_rule(mut self, field: &str, value: &str, message: &str) -> Self {
        self.validation = Some((field.into(), value.into(), message.into()));
        self
    }

    /// The field of this name, in whatever case.
    pub(super) fn find(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// The reference that a body names by this relationship.
    pub(super) fn relation(&self, name: &str) -> Option<(&Field, &str)> {
        self.fields.iter().find_map(|field| match &field.kind {
            Kind::Reference { to, relationship, .. } if relationship.eq_ignore_ascii_case(name) => {
                Some((field, to.as_str()))
            }
            _ => None,
        })
    }

    /// The field that the ledger knows records by: the first external id.
    pub(super) fn key(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.external_id)
    }
}

impl Field {
    /// Text of at most 255 characters.
    pub fn text(name: &str) -> Self {
        Self::of(name, Kind::Text).max_length(255)
    }

    /// A field of another kind.
    pub fn of(name: &str, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            required: false,
            max_length: None,
            unique: false,
            external_id: false,
            case_sensitive: false,
            writable: true,
            hidden: false,
            system: false,
        }
    }

    /// A look-up of a parent, which a write of the child locks. See [`Kind::Reference`] for other kinds.
    pub fn reference(name: &str, to: &str, relationship: &str) -> Self {
        let (to, relationship) = (to.into(), relationship.into());
        Self::of(name, Kind::Reference { to, relationship, locks: true, reparentable: true })
    }

    /// An external id: unique, and matched without regard to case.
    pub fn external_id(name: &str) -> Self {
        Self { unique: true, external_id: true, ..Self::text(name) }
    }

    /// Cannot be left empty.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Refuses longer text with `STRING_TOO_LONG`.
    #[must_use]
    pub fn max_length(mut self, characters: usize) -> Self {
        self.max_length = Some(characters);
        self
    }

    /// No two records may hold the same value.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Several records may hold the same value: an upsert can then meet a 300.
    #[must_use]
    pub fn not_unique(mut self) -> Self {
        self.unique = false;
        self
    }

    /// Tells values apart by case. An external id that is not unique always does.
    #[must_use]
    pub fn case_sensitive(mut self) -> Self {
        self.case_sensitive = true;
        self
    }

    /// Field-level security shows it and refuses to write it: `INVALID_FIELD_FOR_INSERT_UPDATE`.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.writable = false;
        self
    }

    /// Field-level security hides it: describe omits it, and reads and writes answer `INVALID_FIELD`.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    fn system(mut self) -> Self {
        (self.writable, self.system) = (false, true);
        self
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(super) fn label(&self) -> String {
        self.name.trim_end_matches("__c").replace('_', " ")
    }

    /// A value as it counts in comparisons of this field's values.
    pub(super) fn fold(&self, value: &str) -> String {
        if self.unique && !self.case_sensitive { value.to_lowercase() } else { value.to_owned() }
    }
}

/// `Account`, `Contact` and `User`, as a default org has them, each with the external id `Sync_Key__c`.
pub(super) fn default_objects() -> Vec<Object> {
    let picklist = |values: &[&str]| Kind::Picklist {
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        restricted: true,
    };
    vec![
        Object::new("Account", "001")
            .field(Field::text("Name").required())
            .field(Field::external_id("Sync_Key__c"))
            .field(Field::text("Phone").max_length(40))
            .field(Field::text("Website"))
            .field(Field::of("Description", Kind::Text).max_length(32_000))
            .field(Field::of("NumberOfEmployees", Kind::Integer))
            .field(Field::of("AnnualRevenue", Kind::Double))
            .field(Field::of("Active__c", Kind::Boolean))
            .field(Field::of("Founded__c", Kind::Date))
            .field(Field::of("Synced_At__c", Kind::DateTime))
            .field(Field::of("Rating", picklist(&["Hot", "Warm", "Cold"])))
            .field(Field::reference("ParentId", "Account", "Parent")),
        Object::new("Contact", "003")
            .field(Field::text("LastName").required().max_length(80))
            .field(Field::text("FirstName").max_length(40))
            .field(Field::external_id("Sync_Key__c"))
            .field(Field::of("Email", Kind::Email).max_length(80))
            .field(Field::text("Phone").max_length(40))
            .field(Field::of("Birthdate", Kind::Date))
            .field(Field::reference("AccountId", "Account", "Account")),
        Object::new("User", "005").field(Field::text("Username").required()),
    ]
}
