//! What workers do with workflow tasks and queries: one file for each RPC, and what they share.

pub(crate) mod complete_workflow_task;
pub(crate) mod describe;
pub(crate) mod fail_workflow_task;
pub(crate) mod heartbeat_worker;
pub(crate) mod list;
pub(crate) mod poll;
pub(crate) mod poll_workflow_task;
pub(crate) mod query_task;
pub(crate) mod respond_query;
pub(crate) mod shutdown;
pub(crate) mod task_token;

mod attribute_check;
