//! Page tokens: where in the lists' order a page ended.

use bytes::Bytes;
use prost::Message;
use proto::{ids::RunId, time::Timestamp};

use super::{error::VisibilityError, record::Record};

/// The version that this release writes.
const VERSION: u32 = 1;

/// A place in the lists' order: after this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// [`Timestamp::MAX`] of an open run.
    pub(super) close_time: Timestamp,
    pub(super) start_time: Timestamp,
    pub(super) run_id: RunId,
}

#[derive(Clone, PartialEq, Message)]
struct PageToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(sfixed64, tag = "2")]
    close_time: i64,
    #[prost(sfixed64, tag = "3")]
    start_time: i64,
    #[prost(bytes = "bytes", tag = "4")]
    run_id: Bytes,
}

impl Position {
    /// Where a page ends that has the record last.
    pub(super) fn of(record: &Record) -> Self {
        Self {
            close_time: record.close.as_ref().map_or(Timestamp::MAX, |close| close.time),
            start_time: record.start_time,
            run_id: record.run_id,
        }
    }

    pub(super) fn to_bytes(self) -> Bytes {
        let token = PageToken {
            version: VERSION,
            close_time: self.close_time.nanos(),
            start_time: self.start_time.nanos(),
            run_id: Bytes::copy_from_slice(self.run_id.as_bytes()),
        };
        token.encode_to_vec().into()
    }

    /// Reads a token; the empty one is no position.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, VisibilityError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let token = PageToken::decode(bytes).map_err(|_| VisibilityError::InvalidToken)?;
        let run_id: [u8; 16] = token
            .run_id
            .as_ref()
            .try_into()
            .map_err(|_| VisibilityError::InvalidToken)?;
        if token.version != VERSION {
            return Err(VisibilityError::InvalidToken);
        }
        Ok(Some(Self {
            close_time: Timestamp::from_nanos(token.close_time),
            start_time: Timestamp::from_nanos(token.start_time),
            run_id: RunId::from_bytes(run_id),
        }))
    }
}
