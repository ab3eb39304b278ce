//! Search attributes: their names, types and values, and what they are in the API's messages.
//!
//! `names` lists the attributes that every namespace has; `payload` reads and writes the API's payloads.

mod datetime;
mod names;
mod payload;
pub(super) mod show;

use std::{collections::BTreeMap, fmt, sync::Arc};

use proto::temporal::{common::v1 as common, enums::v1::IndexedValueType};

use super::{error::AttributeError, limits::AttributeLimits};

pub(super) use self::names::PREFIX;
pub use self::{
    datetime::Datetime,
    names::{DIVISION, PredefinedAttribute, SystemAttribute, is_built_in, is_reserved},
};

/// The seven types of a search attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ValueType {
    Text = 1,
    Keyword = 2,
    Int = 3,
    Double = 4,
    Bool = 5,
    Datetime = 6,
    KeywordList = 7,
}

impl ValueType {
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Keyword,
        Self::Int,
        Self::Double,
        Self::Bool,
        Self::Datetime,
        Self::KeywordList,
    ];

    /// Returns the name that a payload's `type` metadata has.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Keyword => "Keyword",
            Self::Int => "Int",
            Self::Double => "Double",
            Self::Bool => "Bool",
            Self::Datetime => "Datetime",
            Self::KeywordList => "KeywordList",
        }
    }

    /// Reads the name that a payload's `type` metadata has.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value_type| value_type.name() == name)
    }

    /// Returns the API's type; `None` for UNSPECIFIED.
    #[must_use]
    pub fn from_api(value_type: IndexedValueType) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|candidate| candidate.to_api() == value_type)
    }

    #[must_use]
    pub const fn to_api(self) -> IndexedValueType {
        match self {
            Self::Text => IndexedValueType::Text,
            Self::Keyword => IndexedValueType::Keyword,
            Self::Int => IndexedValueType::Int,
            Self::Double => IndexedValueType::Double,
            Self::Bool => IndexedValueType::Bool,
            Self::Datetime => IndexedValueType::Datetime,
            Self::KeywordList => IndexedValueType::KeywordList,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A search attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchValue {
    Text(String),
    Keyword(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Datetime(Datetime),
    KeywordList(Vec<String>),
}

impl SearchValue {
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Text(_) => ValueType::Text,
            Self::Keyword(_) => ValueType::Keyword,
            Self::Int(_) => ValueType::Int,
            Self::Double(_) => ValueType::Double,
            Self::Bool(_) => ValueType::Bool,
            Self::Datetime(_) => ValueType::Datetime,
            Self::KeywordList(_) => ValueType::KeywordList,
        }
    }

    /// Returns the value as the API writes it: JSON with its type in the metadata.
    #[must_use]
    pub fn to_payload(&self) -> common::Payload {
        payload::write(self)
    }
}

/// The attributes that a namespace's runs may have: its custom ones, besides those that every namespace has.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    namespace: Arc<str>,
    custom: Arc<BTreeMap<String, ValueType>>,
}

impl Schema {
    /// Makes the schema from the namespace's name, for messages, and its custom attributes.
    #[must_use]
    pub fn new(namespace: &str, custom: BTreeMap<String, ValueType>) -> Self {
        Self {
            namespace: namespace.into(),
            custom: Arc::new(custom),
        }
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the custom attributes.
    #[must_use]
    pub fn custom(&self) -> &BTreeMap<String, ValueType> {
        &self.custom
    }

    /// Returns the type of a custom or predefined attribute, not of a system one.
    #[must_use]
    pub fn stored_type(&self, name: &str) -> Option<ValueType> {
        PredefinedAttribute::from_name(name)
            .map(|attribute| attribute.value_type)
            .or_else(|| self.custom.get(name).copied())
    }

    /// Makes checked attributes what histories and descriptions show: those without a value are dropped, and
    /// payloads that do not tell their type get it.
    pub fn complete(&self, attributes: &mut common::SearchAttributes) {
        payload::complete(attributes, self);
    }
}

/// The search attributes of one run by name. Holds no empty values: an attribute without a value is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchAttributes {
    values: BTreeMap<String, SearchValue>,
}

impl SearchAttributes {
    /// Checks a client's attributes and reads them. Attributes with an empty value, which unset, are left out.
    ///
    /// Messages are the official server's (reference 4.3). A `type` in a payload's metadata is not looked at.
    pub fn parse(
        attributes: &common::SearchAttributes,
        schema: &Schema,
        limits: &AttributeLimits,
    ) -> Result<Self, AttributeError> {
        payload::parse(attributes, schema, limits)
    }

    /// Reads attributes that were checked before. What the schema has lost since is left out.
    #[must_use]
    pub fn from_checked(attributes: &common::SearchAttributes, schema: &Schema) -> Self {
        payload::from_checked(attributes, schema)
    }

    /// Returns the attributes as lists show them. What the schema has lost since is left out.
    #[must_use]
    pub fn to_api(&self, schema: &Schema) -> common::SearchAttributes {
        let known = self
            .iter()
            .filter(|(name, value)| schema.stored_type(name) == Some(value.value_type()));
        common::SearchAttributes {
            indexed_fields: known
                .map(|(name, value)| (name.to_owned(), value.to_payload()))
                .collect(),
        }
    }

    #[must_use]
    pub fn value(&self, name: &str) -> Option<&SearchValue> {
        self.values.get(name)
    }

    /// Sets the attribute.
    pub fn insert(&mut self, name: impl Into<String>, value: SearchValue) {
        self.values.insert(name.into(), value);
    }

    pub fn remove(&mut self, name: &str) -> Option<SearchValue> {
        self.values.remove(name)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns about how many bytes the attributes take in memory.
    pub(super) fn size(&self) -> usize {
        let value_size = |value: &SearchValue| match value {
            SearchValue::Text(text) | SearchValue::Keyword(text) => text.len(),
            SearchValue::KeywordList(items) => {
                items.iter().map(|item| size_of::<String>() + item.len()).sum()
            }
            SearchValue::Int(_)
            | SearchValue::Double(_)
            | SearchValue::Bool(_)
            | SearchValue::Datetime(_) => 0,
        };
        let size = |(name, value): (&str, &SearchValue)| {
            size_of::<(String, SearchValue)>() + name.len() + value_size(value)
        };
        self.iter().map(size).sum()
    }

    /// Returns the attributes by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SearchValue)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns which internal kind of execution the run is; `None` for a workflow.
    #[must_use]
    pub fn division(&self) -> Option<&str> {
        match self.value(DIVISION) {
            Some(SearchValue::Keyword(division)) => Some(division),
            _ => None,
        }
    }
}
