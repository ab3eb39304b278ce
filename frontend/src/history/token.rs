//! The token under which a history goes on.

use prost::Message;
use proto::ids::RunId;

use crate::error::Error;

/// The version that this release writes.
const VERSION: u32 = 1;

/// Where a page of history ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct HistoryToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The run stays the same from page to page, whatever the current one is meanwhile.
    #[prost(string, tag = "2")]
    pub(crate) run_id: String,
    /// The next event to return; backwards, the one that was returned last.
    #[prost(int64, tag = "3")]
    pub(crate) next: i64,
    /// The first event that was not there when the reading began.
    #[prost(int64, tag = "4")]
    pub(crate) end: i64,
    #[prost(bool, tag = "5")]
    pub(crate) open: bool,
}

impl HistoryToken {
    pub(crate) fn new(run_id: &str, next: i64, end: i64, open: bool) -> Self {
        Self {
            version: VERSION,
            run_id: run_id.to_owned(),
            next,
            end,
            open,
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Reads a token for the run that the request names, if it names one.
    pub(crate) fn read(bytes: &[u8], run_id: Option<RunId>) -> Result<(Self, RunId), Error> {
        let invalid = || Error::invalid("Invalid NextPageToken.");
        let token = Self::decode(bytes).map_err(|_| invalid())?;
        let run: RunId = token.run_id.parse().map_err(|_| invalid())?;
        if token.version != VERSION || token.next < 1 || token.end < 1 {
            return Err(invalid());
        }
        if run_id.is_some_and(|wanted| wanted != run) {
            return Err(Error::invalid(
                "RunId in the request does not match the NextPageToken.",
            ));
        }
        Ok((token, run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "00000000-0000-4000-8000-000000000001";

    #[test]
    fn token_reads_what_it_writes() {
        let token = HistoryToken::new(RUN, 5, 9, true);
        let read = HistoryToken::read(&token.to_bytes(), None).expect("own token");
        assert_eq!(read, (token, RUN.parse().expect("run id")));
    }

    #[test]
    fn tokens_are_checked() {
        let other = RunId::from_bytes([7; 16]);
        let table = [
            (b"foo".to_vec(), None, "Invalid NextPageToken."),
            (
                HistoryToken::new("run", 5, 9, true).to_bytes(),
                None,
                "Invalid NextPageToken.",
            ),
            (
                HistoryToken::new(RUN, -5, 9, true).to_bytes(),
                None,
                "Invalid NextPageToken.",
            ),
            (
                HistoryToken {
                    version: 2,
                    ..HistoryToken::new(RUN, 5, 9, true)
                }
                .to_bytes(),
                None,
                "Invalid NextPageToken.",
            ),
            (
                HistoryToken::new(RUN, 5, 9, true).to_bytes(),
                Some(other),
                "RunId in the request does not match the NextPageToken.",
            ),
        ];
        for (bytes, run_id, expected) in table {
            let error = HistoryToken::read(&bytes, run_id).expect_err(expected);
            assert_eq!(error, Error::invalid(expected));
        }
    }
}
