//! Every value of a label that is no name from the configuration, a code, or a reason.

use super::tally::label;

label! {
    /// Why a socket became no connection.
    pub enum Refused {
        /// `connections.max`, or the share of it that is for clients nobody knows.
        Capacity = "capacity",
        /// `connections.per_ip_max`.
        PerIp = "per_ip",
        /// A worker had more sockets waiting than it takes.
        Busy = "busy",
        /// No PROXY protocol header where one is due, or forwarding headers that contradict each other.
        Proxy = "proxy",
        /// The TLS handshake failed, or took too long.
        Tls = "tls",
        /// No handshake came, or not in time, or it was none.
        Handshake = "handshake",
        Path = "path",
        Version = "version",
        Subprotocol = "subprotocol",
        Origin = "origin",
    }
}

label! {
    /// How a connection ended: by whom, or with which code of ours.
    pub enum Closed {
        /// The stream ended without a word.
        Gone = "gone",
        /// The client closed.
        Client = "client",
        GoingAway = "1001",
        WebSocket = "1002",
        Unsupported = "1003",
        NotUtf8 = "1007",
        Policy = "1008",
        TooLarge = "1009",
        Internal = "1011",
        Restart = "1012",
        Shutdown = "4000",
        Slow = "4001",
        TokenExpired = "4002",
        Dead = "4003",
        Rebalance = "4004",
        Overloaded = "4005",
        BadToken = "4500",
        Revoked = "4501",
        Replaced = "4502",
        Protocol = "4503",
        TooManyErrors = "4504",
        Limit = "4505",
    }
}

label! {
    /// What became of a client that came back to its session.
    pub enum Resumed {
        /// It has everything.
        Recovered = "recovered",
        /// Something that was sent to it meanwhile is gone.
        Lost = "lost",
        /// There was nothing to come back to.
        Failed = "failed",
    }
}

label! {
    /// By which rule a push reached a client no more that was to have it.
    pub enum Dropped {
        /// The oldest gave way.
        DropOldest = "drop_oldest",
        /// A newer state took its place, or even that was too much.
        Conflate = "conflate",
        /// The client was sent away instead.
        Disconnect = "disconnect",
    }
}

label! {
    /// What came of a reload.
    pub enum Reloaded {
        Swapped = "swapped",
        Unchanged = "unchanged",
        Refused = "refused",
        Failed = "failed",
        Stale = "stale",
    }
}
