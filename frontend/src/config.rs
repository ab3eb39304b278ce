//! What an operator may set for calls: how many there may be.

use std::{num::NonZeroU32, time::Duration};

use matching::config::{human_duration, read_duration};
use serde::Deserialize;
use storage::visibility::limits::{AttributeLimits, PAGE_SIZE_MAX};

use crate::limits;

/// Bounds of the calls that a node takes. What is not set does not bound: a node that has too much to do says so by
/// its queues, of which each is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Calls a second of all namespaces together (`frontend.rps`).
    pub rps: Option<NonZeroU32>,
    /// Calls a second of each namespace, but those to visibility (`frontend.namespaceRPS`).
    pub namespace_rps: Option<NonZeroU32>,
    /// Calls a second to visibility of each namespace (`frontend.namespaceRPS.visibility`).
    pub namespace_visibility_rps: Option<NonZeroU32>,
    /// Calls of one kind that wait for something, such as polls, for one namespace (`frontend.namespaceCount`).
    pub namespace_waiting_calls_max: NonZeroU32,
    /// Connections at a time. Over it nothing more is accepted until one ends; no more than half of the files that the
    /// process may open.
    pub connections_max: NonZeroU32,
    /// How old a connection gets before its client is asked to make another one, so that clients spread over nodes
    /// that come (`frontend.keepAliveMaxConnectionAge`), such as "5m". Its calls go on to their end.
    #[serde(deserialize_with = "human_duration")]
    pub connection_age_max: Duration,
    /// What requests may carry; set by the names of dynamic settings only.
    #[serde(skip)]
    pub sizes: Sizes,
    /// How long calls may wait; set by the names of dynamic settings only.
    #[serde(skip)]
    pub waits: Waits,
}

/// How long a call waits for what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// A poll for a task (`matching.longPollExpirationInterval`).
    pub poll_max: Duration,
    /// A reader of history or of an update (`history.longPollExpirationInterval`).
    pub news_max: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            poll_max: limits::POLL_MAX,
            news_max: limits::NEWS_WAIT_MAX,
        }
    }
}

/// What requests may carry, what answers may, and what is meant where requests say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Names, ids, identities and request ids (`limit.maxIDLength`).
    pub id_bytes_max: usize,
    /// Transactions on one page of history if the reader does not say (`frontend.historyMaxPageSize`).
    pub history_page_default: usize,
    /// Runs on one page of a list (`frontend.visibilityMaxPageSize`).
    pub list_page_max: usize,
    /// One blob of payloads (`limit.blobSize.error`).
    pub blob_bytes_max: usize,
    /// A memo (`limit.memoSize.error`).
    pub memo_bytes_max: usize,
    /// Search attributes (`frontend.searchAttributes*`).
    pub attributes: AttributeLimits,
    /// The time-out of workflow tasks (`history.defaultWorkflowTaskTimeout`).
    pub task_timeout_default: Duration,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            id_bytes_max: limits::ID_BYTES_MAX,
            history_page_default: limits::HISTORY_PAGE_NODES_MAX,
            list_page_max: PAGE_SIZE_MAX,
            blob_bytes_max: limits::BLOB_BYTES_MAX,
            memo_bytes_max: limits::MEMO_BYTES_MAX,
            attributes: AttributeLimits::default(),
            task_timeout_default: limits::TASK_TIMEOUT_DEFAULT,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rps: None,
            namespace_rps: None,
            namespace_visibility_rps: None,
            namespace_waiting_calls_max: NonZeroU32::new(limits::WAITING_CALLS_MAX)
                .unwrap_or(NonZeroU32::MAX),
            connections_max: NonZeroU32::new(limits::CONNECTIONS_MAX).unwrap_or(NonZeroU32::MAX),
            connection_age_max: limits::CONNECTION_AGE_MAX,
            sizes: Sizes::default(),
            waits: Waits::default(),
        }
    }
}

/// The value of a dynamic setting is not one that it takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} wants {wanted}, not {value}")]
pub struct InvalidSetting {
    key: String,
    wanted: &'static str,
    value: String,
}

impl Config {
    /// Takes a dynamic setting of the official server; says whether it means something here. Case does not matter in
    /// names.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, InvalidSetting> {
        let invalid = |wanted| InvalidSetting {
            key: key.to_owned(),
            wanted,
            value: value.to_owned(),
        };
        let number = || {
            value
                .parse::<NonZeroU32>()
                .map_err(|_| invalid("a whole number above zero"))
        };
        let bytes = || value.parse().map_err(|_| invalid("a whole number"));
        let page = |most: usize| Ok(number()?.get().try_into().unwrap_or(most).min(most));
        let span = || read_duration(value).ok_or_else(|| invalid("a number and ms, s, m or h"));
        let (sizes, waits) = (&mut self.sizes, &mut self.waits);
        match key.to_ascii_lowercase().as_str() {
            "frontend.rps" => self.rps = Some(number()?),
            "frontend.namespacerps" => self.namespace_rps = Some(number()?),
            "frontend.namespacerps.visibility" => self.namespace_visibility_rps = Some(number()?),
            "frontend.namespacecount" => self.namespace_waiting_calls_max = number()?,
            "frontend.keepalivemaxconnectionage" => self.connection_age_max = span()?,
            "frontend.searchattributesnumberofkeyslimit" => sizes.attributes.keys_max = bytes()?,
            "frontend.searchattributessizeofvaluelimit" => sizes.attributes.value_bytes_max = bytes()?,
            "frontend.searchattributestotalsizelimit" => sizes.attributes.total_bytes_max = bytes()?,
            "frontend.historymaxpagesize" => {
                sizes.history_page_default = page(limits::HISTORY_PAGE_NODES_MAX)?
            }
            "frontend.visibilitymaxpagesize" => sizes.list_page_max = page(PAGE_SIZE_MAX)?,
            "matching.longpollexpirationinterval" => waits.poll_max = span()?,
            "history.longpollexpirationinterval" => waits.news_max = span()?,
            "limit.maxidlength" => sizes.id_bytes_max = bytes()?,
            "limit.blobsize.error" => sizes.blob_bytes_max = bytes()?,
            "limit.memosize.error" => sizes.memo_bytes_max = bytes()?,
            "history.defaultworkflowtasktimeout" => sizes.task_timeout_default = span()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_keys_are_taken() {
        let mut config = Config::default();
        assert_eq!(config.set("frontend.rps", "7"), Ok(true));
        assert_eq!(config.set("frontend.namespaceCount", "9"), Ok(true));
        assert_eq!(config.set("history.rps", "x"), Ok(false));
        assert_eq!(config.set("limit.BlobSize.error", "100"), Ok(true));
        assert_eq!(config.sizes.blob_bytes_max, 100);
        assert_eq!(config.set("frontend.keepAliveMaxConnectionAge", "90s"), Ok(true));
        assert_eq!(config.connection_age_max, Duration::from_secs(90));
        assert!(config.set("frontend.keepAliveMaxConnectionAge", "90").is_err());
        assert_eq!(config.set("limit.maxIDLength", "50"), Ok(true));
        assert_eq!(config.set("frontend.visibilityMaxPageSize", "20"), Ok(true));
        assert_eq!(config.set("frontend.historyMaxPageSize", "1000"), Ok(true));
        assert_eq!(config.set("matching.longPollExpirationInterval", "5s"), Ok(true));
        assert_eq!(config.set("history.longPollExpirationInterval", "7s"), Ok(true));
        let sizes = config.sizes;
        assert_eq!((sizes.id_bytes_max, sizes.list_page_max), (50, 20));
        assert_eq!(sizes.history_page_default, limits::HISTORY_PAGE_NODES_MAX);
        let waits = Waits {
            poll_max: Duration::from_secs(5),
            news_max: Duration::from_secs(7),
        };
        assert_eq!(config.waits, waits);
        assert!(config.set("frontend.namespaceRPS", "0").is_err());
        assert_eq!(config.rps, NonZeroU32::new(7));
        assert_eq!(Some(config.namespace_waiting_calls_max), NonZeroU32::new(9));
        assert_eq!(config.namespace_rps, None);
    }
}
