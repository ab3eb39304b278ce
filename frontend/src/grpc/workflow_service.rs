//! WorkflowService: which function answers which RPC. What is not listed under `answered` is not there yet.

use std::sync::Arc;

use proto::temporal::workflowservice::v1::{self as api, workflow_service_server::WorkflowService};

use super::answer::{Operation, answer, not_supported};
use crate::{
    activity, call::Call, frontend::Frontend, namespace, queue, system, visibility, worker, workflow,
};

/// The service that clients and workers talk to.
#[derive(Clone)]
pub(super) struct Workflows(pub(super) Arc<Frontend>);

super::answer::service! {
    WorkflowService for Workflows;
    answered {
        register_namespace(RegisterNamespaceRequest) -> RegisterNamespaceResponse = namespace::register::handle, RegisterNamespace;
        describe_namespace(DescribeNamespaceRequest) -> DescribeNamespaceResponse = namespace::describe::handle, DescribeNamespace;
        list_namespaces(ListNamespacesRequest) -> ListNamespacesResponse = namespace::list::handle, ListNamespaces of cluster;
        update_namespace(UpdateNamespaceRequest) -> UpdateNamespaceResponse = namespace::update::handle, UpdateNamespace;
        deprecate_namespace(DeprecateNamespaceRequest) -> DeprecateNamespaceResponse = namespace::deprecate::handle, DeprecateNamespace;
        start_workflow_execution(StartWorkflowExecutionRequest) -> StartWorkflowExecutionResponse = workflow::start::handle, StartWorkflowExecution;
        execute_multi_operation(ExecuteMultiOperationRequest) -> ExecuteMultiOperationResponse = workflow::multi_operation::handle, ExecuteMultiOperation;
        get_workflow_execution_history(GetWorkflowExecutionHistoryRequest) -> GetWorkflowExecutionHistoryResponse = workflow::get_history::handle;
        get_workflow_execution_history_reverse(GetWorkflowExecutionHistoryReverseRequest) -> GetWorkflowExecutionHistoryReverseResponse = workflow::get_history_reverse::handle, GetWorkflowExecutionHistoryReverse;
        poll_workflow_task_queue(PollWorkflowTaskQueueRequest) -> PollWorkflowTaskQueueResponse = worker::poll_workflow_task::handle, PollWorkflowTaskQueue;
        respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest) -> RespondWorkflowTaskCompletedResponse = worker::complete_workflow_task::handle, RespondWorkflowTaskCompleted;
        respond_workflow_task_failed(RespondWorkflowTaskFailedRequest) -> RespondWorkflowTaskFailedResponse = worker::fail_workflow_task::handle, RespondWorkflowTaskFailed;
        poll_activity_task_queue(PollActivityTaskQueueRequest) -> PollActivityTaskQueueResponse = activity::poll::handle, PollActivityTaskQueue;
        record_activity_task_heartbeat(RecordActivityTaskHeartbeatRequest) -> RecordActivityTaskHeartbeatResponse = activity::heartbeat::handle, RecordActivityTaskHeartbeat;
        record_activity_task_heartbeat_by_id(RecordActivityTaskHeartbeatByIdRequest) -> RecordActivityTaskHeartbeatByIdResponse = activity::heartbeat::handle_by_id, RecordActivityTaskHeartbeatById;
        respond_activity_task_completed(RespondActivityTaskCompletedRequest) -> RespondActivityTaskCompletedResponse = activity::complete::handle, RespondActivityTaskCompleted;
        respond_activity_task_completed_by_id(RespondActivityTaskCompletedByIdRequest) -> RespondActivityTaskCompletedByIdResponse = activity::complete::handle_by_id, RespondActivityTaskCompletedById;
        respond_activity_task_failed(RespondActivityTaskFailedRequest) -> RespondActivityTaskFailedResponse = activity::fail::handle, RespondActivityTaskFailed;
        respond_activity_task_failed_by_id(RespondActivityTaskFailedByIdRequest) -> RespondActivityTaskFailedByIdResponse = activity::fail::handle_by_id, RespondActivityTaskFailedById;
        respond_activity_task_canceled(RespondActivityTaskCanceledRequest) -> RespondActivityTaskCanceledResponse = activity::cancel::handle, RespondActivityTaskCanceled;
        respond_activity_task_canceled_by_id(RespondActivityTaskCanceledByIdRequest) -> RespondActivityTaskCanceledByIdResponse = activity::cancel::handle_by_id, RespondActivityTaskCanceledById;
        request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest) -> RequestCancelWorkflowExecutionResponse = workflow::cancel::handle, RequestCancelWorkflowExecution;
        signal_workflow_execution(SignalWorkflowExecutionRequest) -> SignalWorkflowExecutionResponse = workflow::signal::handle, SignalWorkflowExecution;
        signal_with_start_workflow_execution(SignalWithStartWorkflowExecutionRequest) -> SignalWithStartWorkflowExecutionResponse = workflow::signal_with_start::handle, SignalWithStartWorkflowExecution;
        reset_workflow_execution(ResetWorkflowExecutionRequest) -> ResetWorkflowExecutionResponse = workflow::reset::handle, ResetWorkflowExecution;
        terminate_workflow_execution(TerminateWorkflowExecutionRequest) -> TerminateWorkflowExecutionResponse = workflow::terminate::handle, TerminateWorkflowExecution;
        delete_workflow_execution(DeleteWorkflowExecutionRequest) -> DeleteWorkflowExecutionResponse = workflow::delete::handle, DeleteWorkflowExecution;
        list_open_workflow_executions(ListOpenWorkflowExecutionsRequest) -> ListOpenWorkflowExecutionsResponse = visibility::list_by_filter::handle_open, ListOpenWorkflowExecutions;
        list_closed_workflow_executions(ListClosedWorkflowExecutionsRequest) -> ListClosedWorkflowExecutionsResponse = visibility::list_by_filter::handle_closed, ListClosedWorkflowExecutions;
        list_workflow_executions(ListWorkflowExecutionsRequest) -> ListWorkflowExecutionsResponse = visibility::list::handle, ListWorkflowExecutions;
        list_archived_workflow_executions(ListArchivedWorkflowExecutionsRequest) -> ListArchivedWorkflowExecutionsResponse = visibility::list_archived::handle, ListArchivedWorkflowExecutions;
        scan_workflow_executions(ScanWorkflowExecutionsRequest) -> ScanWorkflowExecutionsResponse = visibility::list::handle_scan, ScanWorkflowExecutions;
        count_workflow_executions(CountWorkflowExecutionsRequest) -> CountWorkflowExecutionsResponse = visibility::count::handle, CountWorkflowExecutions;
        get_search_attributes(GetSearchAttributesRequest) -> GetSearchAttributesResponse = visibility::search_attributes::handle, GetSearchAttributes of cluster;
        respond_query_task_completed(RespondQueryTaskCompletedRequest) -> RespondQueryTaskCompletedResponse = worker::respond_query::handle, RespondQueryTaskCompleted;
        reset_sticky_task_queue(ResetStickyTaskQueueRequest) -> ResetStickyTaskQueueResponse = workflow::reset_sticky::handle, ResetStickyTaskQueue;
        shutdown_worker(ShutdownWorkerRequest) -> ShutdownWorkerResponse = worker::shutdown::handle, ShutdownWorker;
        query_workflow(QueryWorkflowRequest) -> QueryWorkflowResponse = workflow::query::handle, QueryWorkflow;
        describe_workflow_execution(DescribeWorkflowExecutionRequest) -> DescribeWorkflowExecutionResponse = workflow::describe::handle, DescribeWorkflowExecution;
        describe_task_queue(DescribeTaskQueueRequest) -> DescribeTaskQueueResponse = queue::describe::handle, DescribeTaskQueue;
        get_cluster_info(GetClusterInfoRequest) -> GetClusterInfoResponse = system::cluster_info, GetClusterInfo of cluster;
        get_system_info(GetSystemInfoRequest) -> GetSystemInfoResponse = system::system_info, GetSystemInfo of cluster;
        list_task_queue_partitions(ListTaskQueuePartitionsRequest) -> ListTaskQueuePartitionsResponse = queue::list_partitions::handle, ListTaskQueuePartitions;
        update_workflow_execution(UpdateWorkflowExecutionRequest) -> UpdateWorkflowExecutionResponse = workflow::update::handle, UpdateWorkflowExecution;
        poll_workflow_execution_update(PollWorkflowExecutionUpdateRequest) -> PollWorkflowExecutionUpdateResponse = workflow::poll_update::handle, PollWorkflowExecutionUpdate;
        update_workflow_execution_options(UpdateWorkflowExecutionOptionsRequest) -> UpdateWorkflowExecutionOptionsResponse = workflow::update_options::handle, UpdateWorkflowExecutionOptions;
        record_worker_heartbeat(RecordWorkerHeartbeatRequest) -> RecordWorkerHeartbeatResponse = worker::heartbeat_worker::handle, RecordWorkerHeartbeat;
        update_task_queue_config(UpdateTaskQueueConfigRequest) -> UpdateTaskQueueConfigResponse = queue::update_config::handle, UpdateTaskQueueConfig;
        list_workers(ListWorkersRequest) -> ListWorkersResponse = worker::list::handle, ListWorkers;
        count_workers(CountWorkersRequest) -> CountWorkersResponse = worker::list::count, CountWorkers;
        describe_worker(DescribeWorkerRequest) -> DescribeWorkerResponse = worker::describe::handle, DescribeWorker;
    }
    absent {
        create_schedule(CreateScheduleRequest) -> CreateScheduleResponse, CreateSchedule;
        describe_schedule(DescribeScheduleRequest) -> DescribeScheduleResponse, DescribeSchedule;
        update_schedule(UpdateScheduleRequest) -> UpdateScheduleResponse, UpdateSchedule;
        patch_schedule(PatchScheduleRequest) -> PatchScheduleResponse, PatchSchedule;
        list_schedule_matching_times(ListScheduleMatchingTimesRequest) -> ListScheduleMatchingTimesResponse, ListScheduleMatchingTimes;
        delete_schedule(DeleteScheduleRequest) -> DeleteScheduleResponse, DeleteSchedule;
        list_schedules(ListSchedulesRequest) -> ListSchedulesResponse, ListSchedules;
        count_schedules(CountSchedulesRequest) -> CountSchedulesResponse, CountSchedules;
        update_worker_build_id_compatibility(UpdateWorkerBuildIdCompatibilityRequest) -> UpdateWorkerBuildIdCompatibilityResponse, UpdateWorkerBuildIdCompatibility;
        get_worker_build_id_compatibility(GetWorkerBuildIdCompatibilityRequest) -> GetWorkerBuildIdCompatibilityResponse, GetWorkerBuildIdCompatibility;
        update_worker_versioning_rules(UpdateWorkerVersioningRulesRequest) -> UpdateWorkerVersioningRulesResponse, UpdateWorkerVersioningRules;
        get_worker_versioning_rules(GetWorkerVersioningRulesRequest) -> GetWorkerVersioningRulesResponse, GetWorkerVersioningRules;
        get_worker_task_reachability(GetWorkerTaskReachabilityRequest) -> GetWorkerTaskReachabilityResponse, GetWorkerTaskReachability;
        describe_deployment(DescribeDeploymentRequest) -> DescribeDeploymentResponse, DescribeDeployment;
        describe_worker_deployment_version(DescribeWorkerDeploymentVersionRequest) -> DescribeWorkerDeploymentVersionResponse, DescribeWorkerDeploymentVersion;
        list_deployments(ListDeploymentsRequest) -> ListDeploymentsResponse, ListDeployments;
        get_deployment_reachability(GetDeploymentReachabilityRequest) -> GetDeploymentReachabilityResponse, GetDeploymentReachability;
        get_current_deployment(GetCurrentDeploymentRequest) -> GetCurrentDeploymentResponse, GetCurrentDeployment;
        set_current_deployment(SetCurrentDeploymentRequest) -> SetCurrentDeploymentResponse, SetCurrentDeployment;
        set_worker_deployment_current_version(SetWorkerDeploymentCurrentVersionRequest) -> SetWorkerDeploymentCurrentVersionResponse, SetWorkerDeploymentCurrentVersion;
        describe_worker_deployment(DescribeWorkerDeploymentRequest) -> DescribeWorkerDeploymentResponse, DescribeWorkerDeployment;
        delete_worker_deployment(DeleteWorkerDeploymentRequest) -> DeleteWorkerDeploymentResponse, DeleteWorkerDeployment;
        delete_worker_deployment_version(DeleteWorkerDeploymentVersionRequest) -> DeleteWorkerDeploymentVersionResponse, DeleteWorkerDeploymentVersion;
        set_worker_deployment_ramping_version(SetWorkerDeploymentRampingVersionRequest) -> SetWorkerDeploymentRampingVersionResponse, SetWorkerDeploymentRampingVersion;
        list_worker_deployments(ListWorkerDeploymentsRequest) -> ListWorkerDeploymentsResponse, ListWorkerDeployments;
        create_worker_deployment(CreateWorkerDeploymentRequest) -> CreateWorkerDeploymentResponse, CreateWorkerDeployment;
        create_worker_deployment_version(CreateWorkerDeploymentVersionRequest) -> CreateWorkerDeploymentVersionResponse, CreateWorkerDeploymentVersion;
        update_worker_deployment_version_compute_config(UpdateWorkerDeploymentVersionComputeConfigRequest) -> UpdateWorkerDeploymentVersionComputeConfigResponse, UpdateWorkerDeploymentVersionComputeConfig;
        validate_worker_deployment_version_compute_config(ValidateWorkerDeploymentVersionComputeConfigRequest) -> ValidateWorkerDeploymentVersionComputeConfigResponse, ValidateWorkerDeploymentVersionComputeConfig;
        update_worker_deployment_version_metadata(UpdateWorkerDeploymentVersionMetadataRequest) -> UpdateWorkerDeploymentVersionMetadataResponse, UpdateWorkerDeploymentVersionMetadata;
        set_worker_deployment_manager(SetWorkerDeploymentManagerRequest) -> SetWorkerDeploymentManagerResponse, SetWorkerDeploymentManager;
        start_batch_operation(StartBatchOperationRequest) -> StartBatchOperationResponse, StartBatchOperation;
        stop_batch_operation(StopBatchOperationRequest) -> StopBatchOperationResponse, StopBatchOperation;
        describe_batch_operation(DescribeBatchOperationRequest) -> DescribeBatchOperationResponse, DescribeBatchOperation;
        list_batch_operations(ListBatchOperationsRequest) -> ListBatchOperationsResponse, ListBatchOperations;
        poll_nexus_task_queue(PollNexusTaskQueueRequest) -> PollNexusTaskQueueResponse, PollNexusTaskQueue;
        respond_nexus_task_completed(RespondNexusTaskCompletedRequest) -> RespondNexusTaskCompletedResponse, RespondNexusTaskCompleted;
        respond_nexus_task_failed(RespondNexusTaskFailedRequest) -> RespondNexusTaskFailedResponse, RespondNexusTaskFailed;
        update_activity_options(UpdateActivityOptionsRequest) -> UpdateActivityOptionsResponse, UpdateActivityOptions;
        pause_activity(PauseActivityRequest) -> PauseActivityResponse, PauseActivity;
        unpause_activity(UnpauseActivityRequest) -> UnpauseActivityResponse, UnpauseActivity;
        reset_activity(ResetActivityRequest) -> ResetActivityResponse, ResetActivity;
        create_workflow_rule(CreateWorkflowRuleRequest) -> CreateWorkflowRuleResponse, CreateWorkflowRule;
        describe_workflow_rule(DescribeWorkflowRuleRequest) -> DescribeWorkflowRuleResponse, DescribeWorkflowRule;
        delete_workflow_rule(DeleteWorkflowRuleRequest) -> DeleteWorkflowRuleResponse, DeleteWorkflowRule;
        list_workflow_rules(ListWorkflowRulesRequest) -> ListWorkflowRulesResponse, ListWorkflowRules;
        trigger_workflow_rule(TriggerWorkflowRuleRequest) -> TriggerWorkflowRuleResponse, TriggerWorkflowRule;
        fetch_worker_config(FetchWorkerConfigRequest) -> FetchWorkerConfigResponse, FetchWorkerConfig;
        update_worker_config(UpdateWorkerConfigRequest) -> UpdateWorkerConfigResponse, UpdateWorkerConfig;
        pause_workflow_execution(PauseWorkflowExecutionRequest) -> PauseWorkflowExecutionResponse, PauseWorkflowExecution;
        unpause_workflow_execution(UnpauseWorkflowExecutionRequest) -> UnpauseWorkflowExecutionResponse, UnpauseWorkflowExecution;
        start_activity_execution(StartActivityExecutionRequest) -> StartActivityExecutionResponse, StartActivityExecution;
        start_nexus_operation_execution(StartNexusOperationExecutionRequest) -> StartNexusOperationExecutionResponse, StartNexusOperationExecution;
        describe_activity_execution(DescribeActivityExecutionRequest) -> DescribeActivityExecutionResponse, DescribeActivityExecution;
        describe_nexus_operation_execution(DescribeNexusOperationExecutionRequest) -> DescribeNexusOperationExecutionResponse, DescribeNexusOperationExecution;
        poll_activity_execution(PollActivityExecutionRequest) -> PollActivityExecutionResponse, PollActivityExecution;
        poll_nexus_operation_execution(PollNexusOperationExecutionRequest) -> PollNexusOperationExecutionResponse, PollNexusOperationExecution;
        list_activity_executions(ListActivityExecutionsRequest) -> ListActivityExecutionsResponse, ListActivityExecutions;
        list_nexus_operation_executions(ListNexusOperationExecutionsRequest) -> ListNexusOperationExecutionsResponse, ListNexusOperationExecutions;
        count_activity_executions(CountActivityExecutionsRequest) -> CountActivityExecutionsResponse, CountActivityExecutions;
        count_nexus_operation_executions(CountNexusOperationExecutionsRequest) -> CountNexusOperationExecutionsResponse, CountNexusOperationExecutions;
        request_cancel_activity_execution(RequestCancelActivityExecutionRequest) -> RequestCancelActivityExecutionResponse, RequestCancelActivityExecution;
        request_cancel_nexus_operation_execution(RequestCancelNexusOperationExecutionRequest) -> RequestCancelNexusOperationExecutionResponse, RequestCancelNexusOperationExecution;
        terminate_activity_execution(TerminateActivityExecutionRequest) -> TerminateActivityExecutionResponse, TerminateActivityExecution;
        delete_activity_execution(DeleteActivityExecutionRequest) -> DeleteActivityExecutionResponse, DeleteActivityExecution;
        pause_activity_execution(PauseActivityExecutionRequest) -> PauseActivityExecutionResponse, PauseActivityExecution;
        reset_activity_execution(ResetActivityExecutionRequest) -> ResetActivityExecutionResponse, ResetActivityExecution;
        unpause_activity_execution(UnpauseActivityExecutionRequest) -> UnpauseActivityExecutionResponse, UnpauseActivityExecution;
        update_activity_execution_options(UpdateActivityExecutionOptionsRequest) -> UpdateActivityExecutionOptionsResponse, UpdateActivityExecutionOptions;
        terminate_nexus_operation_execution(TerminateNexusOperationExecutionRequest) -> TerminateNexusOperationExecutionResponse, TerminateNexusOperationExecution;
        delete_nexus_operation_execution(DeleteNexusOperationExecutionRequest) -> DeleteNexusOperationExecutionResponse, DeleteNexusOperationExecution;
        poll_workflow_execution_time_skipping(PollWorkflowExecutionTimeSkippingRequest) -> PollWorkflowExecutionTimeSkippingResponse, PollWorkflowExecutionTimeSkipping;
    }
}

impl Operation for api::GetWorkflowExecutionHistoryRequest {
    /// A reader that waits is no measure of how long reading takes.
    fn operation(&self) -> &'static str {
        if self.wait_new_event {
            "PollWorkflowExecutionHistory"
        } else {
            "GetWorkflowExecutionHistory"
        }
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }
}
