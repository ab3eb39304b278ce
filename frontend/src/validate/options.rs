//! Changes of a running workflow's options, as a field mask names them (reference 1.2).

use engine::options::{ChangeOptions, OptionParts};
use proto::temporal::workflow::v1::{VersioningOverride, WorkflowExecutionOptions};

use crate::error::Error;

const MESSAGE: &str = "temporal.api.workflow.v1.WorkflowExecutionOptions";
/// Whatever is below these is there, or does not matter: they change as a whole.
const WHOLE: [&str; 2] = ["versioning_override.", "time_skipping_config."];

/// Refuses a mask that is not there.
pub(crate) fn required(mask: Option<prost_types::FieldMask>) -> Result<prost_types::FieldMask, Error> {
    mask.ok_or_else(|| Error::invalid("UpdateMask is required"))
}

/// Makes the change that the mask asks for.
pub(crate) fn change(
    options: WorkflowExecutionOptions,
    mask: &prost_types::FieldMask,
    identity: String,
) -> Result<ChangeOptions, Error> {
    Ok(ChangeOptions {
        parts: parts(&mask.paths)?,
        versioning_override: options.versioning_override.map(new_form),
        priority: options.priority,
        identity,
    })
}

/// Leaves out what the override says in its old form, if it says it in the new one.
fn new_form(given: VersioningOverride) -> VersioningOverride {
    if given.r#override.is_none() {
        return given;
    }
    VersioningOverride {
        r#override: given.r#override,
        ..Default::default()
    }
}

/// Refuses a mask that names what is not there, after these words.
pub(crate) fn check_paths(mask: &prost_types::FieldMask, what: &str) -> Result<(), Error> {
    match mask.paths.iter().find(|path| !is_path(path)) {
        Some(path) => Err(Error::InvalidArgument(format!(
            "{what}: proto: invalid path {path:?} for message {MESSAGE:?}"
        ))),
        None => Ok(()),
    }
}

fn is_path(path: &str) -> bool {
    const KNOWN: [&str; 6] = [
        "versioning_override",
        "priority",
        "priority.priority_key",
        "priority.fairness_key",
        "priority.fairness_weight",
        "time_skipping_config",
    ];
    KNOWN.contains(&path) || WHOLE.iter().any(|whole| path.starts_with(whole))
}

fn parts(paths: &[String]) -> Result<OptionParts, Error> {
    let has = |path: &str| paths.iter().any(|given| given == path);
    let behavior = has("versioning_override.behavior");
    if behavior != has("versioning_override.deployment") {
        return Err(Error::invalid(
            "error applying update_options: versioning_override fields must be updated together",
        ));
    }
    Ok(OptionParts {
        versioning_override: behavior || has("versioning_override"),
        priority: has("priority"),
        priority_key: has("priority.priority_key"),
        fairness_key: has("priority.fairness_key"),
        fairness_weight: has("priority.fairness_weight"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> prost_types::FieldMask {
        prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    #[test]
    fn masks_name_what_changes() {
        let table = [
            (&["priority"][..], [false, true, false]),
            (
                &["versioning_override", "priority.priority_key"],
                [true, false, true],
            ),
            (
                &["versioning_override.behavior", "versioning_override.deployment"],
                [true, false, false],
            ),
            (&["time_skipping_config"], [false; 3]),
        ];
        for (paths, expected) in table {
            let mask = mask(paths);
            assert_eq!(check_paths(&mask, "x"), Ok(()), "{paths:?}");
            let read = change(WorkflowExecutionOptions::default(), &mask, String::new());
            let parts = read.expect("a change").parts;
            assert_eq!(
                [parts.versioning_override, parts.priority, parts.priority_key],
                expected
            );
        }
    }

    #[test]
    fn masks_that_name_nothing_are_refused() {
        let bad = Error::invalid(
            "x: proto: invalid path \"nothing\" for message \"temporal.api.workflow.v1.WorkflowExecutionOptions\"",
        );
        assert_eq!(check_paths(&mask(&["priority", "nothing"]), "x"), Err(bad));
        assert!(parts(&["versioning_override.behavior".to_owned()]).is_err());
    }
}
