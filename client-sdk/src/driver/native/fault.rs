//! Finds the kind of fault behind an error of the HTTP client.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::state::Fault;

/// The kind of fault, where it is a known one.
pub(super) fn of(error: &reqwest::Error) -> Option<Fault> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = of_cause(error) {
            return Some(fault);
        }
        cause = error.source();
    }
    error.is_timeout().then_some(Fault::Timeout)
}

/// The error with its causes, which hold the interesting part, and what they mean where they do not say it.
pub(super) fn told(error: reqwest::Error) -> String {
    let is_of_another_scheme = of(&error) == Some(Fault::Scheme);
    let mut told = chain(&error.without_url());
    if is_of_another_scheme {
        told.push_str(": what answers does not speak what the URL's scheme says, https or http");
    }
    // The library keeps the proxy's status to itself.
    if told.ends_with("tunnel error: unsuccessful") {
        told.push_str(": the proxy answered that it made no connection to the server");
    }
    told
}

/// The error and its causes.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    told
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<Fault> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return of_tls(error);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `source` leaves out what such an error holds, and gives the source of that.
        let inner = error.get_ref().and_then(|inner| of_cause(inner));
        return inner.or_else(|| of_io(error.kind()));
    }
    // The library does not export these types; the tests hold that it still says this.
    let told = error.to_string();
    if told.starts_with("tunnel error") {
        return Some(Fault::Proxy);
    }
    match told.as_str() {
        "dns error" => Some(Fault::HostNotFound),
        // An alert of TLS in place of an answer.
        "invalid HTTP version parsed" => Some(Fault::Scheme),
        _ => None,
    }
}

fn of_io(kind: io::ErrorKind) -> Option<Fault> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some(Fault::ConnectionRefused),
        io::ErrorKind::TimedOut => Some(Fault::Timeout),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> Option<Fault> {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(Fault::CertificateName),
        rustls::Error::InvalidCertificate(_) => Some(Fault::Certificate),
        rustls::Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        ) => Some(Fault::ClientCertificate),
        // Something else than a record of TLS.
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Fault::Scheme),
        _ => None,
    }
}
