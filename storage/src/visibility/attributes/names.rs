//! The attributes that every namespace has, and the names that no custom one may take (reference 4.2).

use super::ValueType;

/// Tells internal kinds of executions from workflows, which have none.
pub const DIVISION: &str = "TemporalNamespaceDivision";

/// The prefix that a query may leave out of a predefined name.
pub(in crate::visibility) const PREFIX: &str = "Temporal";

/// An attribute that the server keeps in the record itself; clients query it and never set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemAttribute {
    WorkflowId,
    RunId,
    WorkflowType,
    TaskQueue,
    ExecutionStatus,
    StartTime,
    ExecutionTime,
    CloseTime,
    ExecutionDuration,
    HistoryLength,
    HistorySizeBytes,
    StateTransitionCount,
    ParentWorkflowId,
    ParentRunId,
    RootWorkflowId,
    RootRunId,
}

impl SystemAttribute {
    pub const ALL: [Self; 16] = [
        Self::WorkflowId,
        Self::RunId,
        Self::WorkflowType,
        Self::TaskQueue,
        Self::ExecutionStatus,
        Self::StartTime,
        Self::ExecutionTime,
        Self::CloseTime,
        Self::ExecutionDuration,
        Self::HistoryLength,
        Self::HistorySizeBytes,
        Self::StateTransitionCount,
        Self::ParentWorkflowId,
        Self::ParentRunId,
        Self::RootWorkflowId,
        Self::RootRunId,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WorkflowId => "WorkflowId",
            Self::RunId => "RunId",
            Self::WorkflowType => "WorkflowType",
            Self::TaskQueue => "TaskQueue",
            Self::ExecutionStatus => "ExecutionStatus",
            Self::StartTime => "StartTime",
            Self::ExecutionTime => "ExecutionTime",
            Self::CloseTime => "CloseTime",
            Self::ExecutionDuration => "ExecutionDuration",
            Self::HistoryLength => "HistoryLength",
            Self::HistorySizeBytes => "HistorySizeBytes",
            Self::StateTransitionCount => "StateTransitionCount",
            Self::ParentWorkflowId => "ParentWorkflowId",
            Self::ParentRunId => "ParentRunId",
            Self::RootWorkflowId => "RootWorkflowId",
            Self::RootRunId => "RootRunId",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    #[must_use]
    pub const fn value_type(self) -> ValueType {
        match self {
            Self::WorkflowId
            | Self::RunId
            | Self::WorkflowType
            | Self::TaskQueue
            | Self::ExecutionStatus
            | Self::ParentWorkflowId
            | Self::ParentRunId
            | Self::RootWorkflowId
            | Self::RootRunId => ValueType::Keyword,
            Self::StartTime | Self::ExecutionTime | Self::CloseTime => ValueType::Datetime,
            Self::ExecutionDuration
            | Self::HistoryLength
            | Self::HistorySizeBytes
            | Self::StateTransitionCount => ValueType::Int,
        }
    }
}

/// An attribute that every namespace has and the record keeps like a custom one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredefinedAttribute {
    pub name: &'static str,
    pub value_type: ValueType,
    /// Whether clients may set it; the others are the server's.
    pub settable: bool,
}

const fn settable(name: &'static str, value_type: ValueType) -> PredefinedAttribute {
    PredefinedAttribute {
        name,
        value_type,
        settable: true,
    }
}

const fn server_only(name: &'static str, value_type: ValueType) -> PredefinedAttribute {
    PredefinedAttribute {
        name,
        value_type,
        settable: false,
    }
}

impl PredefinedAttribute {
    pub const ALL: [Self; 17] = [
        settable("BatcherNamespace", ValueType::Keyword),
        settable("BatcherUser", ValueType::Keyword),
        settable("BinaryChecksums", ValueType::KeywordList),
        settable("BuildIds", ValueType::KeywordList),
        settable("TemporalChangeVersion", ValueType::KeywordList),
        server_only("TemporalExternalPayloadCount", ValueType::Int),
        server_only("TemporalExternalPayloadSizeBytes", ValueType::Int),
        settable(DIVISION, ValueType::Keyword),
        settable("TemporalPauseInfo", ValueType::KeywordList),
        settable("TemporalReportedProblems", ValueType::KeywordList),
        settable("TemporalSchedulePaused", ValueType::Bool),
        settable("TemporalScheduledById", ValueType::Keyword),
        settable("TemporalScheduledStartTime", ValueType::Datetime),
        server_only("TemporalUsedWorkerDeploymentVersions", ValueType::KeywordList),
        server_only("TemporalWorkerDeployment", ValueType::Keyword),
        server_only("TemporalWorkerDeploymentVersion", ValueType::Keyword),
        server_only("TemporalWorkflowVersioningBehavior", ValueType::Keyword),
    ];

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name == name)
    }
}

/// Names of things that a record has and no query may use.
const UNSEARCHABLE: [&str; 4] = ["Memo", "MemoEncoding", "NamespaceId", "VisibilityTaskKey"];

/// Whether every namespace has the attribute, so that it can be neither added nor removed.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    SystemAttribute::from_name(name).is_some() || PredefinedAttribute::from_name(name).is_some()
}

/// Whether no custom attribute may have the name.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    is_built_in(name) || UNSEARCHABLE.contains(&name) || name.starts_with(PREFIX)
}
