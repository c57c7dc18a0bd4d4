//! The table of close codes.
//!
//! Promise: whether a client should come back is a property of the number alone, so that a client needs the ranges and not the table.

/// Why the gateway ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Close {
    /// This gateway goes away.
    GoingAway = 1001,
    /// The bytes were not WebSocket.
    WebSocket = 1002,
    /// A text message on a binary connection, or the other way round.
    Unsupported = 1003,
    /// Text that is not UTF-8.
    NotUtf8 = 1007,
    /// Refused by policy.
    Policy = 1008,
    /// A message larger than Hello announced.
    TooLarge = 1009,
    /// A fault of ours.
    Internal = 1011,
    /// The gateway restarts.
    Restart = 1012,
    /// The gateway shuts down.
    Shutdown = 4000,
    /// The client reads more slowly than messages come for it.
    Slow = 4001,
    /// The token expired and no fresh one came.
    TokenExpired = 4002,
    /// No sign of life.
    Dead = 4003,
    /// Another gateway has more room.
    Rebalance = 4004,
    /// The gateway has no room.
    Overloaded = 4005,
    /// The token was refused, or none came in time.
    BadToken = 4500,
    /// The token was revoked.
    Revoked = 4501,
    /// The session is on another connection now.
    Replaced = 4502,
    /// The client broke the contract, such as by using an id that is in flight.
    Protocol = 4503,
    /// Too many of its calls failed in the gateway.
    TooManyErrors = 4504,
    /// A limit on connections.
    Limit = 4505,
}

// === impl Close ===

impl Close {
    /// All of them, in the order of their numbers.
    pub const ALL: [Close; 20] = [
        Close::GoingAway,
        Close::WebSocket,
        Close::Unsupported,
        Close::NotUtf8,
        Close::Policy,
        Close::TooLarge,
        Close::Internal,
        Close::Restart,
        Close::Shutdown,
        Close::Slow,
        Close::TokenExpired,
        Close::Dead,
        Close::Rebalance,
        Close::Overloaded,
        Close::BadToken,
        Close::Revoked,
        Close::Replaced,
        Close::Protocol,
        Close::TooManyErrors,
        Close::Limit,
    ];

    /// The number in the close frame.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The stable token in Goodbye, in the close frame, in logs and in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Close::GoingAway => "GOING_AWAY",
            Close::WebSocket => "WEBSOCKET_ERROR",
            Close::Unsupported => "UNSUPPORTED",
            Close::NotUtf8 => "NOT_UTF8",
            Close::Policy => "POLICY",
            Close::TooLarge => "TOO_LARGE",
            Close::Internal => "INTERNAL",
            Close::Restart => "RESTART",
            Close::Shutdown => "SHUTDOWN",
            Close::Slow => "SLOW",
            Close::TokenExpired => "TOKEN_EXPIRED",
            Close::Dead => "DEAD",
            Close::Rebalance => "REBALANCE",
            Close::Overloaded => "OVERLOADED",
            Close::BadToken => "BAD_TOKEN",
            Close::Revoked => "REVOKED",
            Close::Replaced => "REPLACED",
            Close::Protocol => "PROTOCOL_ERROR",
            Close::TooManyErrors => "TOO_MANY_ERRORS",
            Close::Limit => "LIMIT",
        }
    }

    /// Whether the client should come back.
    pub fn reconnect(self) -> bool {
        reconnects(self.code())
    }
}

/// Whether a client that saw this close code should come back. A code that nobody listed says no.
pub fn reconnects(code: u16) -> bool {
    matches!(code, 1001 | 1006 | 1011 | 1012 | 4000..=4499)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdicts_are_those_of_the_contract() {
        let back: Vec<u16> = Close::ALL.into_iter().filter(|close| close.reconnect()).map(Close::code).collect();
        assert_eq!(back, [1001, 1011, 1012, 4000, 4001, 4002, 4003, 4004, 4005]);
        assert!(reconnects(1006) && reconnects(4499));
        assert!(!reconnects(1000) && !reconnects(4500) && !reconnects(3000));
    }

    #[test]
    fn no_number_and_no_token_stands_for_two() {
        for (index, one) in Close::ALL.iter().enumerate() {
            for other in &Close::ALL[..index] {
                assert!(other.code() < one.code());
                assert_ne!(other.reason(), one.reason());
            }
        }
    }
}
