//! The calls the load makes, as rows of its books. Pure.

use tonic::Code;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    StartWorkflowExecution,
    SignalWithStartWorkflowExecution,
    SignalWorkflowExecution,
    UpdateWorkflowExecution,
    QueryWorkflow,
    PollWorkflowTaskQueue,
    RespondWorkflowTaskCompleted,
    RespondQueryTaskCompleted,
    GetWorkflowExecutionHistory,
    PollActivityTaskQueue,
    RespondActivityTaskCompleted,
    DescribeWorkflowExecution,
    CountWorkflowExecutions,
    TerminateWorkflowExecution,
}

impl Rpc {
    pub(crate) const ALL: [Self; 14] = [
        Self::StartWorkflowExecution,
        Self::SignalWithStartWorkflowExecution,
        Self::SignalWorkflowExecution,
        Self::UpdateWorkflowExecution,
        Self::QueryWorkflow,
        Self::PollWorkflowTaskQueue,
        Self::RespondWorkflowTaskCompleted,
        Self::RespondQueryTaskCompleted,
        Self::GetWorkflowExecutionHistory,
        Self::PollActivityTaskQueue,
        Self::RespondActivityTaskCompleted,
        Self::DescribeWorkflowExecution,
        Self::CountWorkflowExecutions,
        Self::TerminateWorkflowExecution,
    ];

    /// The name in the API.
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether the server holds the call until there is something to say: its latency means nothing.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::PollWorkflowTaskQueue | Self::PollActivityTaskQueue)
    }
}

/// The code as gRPC spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether the same call may succeed when made again, as the official clients see it.
pub(crate) fn retryable(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        for (row, rpc) in Rpc::ALL.into_iter().enumerate() {
            assert_eq!(rpc as usize, row);
        }
        assert_eq!(Rpc::QueryWorkflow.name(), "QueryWorkflow");
    }

    #[test]
    fn a_missing_thing_is_not_asked_for_again() {
        assert!(retryable(Code::Unavailable));
        assert!(!retryable(Code::NotFound));
        assert_eq!(code_name(Code::ResourceExhausted), "RESOURCE_EXHAUSTED");
    }
}
