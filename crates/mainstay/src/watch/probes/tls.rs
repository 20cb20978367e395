//! TLS for a probe: as strict as a browser, and it takes note of the certificates even where they are refused.

use super::certificate;
use super::failure::Failure;
use super::stream::Timed;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The connection.
type Stream = StreamOwned<ClientConnection, Timed>;

/// Judges as webpki does, and remembers when the chain that it saw ends.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    ends: Mutex<Option<u64>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(leaf).chain(others).map(|it| it.as_ref());
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = certificate::ends(chain);
        self.judge.verify_server_cert(leaf, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Agrees upon TLS. What is known of the certificates is known either way: seconds since the Unix epoch at which the
/// first of them ends.
pub(super) fn begin(
    mut socket: Timed,
    host: &str,
    ca: Option<&Path>,
) -> (Result<Stream, Failure>, Option<u64>) {
    let provider = Arc::new(default_provider());
    let roots = match roots(ca) {
        Ok(roots) => Arc::new(roots),
        Err(failure) => return (Err(failure), None),
    };
    let judge = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    let name = ServerName::try_from(host.to_owned());
    let (Ok(judge), Ok(name)) = (judge, name) else { return (Err(Failure::Authorities), None) };
    let witness = Arc::new(Witness { judge, ends: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|it| {
            let verifier = Arc::clone(&witness) as Arc<dyn ServerCertVerifier>;
            it.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        });
    let connection = config.and_then(|config| ClientConnection::new(Arc::new(config), name));
    let Ok(mut connection) = connection else { return (Err(Failure::TlsFailed), None) };
    let mut outcome = Ok(());
    while outcome.is_ok() && connection.is_handshaking() {
        outcome = connection.complete_io(&mut socket).map(drop).map_err(|error| why(&error));
    }
    let ends = *witness.ends.lock().unwrap_or_else(PoisonError::into_inner);
    (outcome.map(|()| StreamOwned::new(connection, socket)), ends)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Failure> {
    let Some(path) = ca else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut store = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(path).map_err(|_| Failure::Authorities)?;
    for certificate in read {
        let certificate = certificate.map_err(|_| Failure::Authorities)?;
        store.add(certificate).map_err(|_| Failure::Authorities)?;
    }
    if store.is_empty() { Err(Failure::Authorities) } else { Ok(store) }
}

fn why(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Failure::TlsExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Failure::TlsName
            }
            CertificateError::UnknownIssuer => Failure::TlsUntrusted,
            _ => Failure::TlsFailed,
        },
        Some(_) => Failure::TlsFailed,
        None => Failure::of_transfer(error, Failure::TlsTimeout),
    }
}
