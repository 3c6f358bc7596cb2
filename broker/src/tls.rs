//! The certificate that clients see: a given one, or one made at start so that SDKs with TLS on by default connect.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use crds::broker_config::TlsConfig;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An acceptor that speaks HTTP/2 only.
pub(crate) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor> {
    let (chain, key) = match (&config.cert_file, &config.key_file) {
        (Some(chain), Some(key)) => {
            let pem = fs::read(chain).with_context(|| format!("reading certificate {}", chain.display()))?;
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<_, _>>()
                .with_context(|| format!("certificate {} is not PEM", chain.display()))?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| anyhow!("private key {}: {error}", key.display()))?;
            (chain, key)
        }
        _ => self_signed()?,
    };
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and private key do not fit")?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn self_signed() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "millpond".to_owned()])?;
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|error| anyhow!("{error}"))?;
    Ok((vec![made.cert.into()], key))
}
