//! Error: why a call is not answered as asked, before it becomes a status (`status`).

use cluster::router::AskError;
use engine::outcome::Rejection;
use proto::temporal::{
    enums::v1::{NamespaceState, ResourceExhaustedCause, ResourceExhaustedScope},
    failure::v1::Failure,
};
use storage::{
    error::StoreError,
    visibility::error::{AttributeError, QueryError as InvalidQuery, VisibilityError},
};

/// Why a call is not answered as asked; one variant for each entry of the error catalogue (reference 0.4).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    FailedPrecondition(String),
    #[error("{0}")]
    PermissionDenied(String),
    #[error("{0}")]
    Unimplemented(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    DeadlineExceeded(String),
    /// A bug, or stored data that cannot be read.
    #[error("{0}")]
    Internal(String),
    #[error("Namespace {0} is not found.")]
    NamespaceNotFound(String),
    #[error("Namespace \"{0}\" already exists")]
    NamespaceExists(String),
    #[error("Namespace has invalid state: {}. Must be {}.", title(*state), titles(allowed))]
    NamespaceState {
        namespace: String,
        state: NamespaceState,
        allowed: &'static [NamespaceState],
    },
    #[error("{message}")]
    AlreadyStarted {
        message: String,
        start_request_id: String,
        run_id: String,
        first_run_id: String,
    },
    #[error("{0}")]
    NotReady(String),
    #[error("{message}")]
    QueryFailed {
        message: String,
        failure: Option<Box<Failure>>,
    },
    #[error("{message}")]
    Exhausted {
        message: String,
        cause: ResourceExhaustedCause,
        scope: ResourceExhaustedScope,
    },
    #[error("Client version {version} is not supported. Server supports {name} versions: {supported}")]
    ClientVersion {
        name: String,
        version: String,
        supported: &'static str,
    },
    #[error("Server version {server} is not supported. Client supports server versions: {supported}")]
    ServerVersion { server: &'static str, supported: String },
    /// What became of a start and of the update that came with it.
    #[error("Update-with-Start could not be executed.")]
    MultiOperation { start: Box<Error>, update: Box<Error> },
    /// The other operation failed.
    #[error("Operation was aborted.")]
    Aborted,
    /// Succeeded, beside an operation that failed.
    #[error("")]
    Ok,
}

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArgument(message.into())
    }

    /// A reply that the request cannot have.
    pub(crate) fn unexpected_reply() -> Self {
        Self::Internal("unexpected reply of the shard".to_owned())
    }

    pub(crate) fn overloaded(message: impl Into<String>) -> Self {
        Self::Exhausted {
            message: message.into(),
            cause: ResourceExhaustedCause::SystemOverloaded,
            scope: ResourceExhaustedScope::System,
        }
    }

    pub(crate) fn node_rate_exceeded() -> Self {
        Self::Exhausted {
            message: "service rate limit exceeded".to_owned(),
            cause: ResourceExhaustedCause::RpsLimit,
            scope: ResourceExhaustedScope::System,
        }
    }

    pub(crate) fn namespace_rate_exceeded() -> Self {
        Self::Exhausted {
            message: "namespace rate limit exceeded".to_owned(),
            cause: ResourceExhaustedCause::RpsLimit,
            scope: ResourceExhaustedScope::Namespace,
        }
    }

    pub(crate) fn concurrent_limit(message: impl Into<String>) -> Self {
        Self::Exhausted {
            message: message.into(),
            cause: ResourceExhaustedCause::ConcurrentLimit,
            scope: ResourceExhaustedScope::Namespace,
        }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::InvalidArgument(message) => Self::InvalidArgument(message),
            Rejection::NotFound(message) => Self::NotFound(message),
            Rejection::FailedPrecondition(message) => Self::FailedPrecondition(message),
            Rejection::PermissionDenied(message) => Self::PermissionDenied(message),
            Rejection::NotReady(message) => Self::NotReady(message),
            Rejection::Busy(message) => Self::Exhausted {
                message,
                cause: ResourceExhaustedCause::BusyWorkflow,
                scope: ResourceExhaustedScope::Namespace,
            },
            Rejection::ConcurrentLimit(message) => Self::concurrent_limit(message),
            Rejection::Unavailable(message) => Self::Unavailable(message),
            Rejection::AlreadyStarted {
                message,
                start_request_id,
                run_id,
                first_run_id,
            } => Self::AlreadyStarted {
                message,
                start_request_id,
                run_id,
                first_run_id,
            },
            Rejection::Stale => Self::NotFound("task is stale".to_owned()),
            Rejection::MultiOperation { start, update } => Self::MultiOperation {
                start: Box::new(Self::from(*start)),
                update: Box::new(Self::from(*update)),
            },
            Rejection::Aborted => Self::Aborted,
            Rejection::Ok => Self::Ok,
        }
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Rejected(rejection) => rejection.into(),
            AskError::Busy(message) => Self::overloaded(message),
            AskError::Unavailable(message) => Self::Unavailable(message),
            AskError::Moved => Self::Unavailable(error.to_string()),
            AskError::Broken(message) => Self::Internal(message),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Broken(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<VisibilityError> for Error {
    fn from(error: VisibilityError) -> Self {
        match error {
            VisibilityError::InvalidToken => Self::invalid("Invalid NextPageToken."),
            VisibilityError::TooCostly { .. } => Self::invalid(error.to_string()),
            VisibilityError::Busy | VisibilityError::TooMany { .. } => Self::overloaded(error.to_string()),
            VisibilityError::Unavailable(_) => Self::Unavailable(error.to_string()),
            VisibilityError::Broken(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<InvalidQuery> for Error {
    fn from(error: InvalidQuery) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}

impl From<AttributeError> for Error {
    fn from(error: AttributeError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}

impl From<matching::error::AskError> for Error {
    fn from(error: matching::error::AskError) -> Self {
        match error {
            matching::error::AskError::Busy => Self::overloaded(error.to_string()),
            matching::error::AskError::TooManyPolls => Self::concurrent_limit(error.to_string()),
            matching::error::AskError::Gone => Self::Unavailable(error.to_string()),
        }
    }
}

/// The state as messages name it.
fn title(state: NamespaceState) -> &'static str {
    match state {
        NamespaceState::Registered => "Registered",
        NamespaceState::Deprecated => "Deprecated",
        NamespaceState::Deleted => "Deleted",
        NamespaceState::Unspecified => "Unspecified",
    }
}

fn titles(states: &[NamespaceState]) -> String {
    states
        .iter()
        .map(|state| title(*state))
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_errors_name_what_is_allowed() {
        let error = Error::NamespaceState {
            namespace: "n".to_owned(),
            state: NamespaceState::Deleted,
            allowed: &[NamespaceState::Registered, NamespaceState::Deprecated],
        };
        assert_eq!(
            error.to_string(),
            "Namespace has invalid state: Deleted. Must be Registered or Deprecated."
        );
    }
}
