//! The certificate that clients are shown.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Certificate of the client port. None: a self-signed one is made at every start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// True when no certificate is named.
    pub fn is_self_signed(&self) -> bool {
        self.cert_file.is_none() && self.key_file.is_none()
    }
}
