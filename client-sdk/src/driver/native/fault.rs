//! What kind of fault is behind an error of the HTTP client.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

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
    (told == "dns error").then_some(Fault::HostNotFound)
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
        _ => None,
    }
}
