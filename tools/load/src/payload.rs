//! The payloads of the load: so many bytes, with a head that tells whose they are.
//!
//! The head lets a workflow check that each activity's own result came back, not only some result.

use bytes::Bytes;
use proto::temporal::common::v1::{Payload, Payloads};

use crate::schedule::mix;

/// Bytes of the head: the workflow's number and the number within it.
const HEAD: usize = 16;

/// Makes payloads of one size; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Filler {
    filler: Bytes,
    empty: Payload,
}

impl Filler {
    pub(crate) fn new(size: usize) -> Self {
        // Not all the same byte, so that a compressing store does not get it for free.
        let filler: Vec<u8> = (0..size as u64).map(|at| mix(at).to_le_bytes()[0]).collect();
        let mut empty = Payload::default();
        empty.metadata.insert("encoding".into(), "binary/plain".into());
        Self {
            filler: filler.into(),
            empty,
        }
    }

    /// The same bytes for everybody: no copy.
    pub(crate) fn plain(&self) -> Payloads {
        self.wrap(self.filler.clone())
    }

    /// Bytes that only this workflow and this number within it has.
    pub(crate) fn marked(&self, workflow: u64, number: u64) -> Payloads {
        if self.filler.len() < HEAD {
            return self.plain();
        }
        let mut data = Vec::with_capacity(self.filler.len());
        data.extend_from_slice(&workflow.to_le_bytes());
        data.extend_from_slice(&number.to_le_bytes());
        data.extend_from_slice(&self.filler[HEAD..]);
        self.wrap(data.into())
    }

    /// Whether payloads are large enough to be marked.
    pub(crate) fn marks(&self) -> bool {
        self.filler.len() >= HEAD
    }

    fn wrap(&self, data: Bytes) -> Payloads {
        Payloads {
            payloads: vec![Payload {
                data,
                ..self.empty.clone()
            }],
        }
    }
}

/// A number that stands for one marked payload; the sum over a workflow's results shows that each came once.
pub(crate) fn fingerprint(workflow: u64, number: u64) -> u64 {
    mix(mix(workflow) ^ number)
}

/// The fingerprint of a payload that [`Filler::marked`] made; 0 when it is none.
pub(crate) fn fingerprint_of(payloads: Option<&Payloads>) -> u64 {
    let Some(payload) = payloads.and_then(|payloads| payloads.payloads.first()) else {
        return 0;
    };
    let Some((workflow, rest)) = payload.data.split_first_chunk::<8>() else {
        return 0;
    };
    let Some((number, _)) = rest.split_first_chunk::<8>() else {
        return 0;
    };
    fingerprint(u64::from_le_bytes(*workflow), u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_payload_has_the_size_and_its_own_fingerprint() {
        let filler = Filler::new(100);
        let payloads = filler.marked(3, 4);
        assert_eq!(payloads.payloads[0].data.len(), 100);
        assert_eq!(fingerprint_of(Some(&payloads)), fingerprint(3, 4));
        assert_ne!(fingerprint(3, 4), fingerprint(4, 3));
    }

    #[test]
    fn a_small_payload_is_not_marked() {
        let filler = Filler::new(3);
        assert!(!filler.marks());
        assert_eq!(filler.marked(1, 1).payloads[0].data.len(), 3);
        assert_eq!(fingerprint_of(Some(&filler.plain())), 0);
        assert_eq!(fingerprint_of(None), 0);
    }
}
