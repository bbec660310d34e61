//! The contract's goldens, carried into the browser at compile time. `tests/goldens.rs` holds that
//! none is missing here.

macro_rules! goldens {
    ($folder:literal, $($name:literal,)+) => {
        &[$(($name, include_str!(concat!("../../../shared-types/goldens/", $folder, $name, ".json"))),)+]
    };
}

/// Name and text of what is accepted.
pub(crate) const ACCEPTED: &[(&str, &str)] = goldens![
    "",
    "empty-view",
    "event-error-server-draining",
    "event-error-snapshot-unavailable",
    "event-error-token-expired",
    "event-partial-parts-updated",
    "event-recent-moc-added",
    "event-recent-mocs-updated",
    "event-summary-updated",
    "event-theme-breakdown-updated",
    "view",
];

/// Name and text of what is refused.
pub(crate) const REJECTED: &[(&str, &str)] = goldens![
    "rejected/",
    "event-error-code-unknown",
    "event-event-id-not-a-uuid",
    "event-payload-missing",
    "event-payload-of-another-type",
    "event-reconnect-after-negative",
    "event-revision-missing",
    "event-revision-negative",
    "event-revision-not-exact",
    "event-type-unknown",
    "view-build-status-key-missing",
    "view-build-status-unknown",
    "view-count-fraction",
    "view-count-negative",
    "view-count-text",
    "view-count-too-large",
    "view-cover-relative",
    "view-cover-script",
    "view-coverage-status-key-missing",
    "view-id-not-a-uuid",
    "view-percentage-101",
    "view-percentage-negative",
    "view-section-missing",
    "view-section-null",
    "view-theme-empty",
    "view-theme-null",
    "view-timestamp-leap-second",
    "view-timestamp-number",
    "view-timestamp-offset",
    "view-timestamp-without-zone",
    "view-title-201-characters",
    "view-title-201-units",
    "view-title-empty",
];
