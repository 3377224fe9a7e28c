//! TLS by `rustls`.

use crate::Error;
use crate::source::{Options, SslMode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Encrypts a connection on which the server has agreed to it.
pub(super) async fn encrypt(
    options: &Options,
    socket: TcpStream,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from(options.host.clone()).map_err(|e| tls_error(&e))?;
    let connector = TlsConnector::from(Arc::new(config(options)?));
    connector.connect(name, socket).await.map_err(|source| {
        // What rustls has to say comes wrapped; anything else is the connection's trouble.
        match source.get_ref() {
            Some(reason) if reason.is::<rustls::Error>() => tls_error(reason),
            _ => Error::Io { doing: "setting up TLS", source },
        }
    })
}

fn config(options: &Options) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| tls_error(&e))?;
    let builder = if options.ssl_mode == SslMode::VerifyFull {
        builder.with_root_certificates(roots(options)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    };
    Ok(builder.with_no_client_auth())
}

fn roots(options: &Options) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    if let Some(path) = &options.ssl_root_cert {
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|e| Error::Tls { reason: format!("{}: {e}", path.display()) })?;
        for certificate in certificates {
            let certificate = certificate
                .map_err(|e| Error::Tls { reason: format!("{}: {e}", path.display()) })?;
            store.add(certificate).map_err(|e| tls_error(&e))?;
        }
    } else {
        // Systems carry certificates that rustls cannot use; those are passed over.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if store.is_empty() {
        return Err(Error::Tls { reason: "no trusted root certificates were found".into() });
    }
    Ok(store)
}

fn tls_error(error: &(impl std::fmt::Display + ?Sized)) -> Error {
    Error::Tls { reason: error.to_string() }
}

/// `sslmode` prefer and require: encrypted, but with whom is not checked. This is what libpq does.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
