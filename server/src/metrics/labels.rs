//! What the metrics are told apart by. Bounded: route templates, never paths; reasons and types of
//! fixed lists; never users.

use prometheus_client::encoding::EncodeLabelSet;

/// A request and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The HTTP method; `other` for those that nothing here uses.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// The HTTP method; `other` for those that nothing here uses.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
}

/// Why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// One of a fixed list.
    pub reason: &'static str,
}

/// A type of event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabel {
    /// The name on the wire.
    pub r#type: &'static str,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok` or `error`.
    pub result: &'static str,
}

/// What a database connection does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PoolLabel {
    /// `idle` or `used`.
    pub state: &'static str,
}
