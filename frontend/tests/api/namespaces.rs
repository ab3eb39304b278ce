//! Namespaces and their search attributes, from their beginning to their end.

use proto::temporal::{
    common::v1::{Payload, SearchAttributes, WorkflowType},
    enums::v1::{IndexedValueType, NamespaceState},
    operatorservice::v1::{
        AddSearchAttributesRequest, DeleteNamespaceRequest, ListSearchAttributesRequest,
        RemoveSearchAttributesRequest,
    },
    taskqueue::v1::TaskQueue,
    workflowservice::v1::*,
};

use crate::server::{NAMESPACE, Server, check, eventually, outcome};

fn register(name: &str, seconds: i64) -> RegisterNamespaceRequest {
    RegisterNamespaceRequest {
        namespace: name.to_owned(),
        workflow_execution_retention_period: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    }
}

fn start(namespace: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: namespace.to_owned(),
        workflow_id: "w".to_owned(),
        workflow_type: Some(WorkflowType { name: "T".to_owned() }),
        task_queue: Some(TaskQueue {
            name: "q".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_used_and_deprecated() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let rows = [
        (
            outcome(client.register_namespace(register("", 86_400)).await),
            "InvalidArgument: Namespace not set on request.",
        ),
        (
            outcome(client.register_namespace(register("n", 60)).await),
            "InvalidArgument: A valid retention period is not set on request.",
        ),
        (
            outcome(client.register_namespace(register("n", 86_400)).await),
            "ok",
        ),
        (
            outcome(client.register_namespace(register("n", 86_400)).await),
            "AlreadyExists: Namespace \"n\" already exists [NamespaceAlreadyExistsFailure]",
        ),
        (outcome(client.start_workflow_execution(start("n")).await), "ok"),
        (
            outcome(
                client
                    .deprecate_namespace(DeprecateNamespaceRequest {
                        namespace: "n".to_owned(),
                        ..Default::default()
                    })
                    .await,
            ),
            "ok",
        ),
        (
            outcome(client.start_workflow_execution(start("n")).await),
            "FailedPrecondition: Namespace has invalid state: Deprecated. Must be Registered. \
             [NamespaceInvalidStateFailure]",
        ),
    ];
    check(&rows);
    let describe = DescribeNamespaceRequest {
        namespace: "n".to_owned(),
        ..Default::default()
    };
    let info = client
        .describe_namespace(describe)
        .await
        .expect("described")
        .into_inner();
    assert_eq!(
        info.namespace_info.expect("info").state(),
        NamespaceState::Deprecated
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_name_is_free_and_its_runs_go_away() {
    let server = Server::start().await;
    let frontend = std::sync::Arc::clone(&server.frontend);
    tokio::spawn(async move { frontend.reclaim().await });
    let (mut client, mut operator) = (server.client().await, server.operator().await);
    client
        .register_namespace(register("n", 86_400))
        .await
        .expect("registered");
    client
        .start_workflow_execution(start("n"))
        .await
        .expect("started");
    let delete = DeleteNamespaceRequest {
        namespace: "n".to_owned(),
        ..Default::default()
    };
    let deleted = operator
        .delete_namespace(delete)
        .await
        .expect("deleted")
        .into_inner()
        .deleted_namespace;
    assert!(deleted.starts_with("n-deleted-"), "{deleted}");
    client
        .register_namespace(register("n", 86_400))
        .await
        .expect("registered anew");
    client
        .start_workflow_execution(start("n"))
        .await
        .expect("started anew");
    // In the end the record itself is gone.
    let describe = DescribeNamespaceRequest {
        namespace: deleted,
        ..Default::default()
    };
    eventually(async || client.describe_namespace(describe.clone()).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_attributes_come_and_go() {
    let server = Server::start().await;
    let (mut client, mut operator) = (server.client().await, server.operator().await);
    let add = AddSearchAttributesRequest {
        namespace: NAMESPACE.to_owned(),
        search_attributes: [("Customer".to_owned(), IndexedValueType::Keyword.into())].into(),
    };
    operator.add_search_attributes(add).await.expect("added");
    let list = ListSearchAttributesRequest {
        namespace: NAMESPACE.to_owned(),
    };
    let listed = operator
        .list_search_attributes(list)
        .await
        .expect("listed")
        .into_inner();
    assert_eq!(
        listed.custom_attributes["Customer"],
        i32::from(IndexedValueType::Keyword)
    );
    assert!(listed.system_attributes.contains_key("WorkflowId"));

    let payload = Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: "\"ada\"".into(),
        ..Default::default()
    };
    let fields = SearchAttributes {
        indexed_fields: [("Customer".to_owned(), payload)].into(),
    };
    let request = StartWorkflowExecutionRequest {
        search_attributes: Some(fields),
        ..start(NAMESPACE)
    };
    client
        .start_workflow_execution(request.clone())
        .await
        .expect("started");
    let query = CountWorkflowExecutionsRequest {
        namespace: NAMESPACE.to_owned(),
        query: "Customer = 'ada'".to_owned(),
    };
    eventually(async || {
        let counted = client
            .count_workflow_executions(query.clone())
            .await
            .expect("counted");
        counted.into_inner().count == 1
    })
    .await;

    let remove = RemoveSearchAttributesRequest {
        namespace: NAMESPACE.to_owned(),
        search_attributes: vec!["Customer".to_owned()],
    };
    operator.remove_search_attributes(remove).await.expect("removed");
    let rows = [(
        outcome(client.start_workflow_execution(request).await),
        "InvalidArgument: Namespace default has no mapping defined for search attribute Customer",
    )];
    check(&rows);
}
