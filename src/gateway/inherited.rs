//! Sockets that listen already when the process begins, because whoever starts it keeps them over restarts (socket activation).
//!
//! systemd says how many in `LISTEN_FDS`, for whom in `LISTEN_PID`, and in `LISTEN_FDNAMES` which is which: `edge`, `admin`, `push`. Without
//! names they come in that order. Promise: where one is given it is used and nothing else is bound, and a socket that has no place here
//! is a reason not to start.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;

/// Their names, in the order of those that have none.
const NAMES: [&str; 3] = ["edge", "admin", "push"];

/// What was given.
#[derive(Default)]
pub struct Inherited {
    pub edge: Option<TcpListener>,
    pub admin: Option<TcpListener>,
    pub push: Option<TcpListener>,
}

// === impl Inherited ===

impl Inherited {
    /// From the environment, once. To be called before there are other threads, for it takes the variables out of it.
    pub fn take() -> io::Result<Inherited> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut given = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for (index, name) in places(&names, given.len())?.into_iter().enumerate() {
            let socket = given.take_tcp_listener(index)?;
            if let Some(socket) = &socket
                && !SockRef::from(socket).is_listener()?
            {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the socket for `{name}` does not listen")));
            }
            match name {
                "edge" => inherited.edge = socket,
                "admin" => inherited.admin = socket,
                _ => inherited.push = socket,
            }
        }
        Ok(inherited)
    }

    /// Where they listen: edge, admin, push.
    pub fn addresses(&self) -> io::Result<[Option<SocketAddr>; 3]> {
        let address = |socket: &Option<TcpListener>| socket.as_ref().map(TcpListener::local_addr).transpose();
        Ok([address(&self.edge)?, address(&self.admin)?, address(&self.push)?])
    }
}

/// Which of them is which. An error is a socket that would be left open and unanswered.
fn places(names: &str, count: usize) -> io::Result<Vec<&str>> {
    let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let named: Vec<&str> = names.split(':').filter(|name| !name.is_empty()).collect();
    let known = |name: &&str| NAMES.contains(name);
    if count == 0 {
        // What is said was said to another process.
        return Ok(Vec::new());
    }
    // A unit without `FileDescriptorName` gives its own name to all of them.
    if named.iter().all(|name| name.ends_with(".socket") || *name == "unknown") {
        return if count <= NAMES.len() {
            Ok(NAMES[..count].to_vec())
        } else {
            wrong(format!("{count} sockets were given, and there is a use for 3"))
        };
    }
    if named.len() != count {
        return wrong(format!("LISTEN_FDNAMES names {} sockets, and {count} were given", named.len()));
    }
    for (index, name) in named.iter().enumerate() {
        if !known(name) || named[..index].contains(name) {
            let names = NAMES.join(", ");
            return wrong(format!("a socket named `{}` has no place here; give each of {names} at most once", name.escape_debug()));
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_go_by_their_names_else_by_their_order() {
        assert_eq!(places("admin:edge", 2).unwrap(), ["admin", "edge"]);
        assert_eq!(places("", 2).unwrap(), ["edge", "admin"]);
        assert_eq!(places("protogate.socket:protogate.socket", 2).unwrap(), ["edge", "admin"], "what systemd says of itself");
        assert_eq!(places("", 0).unwrap(), [""; 0]);
        assert_eq!(places("edge", 0).unwrap(), [""; 0], "they were for another process");
    }

    #[test]
    fn a_socket_that_has_no_place_is_said() {
        for (names, count) in
            [("", 4), ("edge:edge", 2), ("edge:metrics", 2), ("edge", 2), ("edge:admin", 1), ("metrics", 1), ("Admin:Edge", 2)]
        {
            assert!(places(names, count).is_err(), "{names} {count}");
        }
    }
}
