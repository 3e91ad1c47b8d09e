//! What a server refused or ended before it was a connection of the engine.

/// Why a connection or a request was refused, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// Its client address had as many connections as it may.
    AddressConnections,
    /// Its client address began too many handshakes.
    AddressHandshakes,
    /// It waited too long to be accepted.
    Accepts,
    /// It did not begin with the header of the PROXY protocol, or came from no trusted proxy.
    ProxyProtocol,
    /// Its head did not arrive in time.
    Head,
    /// Its body did not arrive in time.
    Body,
    /// It was idle for too long between two requests.
    KeepAlive,
    /// Its body arrived while memory was short.
    Memory,
}

impl RefusalReason {
    /// All of them, in the order of their places.
    pub(crate) const ALL: [RefusalReason; 8] = [
        RefusalReason::AddressConnections,
        RefusalReason::AddressHandshakes,
        RefusalReason::Accepts,
        RefusalReason::ProxyProtocol,
        RefusalReason::Head,
        RefusalReason::Body,
        RefusalReason::KeepAlive,
        RefusalReason::Memory,
    ];

    /// The name in `/v1/stats`: that of the limit, where there is one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RefusalReason::AddressConnections => "max_connections_per_address",
            RefusalReason::AddressHandshakes => "handshakes_per_address",
            RefusalReason::Accepts => "accepts",
            RefusalReason::ProxyProtocol => "proxy_protocol",
            RefusalReason::Head => "handshake_timeout",
            RefusalReason::Body => "body_timeout",
            RefusalReason::KeepAlive => "keep_alive_timeout",
            RefusalReason::Memory => "memory_limit",
        }
    }
}
