//! Reads the wall clock and makes ids. No other module does either.
//!
//! All other modules get instants and ids passed in, so that tests decide what time it is.

use shared_types::{Id, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Now, in UTC.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Now, as the contract writes it.
pub(crate) fn timestamp_now() -> Timestamp {
    // The clock of a machine lies within the years that RFC 3339 can write.
    timestamp(now().truncate_to_millisecond()).unwrap_or_else(|| {
        Timestamp::try_from("1970-01-01T00:00:00Z").expect("the literal is a timestamp")
    })
}

/// That instant, as the contract writes it. None if its year does not have four digits.
pub(crate) fn timestamp(at: OffsetDateTime) -> Option<Timestamp> {
    let text = at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok()?;
    Timestamp::try_from(text).ok()
}

/// A fresh event id: a UUID of version 7, so that ids sort by time (D-WS-5).
pub(crate) fn event_id() -> Id {
    id(Uuid::now_v7())
}

/// A fresh id for a request or a connection, of which nothing can be guessed.
pub(crate) fn random_id() -> Uuid {
    Uuid::new_v4()
}

/// A UUID as the contract writes it.
pub(crate) fn id(uuid: Uuid) -> Id {
    Id::try_from(uuid.hyphenated().to_string()).expect("a hyphenated UUID is an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_end_in_z() {
        let at = time::macros::datetime!(2026-11-23 10:30:00.12 +01:00);
        assert_eq!(timestamp(at).unwrap().as_str(), "2026-11-23T09:30:00.12Z");
        assert_eq!(event_id().as_str().as_bytes()[14], b'7');
    }
}
