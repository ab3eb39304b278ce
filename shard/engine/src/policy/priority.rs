//! Priorities: what is allowed in one, and what a child or an activity takes over (reference 2.25).

use proto::temporal::common::v1::Priority;

const FAIRNESS_KEY_BYTES: usize = 64;

/// Refuses a priority out of range, with the official server's words.
pub(crate) fn check(priority: Option<&Priority>) -> Result<(), &'static str> {
    let Some(priority) = priority else { return Ok(()) };
    if priority.priority_key < 0 {
        return Err("priority key can't be negative");
    }
    if priority.fairness_key.len() > FAIRNESS_KEY_BYTES {
        return Err("fairness key length exceeds limit");
    }
    if priority.fairness_weight.is_nan() || priority.fairness_weight < 0.0 {
        return Err("must be greater than zero");
    }
    Ok(())
}

/// Returns the priority with the fields that it leaves open taken from the workflow's.
pub(crate) fn inherit(own: Option<&Priority>, workflow: Option<&Priority>) -> Option<Priority> {
    let (Some(own), Some(workflow)) = (own, workflow) else {
        return own.or(workflow).cloned();
    };
    Some(Priority {
        priority_key: if own.priority_key == 0 {
            workflow.priority_key
        } else {
            own.priority_key
        },
        fairness_key: if own.fairness_key.is_empty() {
            &workflow.fairness_key
        } else {
            &own.fairness_key
        }
        .clone(),
        fairness_weight: if own.fairness_weight == 0.0 {
            workflow.fairness_weight
        } else {
            own.fairness_weight
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(priority_key: i32, fairness_key: &str, fairness_weight: f32) -> Priority {
        Priority {
            priority_key,
            fairness_key: fairness_key.to_owned(),
            fairness_weight,
        }
    }

    #[test]
    fn inherits_field_by_field() {
        let workflow = priority(4, "wf", 2.5);
        let cases = [
            (priority(0, "", 0.0), priority(4, "wf", 2.5)),
            (priority(1, "", 0.0), priority(1, "wf", 2.5)),
            (priority(0, "own", 3.0), priority(4, "own", 3.0)),
        ];
        for (own, expected) in cases {
            assert_eq!(inherit(Some(&own), Some(&workflow)), Some(expected));
        }
        assert_eq!(inherit(None, Some(&workflow)), Some(workflow.clone()));
        assert_eq!(inherit(Some(&workflow), None), Some(workflow));
        assert_eq!(inherit(None, None), None);
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        let cases = [
            (priority(-1, "", 0.0), Err("priority key can't be negative")),
            (
                priority(0, &"x".repeat(65), 0.0),
                Err("fairness key length exceeds limit"),
            ),
            (priority(0, "", -1.0), Err("must be greater than zero")),
            (priority(0, "", f32::NAN), Err("must be greater than zero")),
            (priority(6, &"x".repeat(64), 0.5), Ok(())),
        ];
        for (given, expected) in cases {
            assert_eq!(check(Some(&given)), expected, "{given:?}");
        }
    }
}
