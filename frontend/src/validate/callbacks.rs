//! Completion callbacks. None is taken yet: the official server's default allows no address either, so a client is
//! told the same.

use proto::temporal::common::v1::{Callback, callback::Variant};

use crate::{error::Error, limits, validate::quote};

pub(crate) fn check(callbacks: &[Callback]) -> Result<(), Error> {
    callbacks.iter().try_for_each(|callback| match &callback.variant {
        Some(Variant::Nexus(nexus)) => check_url(&nexus.url),
        Some(Variant::Internal(_)) => Err(Error::invalid(
            "unsupported callback variant: *common.Callback_Internal_",
        )),
        Some(Variant::NexusHandler(_)) | None => {
            Err(Error::Unimplemented("unknown callback variant: <nil>".to_owned()))
        }
    })
}

fn check_url(url: &str) -> Result<(), Error> {
    let max = limits::CALLBACK_URL_BYTES_MAX;
    if url.len() > max {
        return Err(Error::invalid(format!(
            "invalid url: url length longer than max length allowed of {max}"
        )));
    }
    if url.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "invalid callback url: parse {}: net/url: invalid control character in URL",
            quote(url)
        )));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Error::invalid(format!("invalid url: unknown scheme: {url}")));
    }
    Err(Error::invalid(format!(
        "invalid url: url does not match any configured callback address: {url}"
    )))
}
