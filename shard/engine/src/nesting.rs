//! How deep failures nest that are kept.

use proto::temporal::failure::v1::Failure;

/// How many causes below a failure are kept. The protobuf library reads messages that nest a hundred deep, of which
/// the messages need some that a failure is stored and shown in.
const CAUSES_MAX: usize = 80;

/// Leaves out the causes that nest too deep.
pub(crate) fn bounded(mut failure: Failure) -> Failure {
    cut(&mut failure);
    failure
}

fn cut(failure: &mut Failure) {
    let mut last = failure;
    for _ in 0..CAUSES_MAX {
        match &mut last.cause {
            Some(cause) => last = cause,
            None => return,
        }
    }
    last.cause = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(causes: usize) -> Failure {
        (0..causes).fold(Failure::default(), |cause, _| Failure {
            cause: Some(Box::new(cause)),
            ..Default::default()
        })
    }

    #[test]
    fn only_the_deepest_causes_are_left_out() {
        for (given, kept) in [(0, 0), (1, 1), (80, 80), (81, 80), (99, 80)] {
            assert_eq!(bounded(nested(given)), nested(kept), "{given}");
        }
    }
}
