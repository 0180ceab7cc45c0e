//! One request: connect, shake hands, ask for the header, read until its date.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conf::config::ConstraintUrl;
use engine::io::{ConstraintAnswer, ConstraintError, ConstraintReply, Now};
use os::{Clock, reason};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::pki_types::{self, ServerName};
use rustls::{CertificateError, Error};
use units::UnixTime;
use wire::http::{HeaderError, HeaderReader, head_request};

use super::authorities::Authorities;
use super::verify::Verifier;
use crate::run::now;

/// What is read at once, bytes.
const READ_LENGTH: usize = 2048;

/// A server that is to tell the time.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Where it is.
    pub address: SocketAddr,
    /// What is asked for, and to whom the certificate must belong.
    pub url: ConstraintUrl,
    /// When the certificate must be valid; `None`: at the time that the server tells.
    pub true_time: Option<UnixTime>,
}

/// Why it does not tell the time.
#[derive(Debug)]
enum Failure {
    /// It cannot be reached, or breaks off.
    Connection(&'static str, io::Error),
    /// It did not answer in time.
    TimedOut(&'static str),
    /// It speaks another protocol, or cannot prove who it is.
    Tls(Error),
    /// It speaks another protocol, or has no date.
    Header(HeaderError),
}

/// What a step of the conversation is called in messages.
const CONNECT: &str = "connect";
const HANDSHAKE: &str = "handshake";
const READ: &str = "read";

impl Request {
    /// Asks, and waits for the answer so long.
    pub(crate) fn ask(
        &self,
        authorities: &Authorities,
        clock: &Clock,
        time_out: Duration,
    ) -> ConstraintAnswer {
        self.try_to_ask(authorities, clock, time_out)
            .map_err(|failure| ConstraintError {
                text: self.explain(&failure),
                is_unproven: matches!(failure, Failure::Tls(Error::InvalidCertificate(_))),
            })
    }

    /// Why it is not even asked.
    pub(crate) fn refuse(&self, why: &str) -> ConstraintError {
        let (address, host) = (self.address.ip(), self.url.host());
        ConstraintError {
            text: format!("tls connect failed: {address} ({host}): {why}"),
            is_unproven: false,
        }
    }

    fn try_to_ask(
        &self,
        authorities: &Authorities,
        clock: &Clock,
        time_out: Duration,
    ) -> Result<ConstraintReply, Failure> {
        let until = Instant::now() + time_out;
        let name = ServerName::try_from(self.url.host().to_owned())
            .map_err(|_| Failure::Tls(Error::InvalidCertificate(CertificateError::NotValidForName)))?;
        let verifier = Verifier::new(
            Arc::clone(&authorities.verifier),
            self.true_time.map(as_certificates_have_it),
        );
        let verifier = Arc::new(verifier);
        let mut conversation = self.begin(authorities, &verifier, &name, until)?;
        let (date, at) = conversation.read_date(clock)?;
        let mut remark = None;
        if self.true_time.is_none() {
            verifier
                .check(&name, as_certificates_have_it(date))
                .map_err(Failure::Tls)?;
            let by_clock = verifier.check(&name, as_certificates_have_it(at.wall));
            remark = by_clock.err().map(|error| self.remark(&error));
        }
        Ok(ConstraintReply { date, at, remark })
    }

    /// Connects, and sends the request along with what the handshake needs.
    fn begin(
        &self,
        authorities: &Authorities,
        verifier: &Arc<Verifier>,
        name: &ServerName<'static>,
        until: Instant,
    ) -> Result<Conversation, Failure> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&authorities.provider))
            .with_safe_default_protocol_versions()
            .map_err(Failure::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let mut tls = ClientConnection::new(Arc::new(config), name.clone()).map_err(Failure::Tls)?;
        let request = head_request(&self.url.authority(), self.url.path());
        tls.writer()
            .write_all(request.as_bytes())
            .map_err(|error| Failure::Connection(HANDSHAKE, error))?;
        let stream = TcpStream::connect_timeout(&self.address, left(until, CONNECT)?)
            .map_err(|error| failure(CONNECT, error))?;
        Ok(Conversation { tls, stream, until })
    }

    /// What is logged of a failure.
    fn explain(&self, failure: &Failure) -> String {
        let who = format!("{} ({})", self.address.ip(), self.url.host());
        match failure {
            Failure::Tls(Error::InvalidCertificate(error)) => match dates(error) {
                Some(dates) => format!("tls certificate {}: {who}: {}", dates.state, dates.text),
                None => format!(
                    "tls connect failed: {who}: {}",
                    Error::InvalidCertificate(error.clone())
                ),
            },
            Failure::Tls(error) => format!("tls connect failed: {who}: {error}"),
            Failure::Connection(READ, error) => format!("tls read failed: {who}: {}", reason(error)),
            Failure::Connection(step, error) => {
                format!("tls connect failed: {who}: {step}: {}", reason(error))
            }
            Failure::TimedOut(READ) => format!("tls read failed: {who}: timed out"),
            Failure::TimedOut(step) => format!("tls connect failed: {who}: {step}: timed out"),
            Failure::Header(error) => format!("tls read failed: {who}: {error}"),
        }
    }

    /// What is logged where the certificate could not be checked by the clock.
    fn remark(&self, error: &Error) -> String {
        let who = format!("{} ({})", self.address.ip(), self.url.host());
        let dates = match error {
            Error::InvalidCertificate(error) => dates(error),
            _ => None,
        };
        let why = dates.map_or_else(|| error.to_string(), |dates| dates.text);
        format!(
            "clock too wrong to check the certificate of {who}: {why}; it is valid at the time that the server tells"
        )
    }
}

/// What the dates of a certificate have to do with its being refused.
struct Dates {
    /// `expired` or `not yet valid`.
    state: &'static str,
    text: String,
}

fn dates(error: &CertificateError) -> Option<Dates> {
    let shown = |time: &pki_types::UnixTime| {
        UnixTime::from_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).to_string()
    };
    match error {
        CertificateError::ExpiredContext { time, not_after } => Some(Dates {
            state: "expired",
            text: format!("not after {}, now {}", shown(not_after), shown(time)),
        }),
        CertificateError::NotValidYetContext { time, not_before } => Some(Dates {
            state: "not yet valid",
            text: format!("not before {}, now {}", shown(not_before), shown(time)),
        }),
        _ => None,
    }
}

/// A connection.
struct Conversation {
    tls: ClientConnection,
    stream: TcpStream,
    until: Instant,
}

impl Conversation {
    /// Reads up to the date, and says when it came.
    fn read_date(&mut self, clock: &Clock) -> Result<(UnixTime, Now), Failure> {
        let mut header = HeaderReader::default();
        loop {
            self.send()?;
            let step = self.step();
            self.stream
                .set_read_timeout(Some(left(self.until, step)?))
                .map_err(|error| failure(step, error))?;
            let read = self.tls.read_tls(&mut self.stream);
            let arrived = now(clock);
            match read {
                Ok(0) => return Err(Failure::Connection(step, ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failure(step, error)),
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The server is told why, if it still listens.
                let _ = self.send();
                return Err(Failure::Tls(error));
            }
            let mut bytes = [0; READ_LENGTH];
            loop {
                match self.tls.reader().read(&mut bytes) {
                    Ok(0) => return Err(Failure::Connection(READ, ErrorKind::UnexpectedEof.into())),
                    Ok(length) => {
                        let bytes = bytes.get(..length).unwrap_or_default();
                        if let Some(date) = header.read(bytes).map_err(Failure::Header)? {
                            return Ok((date, arrived));
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(failure(READ, error)),
                }
            }
        }
    }

    /// Sends what is to be sent.
    fn send(&mut self) -> Result<(), Failure> {
        while self.tls.wants_write() {
            let step = self.step();
            self.stream
                .set_write_timeout(Some(left(self.until, step)?))
                .map_err(|error| failure(step, error))?;
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(step, error)),
            }
        }
        Ok(())
    }

    fn step(&self) -> &'static str {
        if self.tls.is_handshaking() {
            HANDSHAKE
        } else {
            READ
        }
    }
}

/// How long may be waited yet.
fn left(until: Instant, step: &'static str) -> Result<Duration, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(Failure::TimedOut(step))
    } else {
        Ok(left)
    }
}

fn failure(step: &'static str, error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::TimedOut(step),
        _ => Failure::Connection(step, error),
    }
}

/// A time, as those of certificates are counted.
fn as_certificates_have_it(time: UnixTime) -> pki_types::UnixTime {
    let seconds = u64::try_from(time.seconds()).unwrap_or(0);
    pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}
