//! How a call is answered, whatever it asks: versions are checked, the deadline is kept, the outcome is counted.

use std::time::Duration;

use tonic::{Response, Status};

use crate::{call::Call, error::Error, frontend::Frontend, metrics::Counted, status};

/// How much earlier than its client the server gives up, so that the client hears of it.
const EARLY: Duration = Duration::from_millis(3);

/// What a request is counted as.
pub(super) trait Operation {
    fn operation(&self) -> &'static str;

    /// The namespace that it names; nothing if it concerns the whole cluster.
    fn namespace(&self) -> &str;
}

/// Runs a call to its end.
pub(super) async fn answer<R>(
    frontend: &Frontend,
    counted: Counted<'_>,
    call: &Call,
    answer: impl Future<Output = Result<R, Error>>,
) -> Result<Response<R>, Status> {
    let answer = cluster::router::answering(frontend.now(), answer);
    let result = match call.deadline {
        Some(deadline) => {
            let deadline = deadline.checked_sub(EARLY).unwrap_or(deadline);
            let expired = |_| Error::DeadlineExceeded("context deadline exceeded".to_owned());
            tokio::time::timeout_at(deadline, answer)
                .await
                .map_err(expired)
                .flatten()
        }
        None => answer.await,
    };
    counted.end(call.started.elapsed(), result.as_ref().err());
    result.map(Response::new).map_err(|error| {
        if let Error::Internal(_) = error {
            tracing::error!(operation = counted.operation(), %error, "call failed");
        }
        status::status(&error)
    })
}

pub(super) fn not_supported(method: &str) -> Status {
    status::status(&Error::Unimplemented(format!("method {method} not supported")))
}

/// The namespace that a request names; none in one `of cluster`.
macro_rules! namespace_of {
    ($request:ident) => {
        &$request.namespace
    };
    ($request:ident cluster) => {
        ""
    };
}

/// Implements a service's trait from the functions that answer its RPCs, each with the name that it is counted under.
/// A request without one implements [`Operation`] elsewhere.
macro_rules! service {
    (
        $service:ident for $implementor:ty;
        answered { $($method:ident($request:ident) -> $response:ident = $handler:path $(, $operation:ident $(of $whole:ident)?)?;)* }
        absent { $($absent:ident($absent_request:ident) -> $absent_response:ident, $absent_name:ident;)* }
    ) => {
        #[tonic::async_trait]
        impl $service for $implementor {
            $(
                async fn $method(
                    &self,
                    request: tonic::Request<api::$request>,
                ) -> Result<tonic::Response<api::$response>, tonic::Status> {
                    let call = Call::new(request.metadata(), self.0.options.calls.waits);
                    let request = request.into_inner();
                    let counted = self.0.count(request.operation(), request.namespace());
                    let answered = async {
                        self.0.rate.take(call.started)?;
                        call.check_versions()?;
                        $handler(&self.0, &call, request).await
                    };
                    answer(&self.0, counted, &call, answered).await
                }
            )*
            $(
                async fn $absent(
                    &self,
                    _: tonic::Request<api::$absent_request>,
                ) -> Result<tonic::Response<api::$absent_response>, tonic::Status> {
                    Err(not_supported(stringify!($absent_name)))
                }
            )*
        }

        $($(
            impl Operation for api::$request {
                fn operation(&self) -> &'static str {
                    stringify!($operation)
                }

                fn namespace(&self) -> &str {
                    crate::grpc::answer::namespace_of!(self $($whole)?)
                }
            }
        )?)*
    };
}

pub(super) use {namespace_of, service};
