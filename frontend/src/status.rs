//! Status: errors as gRPC statuses with the details that clients look for (reference 0.4). The only place that makes
//! a `tonic::Status`.

use prost::{Message, Name};
use prost_types::Any;
use proto::{
    api::google::rpc,
    temporal::{
        enums::v1::{ResourceExhaustedCause, ResourceExhaustedScope},
        errordetails::v1::{
            ClientVersionNotSupportedFailure, MultiOperationExecutionFailure, NamespaceAlreadyExistsFailure,
            NamespaceInvalidStateFailure, NamespaceNotFoundFailure, NotFoundFailure, PermissionDeniedFailure,
            QueryFailedFailure, ResourceExhaustedFailure, ServerVersionNotSupportedFailure,
            WorkflowExecutionAlreadyStartedFailure, WorkflowNotReadyFailure,
            multi_operation_execution_failure::OperationStatus,
        },
        failure::v1::MultiOperationExecutionAborted,
    },
};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{error::Error, limits};

const CAUSE_HEADER: &str = "x-resource-exhausted-cause";
const SCOPE_HEADER: &str = "x-resource-exhausted-scope";

/// Returns the error as clients see it.
pub(crate) fn status(error: &Error) -> Status {
    let mut message = error.to_string();
    truncate(&mut message);
    let code = code(error);
    let mut metadata = MetadataMap::new();
    if let Error::Exhausted { cause, scope, .. } = error {
        metadata.insert(CAUSE_HEADER, MetadataValue::from_static(cause_name(*cause)));
        metadata.insert(SCOPE_HEADER, MetadataValue::from_static(scope_name(*scope)));
    }
    let details = details(error);
    if details.is_empty() {
        return Status::with_metadata(code, message, metadata);
    }
    let whole = rpc::Status {
        code: code.into(),
        message: message.clone(),
        details,
    };
    Status::with_details_and_metadata(code, message, whole.encode_to_vec().into(), metadata)
}

/// Returns the code that the error has on the wire.
pub(crate) fn code(error: &Error) -> Code {
    match error {
        Error::InvalidArgument(_) | Error::QueryFailed { .. } => Code::InvalidArgument,
        Error::NotFound(_) | Error::NamespaceNotFound(_) => Code::NotFound,
        Error::NamespaceExists(_) | Error::AlreadyStarted { .. } => Code::AlreadyExists,
        Error::FailedPrecondition(_)
        | Error::NamespaceState { .. }
        | Error::NotReady(_)
        | Error::ClientVersion { .. }
        | Error::ServerVersion { .. } => Code::FailedPrecondition,
        Error::PermissionDenied(_) => Code::PermissionDenied,
        Error::Unimplemented(_) => Code::Unimplemented,
        Error::Unavailable(_) => Code::Unavailable,
        Error::DeadlineExceeded(_) => Code::DeadlineExceeded,
        Error::Internal(_) => Code::Internal,
        Error::Exhausted { .. } => Code::ResourceExhausted,
        Error::MultiOperation { start, update } => multi_operation_code(start, update),
        Error::Aborted => Code::Aborted,
        Error::Ok => Code::Ok,
    }
}

/// The first operation that itself failed gives the code.
fn multi_operation_code(start: &Error, update: &Error) -> Code {
    [start, update]
        .into_iter()
        .find(|error| !matches!(error, Error::Ok | Error::Aborted))
        .map_or(Code::Aborted, code)
}

fn details(error: &Error) -> Vec<Any> {
    let detail = match error {
        Error::NotFound(_) => any(&NotFoundFailure::default()),
        Error::NamespaceNotFound(namespace) => any(&NamespaceNotFoundFailure {
            namespace: namespace.clone(),
        }),
        Error::NamespaceExists(_) => any(&NamespaceAlreadyExistsFailure {}),
        Error::NamespaceState {
            namespace,
            state,
            allowed,
        } => any(&NamespaceInvalidStateFailure {
            namespace: namespace.clone(),
            state: (*state).into(),
            allowed_states: allowed.iter().map(|state| (*state).into()).collect(),
        }),
        Error::AlreadyStarted {
            start_request_id,
            run_id,
            first_run_id,
            ..
        } => any(&WorkflowExecutionAlreadyStartedFailure {
            start_request_id: start_request_id.clone(),
            run_id: run_id.clone(),
            first_execution_run_id: first_run_id.clone(),
        }),
        Error::NotReady(_) => any(&WorkflowNotReadyFailure {}),
        Error::QueryFailed { failure, .. } => any(&QueryFailedFailure {
            failure: failure.as_deref().cloned(),
        }),
        Error::PermissionDenied(_) => any(&PermissionDeniedFailure::default()),
        Error::Exhausted { cause, scope, .. } => any(&ResourceExhaustedFailure {
            cause: (*cause).into(),
            scope: (*scope).into(),
        }),
        Error::ClientVersion {
            name,
            version,
            supported,
        } => any(&ClientVersionNotSupportedFailure {
            client_version: version.clone(),
            client_name: name.clone(),
            supported_versions: (*supported).to_owned(),
        }),
        Error::ServerVersion { server, supported } => any(&ServerVersionNotSupportedFailure {
            server_version: (*server).to_owned(),
            client_supported_server_versions: supported.clone(),
        }),
        Error::MultiOperation { start, update } => any(&MultiOperationExecutionFailure {
            statuses: vec![operation_status(start), operation_status(update)],
        }),
        Error::Aborted => any(&MultiOperationExecutionAborted {}),
        Error::InvalidArgument(_)
        | Error::FailedPrecondition(_)
        | Error::Unimplemented(_)
        | Error::Unavailable(_)
        | Error::DeadlineExceeded(_)
        | Error::Internal(_)
        | Error::Ok => return Vec::new(),
    };
    vec![detail]
}

fn operation_status(error: &Error) -> OperationStatus {
    let message = error.to_string();
    OperationStatus {
        code: code(error).into(),
        message,
        details: details(error),
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn truncate(message: &mut String) {
    if message.len() > limits::STATUS_MESSAGE_BYTES_MAX {
        let end = (0..=limits::STATUS_MESSAGE_BYTES_MAX)
            .rev()
            .find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or(0));
    }
}

pub(crate) fn cause_name(cause: ResourceExhaustedCause) -> &'static str {
    match cause {
        ResourceExhaustedCause::Unspecified => "Unspecified",
        ResourceExhaustedCause::RpsLimit => "RpsLimit",
        ResourceExhaustedCause::ConcurrentLimit => "ConcurrentLimit",
        ResourceExhaustedCause::SystemOverloaded => "SystemOverloaded",
        ResourceExhaustedCause::PersistenceLimit => "PersistenceLimit",
        ResourceExhaustedCause::BusyWorkflow => "BusyWorkflow",
        ResourceExhaustedCause::ApsLimit => "ApsLimit",
        ResourceExhaustedCause::PersistenceStorageLimit => "PersistenceStorageLimit",
        ResourceExhaustedCause::CircuitBreakerOpen => "CircuitBreakerOpen",
        ResourceExhaustedCause::OpsLimit => "OpsLimit",
        ResourceExhaustedCause::WorkerDeploymentLimits => "WorkerDeploymentLimits",
        ResourceExhaustedCause::BandwidthLimit => "BandwidthLimit",
    }
}

pub(crate) fn scope_name(scope: ResourceExhaustedScope) -> &'static str {
    match scope {
        ResourceExhaustedScope::Unspecified => "Unspecified",
        ResourceExhaustedScope::Namespace => "Namespace",
        ResourceExhaustedScope::System => "System",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns code, message and the names of the details.
    fn show(error: &Error) -> (Code, String, Vec<String>) {
        let status = status(error);
        let details = if status.details().is_empty() {
            Vec::new()
        } else {
            let whole = rpc::Status::decode(status.details()).expect("details");
            assert_eq!(
                (whole.code, whole.message.as_str()),
                (status.code().into(), status.message())
            );
            whole.details.into_iter().map(|any| any.type_url).collect()
        };
        let names = details
            .iter()
            .map(|url| url.rsplit('.').next().unwrap_or_default().to_owned());
        (status.code(), status.message().to_owned(), names.collect())
    }

    #[test]
    fn every_error_has_its_code_and_detail() {
        let busy = engine::outcome::Rejection::Busy("busy".to_owned());
        let table: [(Error, Code, &[&str]); 8] = [
            (Error::invalid("x"), Code::InvalidArgument, &[]),
            (
                Error::NotFound("x".to_owned()),
                Code::NotFound,
                &["NotFoundFailure"],
            ),
            (
                Error::NamespaceNotFound("x".to_owned()),
                Code::NotFound,
                &["NamespaceNotFoundFailure"],
            ),
            (
                Error::NotReady("x".to_owned()),
                Code::FailedPrecondition,
                &["WorkflowNotReadyFailure"],
            ),
            (
                busy.into(),
                Code::ResourceExhausted,
                &["ResourceExhaustedFailure"],
            ),
            (Error::Unavailable("x".to_owned()), Code::Unavailable, &[]),
            (
                Error::PermissionDenied("x".to_owned()),
                Code::PermissionDenied,
                &["PermissionDeniedFailure"],
            ),
            (Error::Aborted, Code::Aborted, &["MultiOperationExecutionAborted"]),
        ];
        for (error, code, details) in table {
            let (shown, message, names) = show(&error);
            assert_eq!(
                (shown, names),
                (code, details.iter().map(|d| (*d).to_owned()).collect()),
                "{message}"
            );
        }
    }

    #[test]
    fn exhausted_says_why_in_headers() {
        let status = status(&Error::overloaded("full"));
        let header = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header(CAUSE_HEADER), Some("SystemOverloaded"));
        assert_eq!(header(SCOPE_HEADER), Some("System"));
    }

    #[test]
    fn multi_operation_takes_the_code_of_the_failed_one() {
        let error = Error::MultiOperation {
            start: Box::new(Error::Aborted),
            update: Box::new(Error::NotFound("update".to_owned())),
        };
        assert_eq!(show(&error).0, Code::NotFound);
        let both = Error::MultiOperation {
            start: Box::new(Error::Ok),
            update: Box::new(Error::Aborted),
        };
        assert_eq!(show(&both).0, Code::Aborted);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let (_, message, _) = show(&Error::invalid("ü".repeat(5_000)));
        assert_eq!(message.len(), limits::STATUS_MESSAGE_BYTES_MAX);
    }
}
