//! Puts the fake server on the wire: the few methods it knows, by path.

use std::{
    convert::Infallible,
    future::{Future, ready},
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service as TowerService, http},
    server::{Grpc, UnaryService},
};
use tonic_prost::ProstCodec;

use super::Fake;

#[derive(Clone)]
pub(super) struct Service(pub Arc<Fake>);

impl TowerService<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fake = self.0.clone();
        let method = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "GetSystemInfo" => {
                    unary(fake, request, |fake, message| ready(fake.system_info(message))).await
                }
                "DescribeNamespace" => {
                    unary(fake, request, |fake, message| {
                        ready(fake.describe_namespace(message))
                    })
                    .await
                }
                "StartWorkflowExecution" => unary(fake, request, Fake::start).await,
                "PollWorkflowTaskQueue" => unary(fake, request, Fake::poll_workflow).await,
                "RespondWorkflowTaskCompleted" => {
                    unary(fake, request, |fake, message| {
                        ready(fake.complete_workflow_task(message))
                    })
                    .await
                }
                "PollActivityTaskQueue" => unary(fake, request, Fake::poll_activity).await,
                "RespondActivityTaskCompleted" => {
                    unary(fake, request, |fake, message| {
                        ready(fake.complete_activity(message))
                    })
                    .await
                }
                "DescribeWorkflowExecution" => {
                    unary(fake, request, |fake, message| ready(fake.describe(message))).await
                }
                "CountWorkflowExecutions" => {
                    unary(fake, request, |fake, message| ready(fake.count(message))).await
                }
                _ => Status::unimplemented(method).into_http(),
            })
        })
    }
}

async fn unary<Q, R, F>(
    fake: Arc<Fake>,
    request: http::Request<Body>,
    method: fn(Arc<Fake>, Q) -> F,
) -> http::Response<Body>
where
    Q: prost::Message + Default + 'static,
    R: prost::Message + Default + 'static,
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    let codec = ProstCodec::<R, Q>::default();
    Grpc::new(codec).unary(Method { fake, method }, request).await
}

struct Method<Q, F> {
    fake: Arc<Fake>,
    method: fn(Arc<Fake>, Q) -> F,
}

impl<Q, R, F> UnaryService<Q> for Method<Q, F>
where
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    type Response = R;
    type Future = BoxFuture<Response<R>, Status>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = (self.method)(self.fake.clone(), request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}
