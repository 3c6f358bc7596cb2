//! A GET, for the pages that brokers show to machines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The whole answer, head and body; none if there is no connection or no end within `limit`.
pub fn get(server: SocketAddr, path: &str, limit: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&server, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether the page is there and well.
pub fn is_ok(server: SocketAddr, path: &str, limit: Duration) -> bool {
    get(server, path, limit).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
