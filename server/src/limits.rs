//! Limits admission: what a stranger, an address or a user may take. Counts those that wanted more.
//!
//! Three kinds of limit: [`Slots`] for what is held (connections, sockets), [`Rate`] for what is
//! done again and again (requests, refused sessions), and [`Arrivals`] for what may wait its turn
//! (sockets, where many come at once). The limiter only decides. Its caller refuses in the words of
//! the caller's protocol.

mod address;
mod arrivals;
mod rate;
mod slots;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

pub(crate) use self::address::Address;
pub(crate) use self::arrivals::{Arrival, Arrivals, LONGEST as LONGEST_ARRIVAL};
use self::rate::Rate;
pub(crate) use self::slots::Slot;
use self::slots::Slots;
use crate::config::Limits;
use crate::metrics::{Limit, Metrics};
use crate::proxy;
use crate::user::UserId;

/// A burst lasts this long at the full rate.
const BURST_S: u32 = 10;
/// How long a socket waits until it may arrive. Less than clients wait for a socket: ours give up
/// after ten seconds, and know no better than to come back at the end of the line.
const ARRIVAL_PATIENCE: Duration = Duration::from_secs(8);
/// Refused requests and sockets of one address that may have lines in the log, in a minute.
const LINES_PER_MINUTE: u32 = 60;
/// How often what is known of addresses and users at rest is forgotten.
pub(crate) const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// The limits of one listener, and what is taken of them.
pub(crate) struct Limiter {
    pub(crate) limits: Limits,
    behind_proxy: bool,
    connections: Arc<Slots>,
    addresses: Arc<Slots<Address>>,
    sockets: Arc<Slots>,
    pub(crate) arrivals: Arrivals,
    requests: Rate<Address>,
    snapshots: Rate<UserId>,
    auth_failures: Rate<Address>,
    lines: Rate<Address>,
    metrics: Arc<Metrics>,
}

/// What a connection holds while it is open.
pub(crate) struct ConnectionSlot {
    _connection: Slot,
    _address: Option<Slot<Address>>,
    metrics: Arc<Metrics>,
}

/// Refused by that limit. Try again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) limit: Limit,
    pub(crate) retry_after: Duration,
}

impl Limiter {
    pub(crate) fn new(limits: Limits, behind_proxy: bool, metrics: Arc<Metrics>) -> Self {
        let rate = |per_s: u32| (per_s, per_s.saturating_mul(BURST_S));
        let failures = limits.auth_failures_per_minute;
        Self {
            behind_proxy,
            connections: Slots::new(limits.max_connections),
            addresses: Slots::new(limits.max_connections_per_address),
            sockets: Slots::new(limits.max_sockets),
            arrivals: Arrivals::new(limits.max_arriving_sockets),
            requests: Rate::per_second(rate(limits.requests_per_s)),
            snapshots: Rate::per_second(rate(limits.requests_per_s_per_user)),
            auth_failures: Rate::per_minute(failures),
            lines: Rate::per_minute(LINES_PER_MINUTE),
            limits,
            metrics,
        }
    }

    /// Lets a connection in, for as long as the slot is held.
    pub(crate) fn connection(&self, peer: SocketAddr) -> Option<ConnectionSlot> {
        let address = (!self.behind_proxy).then(|| Address::of(peer.ip()));
        let address = match address.map(|address| self.addresses.take(address)) {
            Some(None) => {
                self.metrics.limited(Limit::ConnectionsPerAddress);
                return None;
            }
            taken => taken.flatten(),
        };
        let Some(connection) = self.connections.take(()) else {
            self.metrics.limited(Limit::Connections);
            return None;
        };
        self.metrics.http_connections.inc();
        let metrics = Arc::clone(&self.metrics);
        Some(ConnectionSlot { _connection: connection, _address: address, metrics })
    }

    /// Whether most connections are taken, of all or of that peer's address: then those that wait for nothing
    /// should make room.
    pub(crate) fn is_crowded(&self, peer: SocketAddr) -> bool {
        let is_most = |taken: u32, limit: u32| u64::from(taken) * 4 >= u64::from(limit) * 3;
        let of_address = self.addresses.taken(Address::of(peer.ip()));
        is_most(self.connections.taken(()), self.limits.max_connections)
            || is_most(of_address, self.limits.max_connections_per_address)
    }

    /// Lets a socket in, for as long as the slot is held.
    pub(crate) fn socket(&self) -> Option<Slot> {
        let slot = self.sockets.take(());
        if slot.is_none() {
            self.metrics.limited(Limit::Sockets);
        }
        slot
    }

    /// Waits until a socket may arrive, which it does for as long as the place is held.
    pub(crate) async fn arrival(&self) -> Option<Arrival> {
        let arrival = self.arrivals.begin(ARRIVAL_PATIENCE).await;
        if arrival.is_none() {
            self.metrics.limited(Limit::ArrivingSockets);
        }
        arrival
    }

    /// The sender of a request, as far as the server can know it.
    pub(crate) fn address(&self, peer: SocketAddr, headers: &HeaderMap) -> Address {
        let told = self.behind_proxy.then(|| proxy::client(headers, self.limits.proxy_hops));
        Address::of(told.flatten().unwrap_or_else(|| peer.ip()))
    }

    /// Whether that address may send another request now.
    pub(crate) fn request(&self, address: Address) -> Result<(), TooMany> {
        self.within(Limit::RequestRate, self.requests.take(&address))
    }

    /// Whether another snapshot may be read for that user now.
    pub(crate) fn snapshot(&self, user: &UserId) -> Result<(), TooMany> {
        self.within(Limit::RequestRate, self.snapshots.take(user))
    }

    /// Notes that a session from that address was not accepted. An error once there were too many:
    /// then a request is answered 429, and the log has no line for a socket. Sessions that are
    /// accepted never get here, so who shares an address with an attacker does not suffer. How
    /// many are checked is bounded by the rate of requests: a socket has one attempt.
    pub(crate) fn auth_failure(&self, address: Address) -> Result<(), TooMany> {
        self.within(Limit::AuthFailures, self.auth_failures.take(&address))
    }

    /// Whether the log may have lines for another refused request or socket of that address: it is the
    /// sender who decides how many there are. Each is counted all the same.
    pub(crate) fn may_tell(&self, address: Address) -> bool {
        self.lines.take(&address).is_ok()
    }

    /// Forgets addresses and users that have been at rest for long enough to start afresh.
    pub(crate) fn forget(&self) {
        self.requests.forget();
        self.snapshots.forget();
        self.auth_failures.forget();
        self.lines.forget();
    }

    /// Counts each client that has to wait.
    fn within(&self, limit: Limit, taken: Result<(), Duration>) -> Result<(), TooMany> {
        taken.map_err(|retry_after| {
            self.metrics.limited(limit);
            TooMany { limit, retry_after }
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.metrics.http_connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use http::HeaderValue;

    use super::*;
    use crate::config::Config;

    #[test]
    fn connections_are_scarce_for_an_address_that_holds_most_of_its_share() {
        let mut limits = Config::parse_from(["dashboard-server"]).limits;
        limits.max_connections_per_address = 4;
        let [one, other] = ["192.0.2.1:5000", "192.0.2.2:5000"].map(|peer| peer.parse().unwrap());
        for behind_proxy in [false, true] {
            let limiter = Limiter::new(limits.clone(), behind_proxy, Arc::new(Metrics::new()));
            let mut held = vec![limiter.connection(one), limiter.connection(one)];
            assert!(!limiter.is_crowded(one));
            held.push(limiter.connection(one));
            // Behind a proxy all come from one address, which has no share.
            assert_eq!(limiter.is_crowded(one), !behind_proxy);
            assert!(!limiter.is_crowded(other) && held.iter().all(Option::is_some));
        }
    }

    #[test]
    fn whom_a_header_names_counts_only_behind_a_proxy() {
        let config = Config::parse_from(["dashboard-server"]);
        let address = |behind_proxy| {
            let limiter =
                Limiter::new(config.limits.clone(), behind_proxy, Arc::new(Metrics::new()));
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.7"));
            limiter.address("198.51.100.1:5000".parse().unwrap(), &headers)
        };
        assert_eq!(address(false), Address::of("198.51.100.1".parse().unwrap()));
        assert_eq!(address(true), Address::of("192.0.2.7".parse().unwrap()));
    }
}
