//! What tonic says of calls that reach no service, in the words of the official server's transport (reference 0.1).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Code;
use tower::{Layer, Service};

use crate::limits;

const CODE: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// What tonic says of a request that is too large, as headers carry it.
const TOO_LARGE: &str = "Error,%20decoded%20message%20length%20too%20large";
/// What tonic says of a request that is too large once it is decompressed, as headers carry it.
const TOO_LARGE_UNPACKED: &str = "Error%20decompressing:%20size%20limit";
/// What tonic says of a request that is no message of its kind, and of a text in it that is none.
const UNREADABLE: &str = "failed%20to%20decode%20Protobuf%20message";
const NO_TEXT: &str = "not%20UTF-8%20encoded";
const NO_TEXT_OFFICIAL: &str = "grpc: error unmarshalling request: string field contains invalid UTF-8";

/// Puts the service behind it into official words.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireLayer;

impl<S> Layer<S> for WireLayer {
    type Service = Wire<S>;

    fn layer(&self, inner: S) -> Wire<S> {
        Wire { inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Wire<S> {
    inner: S,
}

impl<S, Q, R> Service<Request<Q>> for Wire<S>
where
    S: Service<Request<Q>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let uri = request.uri().clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            rewrite(response.headers_mut(), uri.path());
            Ok(response)
        })
    }
}

fn rewrite(headers: &mut HeaderMap, path: &str) {
    let code = headers
        .get(CODE)
        .and_then(|code| code.to_str().ok())
        .and_then(|code| code.parse().ok());
    let message = headers
        .get(MESSAGE)
        .and_then(|message| message.to_str().ok())
        .unwrap_or_default();
    let replacement = match code.map(Code::from_i32) {
        Some(Code::OutOfRange) if message.starts_with(TOO_LARGE) => {
            Some((Code::ResourceExhausted, too_large(message)))
        }
        Some(Code::ResourceExhausted) if message.starts_with(TOO_LARGE_UNPACKED) => {
            Some((Code::ResourceExhausted, too_large_unpacked()))
        }
        Some(Code::Internal) if message.starts_with(UNREADABLE) && message.contains(NO_TEXT) => {
            Some((Code::Internal, NO_TEXT_OFFICIAL.to_owned()))
        }
        Some(Code::Unimplemented) if message.is_empty() => Some((Code::Unimplemented, unknown(path))),
        _ => None,
    };
    let Some((code, message)) = replacement else {
        return;
    };
    if let (Ok(code), Ok(message)) = (
        HeaderValue::from_str(&i32::from(code).to_string()),
        HeaderValue::from_str(&message),
    ) {
        headers.insert(CODE, code);
        headers.insert(MESSAGE, message);
    }
}

/// Says how large the message is and how large it may be, in that order, as tonic does.
fn too_large(message: &str) -> String {
    let words = message.replace("%20", " ");
    let is_number = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut numbers = words.split(' ').filter(is_number);
    let found = numbers.next().unwrap_or_default();
    let limit = numbers.next().unwrap_or_default();
    format!("grpc: received message larger than max ({found} vs. {limit})")
}

fn too_large_unpacked() -> String {
    let limit = limits::REQUEST_BYTES_MAX;
    format!("grpc: received message after decompression larger than max {limit}")
}

fn unknown(path: &str) -> String {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (service, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // A path may hold what a header must not.
    let clean = |text: &str| {
        text.chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
            .collect()
    };
    let (service, method): (String, String) = (clean(service), clean(method));
    format!("unknown method {method} for service {service}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(code: Code, message: &'static str, path: &str) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(CODE, HeaderValue::from(i32::from(code)));
        headers.insert(MESSAGE, HeaderValue::from_static(message));
        rewrite(&mut headers, path);
        let text = |name| headers[name].to_str().expect("text").to_owned();
        (text(CODE), text(MESSAGE))
    }

    #[test]
    fn a_large_request_exhausts_a_resource() {
        let message = "Error,%20decoded%20message%20length%20too%20large:%20found%205242990%20bytes,%20the%20\
                       limit%20is:%204194304%20bytes";
        let expected = "grpc: received message larger than max (5242990 vs. 4194304)";
        assert_eq!(
            rewritten(Code::OutOfRange, message, "/s/M"),
            ("8".to_owned(), expected.to_owned())
        );
    }

    #[test]
    fn a_request_that_is_large_once_unpacked_exhausts_a_resource() {
        let message = "Error%20decompressing:%20size%20limit,%20of%204194304%20bytes,%20exceeded%20while%20\
                       decompressing%20message";
        let expected = "grpc: received message after decompression larger than max 4194304";
        assert_eq!(
            rewritten(Code::ResourceExhausted, message, "/s/M"),
            ("8".to_owned(), expected.to_owned())
        );
    }

    #[test]
    fn an_unknown_method_is_named() {
        let expected = ("12".to_owned(), "unknown method Foo for service a.b.C".to_owned());
        assert_eq!(rewritten(Code::Unimplemented, "", "/a.b.C/Foo"), expected);
    }

    #[test]
    fn a_text_that_is_none_is_said_so() {
        let message = "failed%20to%20decode%20Protobuf%20message:%20A.b:%20invalid%20string%20value:%20data%20is%20not\
                       %20UTF-8%20encoded";
        let expected = ("13".to_owned(), NO_TEXT_OFFICIAL.to_owned());
        assert_eq!(rewritten(Code::Internal, message, "/s/M"), expected);
    }

    #[test]
    fn what_services_say_stays() {
        let said = ("11".to_owned(), "token out of range".to_owned());
        assert_eq!(rewritten(Code::OutOfRange, "token out of range", "/s/M"), said);
    }
}
