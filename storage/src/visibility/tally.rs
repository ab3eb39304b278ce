//! Tally: counts runs and divides them by a query's GROUP BY, for backends that look at each run.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Count, Group,
    attributes::SearchValue,
    query::{GroupBy, status_name},
    record::Record,
};

/// A count as it grows.
#[derive(Debug)]
pub(super) struct Tally {
    group_by: Option<GroupBy>,
    total: u64,
    groups: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new(group_by: Option<GroupBy>) -> Self {
        Self {
            group_by,
            total: 0,
            groups: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, record: &Record) {
        self.total += 1;
        let value = match self.group_by {
            None => return,
            Some(GroupBy::ExecutionStatus) => status_name(record.status),
            Some(GroupBy::NamespaceDivision) => record.search_attributes.division().unwrap_or_default(),
        };
        if let Some(count) = self.groups.get_mut(value) {
            *count += 1;
        } else {
            self.groups.insert(value.to_owned(), 1);
        }
    }

    /// Largest group first, of equal ones by name.
    pub(super) fn count(self) -> Count {
        let group = |(value, count): (String, u64)| Group {
            value: SearchValue::Keyword(value),
            count,
        };
        let mut groups: Vec<_> = self.groups.into_iter().map(group).collect();
        groups.sort_by_key(|group| Reverse(group.count));
        Count {
            total: self.total,
            groups,
        }
    }
}
