//! Where a server is.

use std::fmt;
use std::str::FromStr;

/// A host, a port, and whether to speak TLS there. As text: `host:port`, `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address; of an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// A text that names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no endpoint; write `host:port`, or `https://host:port` for TLS")]
pub struct InvalidEndpoint(pub String);

impl Endpoint {
    /// Without TLS.
    pub fn plain(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, tls: false }
    }

    /// Reads one endpoint, or several with `;` between them.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidEndpoint> {
        let all: Result<Vec<Self>, _> =
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect();
        all.and_then(|all| if all.is_empty() { Err(InvalidEndpoint(text.to_owned())) } else { Ok(all) })
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint(text.to_owned());
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(invalid()),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(invalid)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(invalid());
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(['/', ' ', ',', '@']) {
            return Err(invalid());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| invalid())?, tls })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https://" } else { "" };
        if self.host.contains(':') {
            write!(f, "{scheme}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_as_it_is_shown() {
        for text in ["shop:8081", "https://shop.ns.svc:8081", "[::1]:80", "https://[fe80::1]:443"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("http://a:1/".parse::<Endpoint>(), Ok(Endpoint::plain("a", 1)));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in
            ["", "shop", "shop:", ":8081", "shop:99999", "::1:80", "ftp://a:1", "a b:1", "http://a/b:1"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn several_endpoints_are_told_apart_by_semicolons() {
        assert_eq!(Endpoint::parse_list("a:1;b:2; ").unwrap().len(), 2);
        assert!(Endpoint::parse_list(";").is_err());
    }
}
