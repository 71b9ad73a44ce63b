//! TLS of a check, and what the service shows of itself meanwhile. Whoever answers at its address is believed: the
//! check asks the service itself, on this machine; whether clients trust it is another question.
//! Not here: what is asked (`super`), what becomes of a certificate (`telling::certificates`).

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};

use crate::certificates::{Validity, validity};

/// Speaks TLS from here on, or says in words why not.
pub(super) async fn encrypted<S>(stream: S, name: ServerName<'static>) -> Result<TlsStream<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connector = TlsConnector::from(config().map_err(|error| error.to_string())?);
    connector.connect(name, stream).await.map_err(|error| in_words(&error))
}

/// Of the certificate that the service has shown as its own.
pub(super) fn shown<S>(stream: &TlsStream<S>) -> Option<Validity> {
    stream.get_ref().1.peer_certificates()?.first().and_then(|own| validity(own))
}

fn in_words(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match inner {
        Some(TlsError::InvalidMessage(_)) => "it does not speak TLS: its answer is something else".to_owned(),
        Some(TlsError::AlertReceived(alert)) => format!("it refuses the TLS handshake: {alert:?}"),
        Some(TlsError::PeerIncompatible(why)) => {
            format!("it speaks neither TLS 1.2 nor 1.3 as it is spoken here: {why:?}")
        }
        Some(other) => format!("the TLS handshake failed: {other}"),
        None if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ) =>
        {
            "it ends the connection in the TLS handshake; it may not speak TLS".to_owned()
        }
        None => format!("the TLS handshake failed: {error}"),
    }
}

/// Made by the first check that needs it: most stacks have none.
fn config() -> Result<Arc<ClientConfig>, TlsError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let anyone = Arc::new(Anyone(provider));
    let mut config = builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth();
    // One that goes on with an earlier session shows no certificate.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

/// Believes whoever answers, also with a certificate that is too old to be understood.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
