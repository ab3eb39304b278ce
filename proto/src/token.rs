//! Tokens that clients hand back unread: protobuf with a version, so that release n+1 reads those of n.

use prost::Message;

/// The version that this release writes.
const VERSION: u32 = 1;

/// Names one started workflow or activity task.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct TaskToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    pub namespace_id: String,
    #[prost(string, tag = "3")]
    pub workflow_id: String,
    #[prost(string, tag = "4")]
    pub run_id: String,
    #[prost(int64, tag = "5")]
    pub scheduled_event_id: i64,
    #[prost(int64, tag = "6")]
    pub started_event_id: i64,
    /// Nanoseconds since the epoch; tells a speculative task from a later one with the same event ids.
    #[prost(int64, tag = "7")]
    pub started_time: i64,
    #[prost(int32, tag = "8")]
    pub attempt: i32,
    /// Empty in a workflow task's token.
    #[prost(string, tag = "9")]
    pub activity_id: String,
    #[prost(string, tag = "10")]
    pub activity_type: String,
}

/// Names one dispatched query, and the node that holds the waiting caller.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct QueryToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    pub namespace_id: String,
    #[prost(string, tag = "3")]
    pub task_queue: String,
    #[prost(uint64, tag = "4")]
    pub query: u64,
    #[prost(string, tag = "5")]
    pub node: String,
}

/// The bytes are not a token of a version that this release reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token is malformed")]
pub struct InvalidToken;

macro_rules! token {
    ($name:ident) => {
        impl $name {
            #[must_use]
            pub fn to_bytes(mut self) -> Vec<u8> {
                self.version = VERSION;
                self.encode_to_vec()
            }

            pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidToken> {
                let token = Self::decode(bytes).map_err(|_| InvalidToken)?;
                if token.version == VERSION {
                    Ok(token)
                } else {
                    Err(InvalidToken)
                }
            }
        }
    };
}

token!(TaskToken);
token!(QueryToken);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_reads_what_it_writes() {
        let token = TaskToken {
            workflow_id: "order-1".into(),
            attempt: 3,
            ..Default::default()
        };
        let read = TaskToken::from_bytes(&token.to_bytes()).expect("own token");
        assert_eq!((read.workflow_id.as_str(), read.attempt), ("order-1", 3));
    }

    #[test]
    fn foreign_bytes_are_no_token() {
        assert_eq!(TaskToken::from_bytes(b"\xff\xff"), Err(InvalidToken));
        assert_eq!(TaskToken::from_bytes(b""), Err(InvalidToken));
    }
}
