//! HTTPS servers for tests, in threads of the test itself, with certificates of an authority of its own.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use units::UnixTime;

/// A server's side of a connection.
pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, as a file has it.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Self { issuer, pem }
    }

    /// The certificate of a server with this name or address, valid from the beginning of one year to that of another.
    pub(crate) fn certify(&self, name: &str, from: i32, to: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(from, 1, 1);
        parameters.not_after = date_time_ymd(to, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// Shakes hands and reads the request; `None` if the client hangs up, as one does that does not believe us.
pub(crate) fn take_request(stream: TcpStream, config: Arc<ServerConfig>) -> Option<(Tls, String)> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut asked = Vec::new();
    let mut byte = [0];
    while !asked.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => asked.push(byte[0]),
            Ok(_) | Err(_) => return None,
        }
    }
    Some((stream, String::from_utf8(asked).unwrap()))
}

/// A server that tells the time, for as long as the test runs.
pub(crate) struct TimeServer {
    /// Where it is.
    pub(crate) address: SocketAddr,
    answers: Arc<AtomicUsize>,
}

impl TimeServer {
    /// Starts it; its clock is ahead by so many seconds.
    pub(crate) fn start(address: &str, config: Arc<ServerConfig>, ahead_s: i64) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some((mut stream, _)) = take_request(stream.unwrap(), Arc::clone(&config)) else {
                    continue;
                };
                let header = format!("HTTP/1.1 200 OK\r\nDate: {}\r\n\r\n", date(ahead_s));
                if stream
                    .write_all(header.as_bytes())
                    .and_then(|()| stream.flush())
                    .is_ok()
                {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { address, answers }
    }

    /// How often it has told the time.
    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::SeqCst)
    }
}

/// The time in so many seconds, as servers send it.
fn date(ahead_s: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs()).unwrap() + ahead_s;
    let written = UnixTime::from_seconds(seconds).to_string();
    let (date, time) = written.trim_end_matches('Z').split_once('T').unwrap();
    let date: Vec<&str> = date.split('-').collect();
    let weekday = WEEKDAYS[usize::try_from(seconds / 86_400 % 7).unwrap()];
    let month = MONTHS[date[1].parse::<usize>().unwrap() - 1];
    format!("{weekday}, {} {month} {} {time} GMT", date[2], date[0])
}
