//! One connection between an agent and its controller: frames in WebSocket messages in TLS.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use crate::authority::LINK_NAME;
use crate::key::Fingerprint;
use crate::{Frame, Pin, pin};

/// Largest frame either end accepts, in bytes.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How long TCP, TLS and WebSocket may take together to come up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a frame may take to be written; a peer that does not read for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// An open connection.
pub struct Connection {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    session: [u8; 32],
    authority: Option<Fingerprint>,
}

/// What goes wrong on a connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The controller cannot be reached.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// Host and port as dialled.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The other end is not who it should be, or does not speak TLS 1.3.
    #[error("TLS with {address}: {source}")]
    Tls {
        /// Who it was to be.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The other end took too long.
    #[error("the other end did not answer within {0:?}")]
    Timeout(Duration),
    /// The WebSocket broke.
    #[error("the connection broke: {0}")]
    Socket(Box<tungstenite::Error>),
    /// A message was no frame.
    #[error("the other end sent something that is no frame: {0}")]
    Frame(String),
    /// The other end closed the connection.
    #[error("the other end closed the connection")]
    Closed,
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl From<tungstenite::Error> for LinkError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => LinkError::Closed,
            // The other end's process has ended without a word.
            tungstenite::Error::Io(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                LinkError::Closed
            }
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => LinkError::Closed,
            error => LinkError::Socket(Box::new(error)),
        }
    }
}

/// Dials a controller's link at `address` (host and port).
///
/// # Errors
/// [`LinkError`] when it cannot be reached in ten seconds or is not the pinned one.
pub async fn dial(address: &str, pin: Pin) -> Result<Connection, LinkError> {
    let up = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| LinkError::Unreachable {
                address: address.to_owned(),
                source,
            })?;
        dial_over(stream, address, pin).await
    };
    timeout(HANDSHAKE_TIMEOUT, up)
        .await
        .map_err(|_| LinkError::Timeout(HANDSHAKE_TIMEOUT))?
}

async fn dial_over(stream: TcpStream, address: &str, pin: Pin) -> Result<Connection, LinkError> {
    let tls = |source| LinkError::Tls {
        address: address.to_owned(),
        source,
    };
    stream.set_nodelay(true).map_err(tls)?;
    let (config, seen) = pin::client_config(pin).map_err(|error| LinkError::Setup(error.to_string()))?;
    let name = ServerName::try_from(LINK_NAME).map_err(|error| LinkError::Setup(error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(tls)?;
    let (stream, session) = session(TlsStream::Client(stream))?;
    let url = format!("wss://{LINK_NAME}/link");
    let (socket, _) = client_async_with_config(url, stream, Some(limits())).await?;
    let authority = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Connection {
        socket,
        session,
        authority,
    })
}

/// Takes up a connection that an agent dialled.
///
/// # Errors
/// [`LinkError`] when the caller does not speak TLS and WebSocket within ten seconds.
pub async fn accept(
    stream: TcpStream,
    from: SocketAddr,
    config: Arc<ServerConfig>,
) -> Result<Connection, LinkError> {
    let up = async {
        let tls = |source| LinkError::Tls {
            address: from.to_string(),
            source,
        };
        stream.set_nodelay(true).map_err(tls)?;
        let stream = TlsAcceptor::from(config).accept(stream).await.map_err(tls)?;
        let (stream, session) = session(TlsStream::Server(stream))?;
        let socket = accept_async_with_config(stream, Some(limits())).await?;
        Ok(Connection {
            socket,
            session,
            authority: None,
        })
    };
    timeout(HANDSHAKE_TIMEOUT, up)
        .await
        .map_err(|_| LinkError::Timeout(HANDSHAKE_TIMEOUT))?
}

/// The value both ends of this very TLS session can compute and nobody else (RFC 9266's idea, own label).
fn session(stream: TlsStream<TcpStream>) -> Result<(TlsStream<TcpStream>, [u8; 32]), LinkError> {
    let exported = match &stream {
        TlsStream::Client(stream) => {
            stream
                .get_ref()
                .1
                .export_keying_material([0; 32], b"EXPORTER-timeball-link", None)
        }
        TlsStream::Server(stream) => {
            stream
                .get_ref()
                .1
                .export_keying_material([0; 32], b"EXPORTER-timeball-link", None)
        }
    };
    let exported = exported.map_err(|error| LinkError::Setup(error.to_string()))?;
    Ok((stream, exported))
}

/// Small buffers: a controller holds thousands of idle connections.
fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

/// A frame that is encoded once and sent on many connections.
#[derive(Clone, Debug)]
pub struct EncodedFrame(Utf8Bytes);

impl EncodedFrame {
    /// Encodes a frame.
    ///
    /// # Errors
    /// [`LinkError::Frame`] when it cannot be written as JSON, or is larger than 64 KiB.
    pub fn new(frame: &Frame) -> Result<Self, LinkError> {
        let text = serde_json::to_string(frame).map_err(|error| LinkError::Frame(error.to_string()))?;
        if text.len() > FRAME_BYTES_MAX {
            return Err(LinkError::Frame(format!(
                "a frame of {} bytes is larger than {FRAME_BYTES_MAX}",
                text.len()
            )));
        }
        Ok(EncodedFrame(text.into()))
    }

    /// Takes up a frame that [`EncodedFrame::into_bytes`] gave elsewhere, without copying it.
    ///
    /// # Errors
    /// [`LinkError::Frame`] when the bytes are no text.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, LinkError> {
        Utf8Bytes::try_from(bytes)
            .map(EncodedFrame)
            .map_err(|error| LinkError::Frame(error.to_string()))
    }

    /// The frame's text as bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

impl Connection {
    /// The value that ties a signature to this TLS session.
    pub fn session(&self) -> &[u8; 32] {
        &self.session
    }

    /// The authority that the controller's certificate came from; only at the agent's end.
    pub fn authority(&self) -> Option<Fingerprint> {
        self.authority
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`LinkError`] when the connection is gone, or the other end has not read for twenty seconds.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), LinkError> {
        self.send_encoded(EncodedFrame::new(frame)?).await
    }

    /// Sends a frame that was encoded before.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_encoded(&mut self, frame: EncodedFrame) -> Result<(), LinkError> {
        timeout(SEND_TIMEOUT, self.socket.send(Message::Text(frame.0)))
            .await
            .map_err(|_| LinkError::Timeout(SEND_TIMEOUT))??;
        Ok(())
    }

    /// Receives the next frame. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`LinkError`] when the connection is gone or the other end sends something else than frames.
    pub async fn receive(&mut self) -> Result<Frame, LinkError> {
        loop {
            match self.socket.next().await.ok_or(LinkError::Closed)?? {
                Message::Text(text) => return decode(text.as_bytes()),
                Message::Binary(bytes) => return decode(&bytes),
                Message::Close(_) => return Err(LinkError::Closed),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Says goodbye and closes the connection.
    pub async fn close(mut self) {
        // The other end may be gone already; then there is nobody to say goodbye to.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

/// Reads a frame. One that has a kind but not the fields this version knows comes from another version, and is
/// no reason to part.
fn decode(bytes: &[u8]) -> Result<Frame, LinkError> {
    #[derive(serde::Deserialize)]
    struct Kind {
        #[serde(rename = "frame")]
        _kind: String,
    }
    serde_json::from_slice(bytes).or_else(|error| match serde_json::from_slice::<Kind>(bytes) {
        Ok(_) => Ok(Frame::Unknown),
        Err(_) => Err(LinkError::Frame(error.to_string())),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::authority::Authority;
    use crate::frame::Heard;

    async fn pair(
        pin: Pin,
        authority: &Authority,
    ) -> (Result<Connection, LinkError>, Result<Connection, LinkError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = Arc::new(authority.server_config(&[LINK_NAME.to_owned()], &[]).unwrap());
        let server = async {
            let (stream, from) = listener.accept().await.unwrap();
            accept(stream, from, config).await
        };
        tokio::join!(dial(&address, pin), server)
    }

    #[tokio::test]
    async fn both_ends_of_a_session_agree_on_it_and_frames_pass() {
        let authority = Authority::generate().unwrap();
        let (certificate, key) = authority.to_pem();
        let again = Authority::from_pem(&certificate, &key).unwrap();
        assert_eq!(authority.fingerprint(), again.fingerprint());
        let (agent, controller) = pair(Pin::Authority(authority.fingerprint()), &again).await;
        let (mut agent, mut controller) = (agent.unwrap(), controller.unwrap());
        assert_eq!(agent.session(), controller.session());
        assert_eq!(agent.authority(), Some(authority.fingerprint()));
        agent.send(&Frame::Heard(Heard { now_ms: 1 })).await.unwrap();
        assert_eq!(
            controller.receive().await.unwrap(),
            Frame::Heard(Heard { now_ms: 1 })
        );
        controller.close().await;
        assert!(matches!(agent.receive().await, Err(LinkError::Closed)));
    }

    #[tokio::test]
    async fn another_authority_is_refused_and_the_first_one_is_remembered() {
        let (ours, theirs) = (Authority::generate().unwrap(), Authority::generate().unwrap());
        let (agent, _) = pair(Pin::Authority(ours.fingerprint()), &theirs).await;
        assert!(matches!(agent, Err(LinkError::Tls { .. })));
        let (agent, _controller) = pair(Pin::FirstSeen, &theirs).await;
        assert_eq!(agent.unwrap().authority(), Some(theirs.fingerprint()));
    }

    #[tokio::test]
    async fn an_oversized_frame_ends_the_connection() {
        let authority = Authority::generate().unwrap();
        let (agent, controller) = pair(Pin::FirstSeen, &authority).await;
        let (mut agent, mut controller) = (agent.unwrap(), controller.unwrap());
        let big = EncodedFrame("x".repeat(FRAME_BYTES_MAX + 1).into());
        let _ = agent.send_encoded(big).await;
        assert!(matches!(controller.receive().await, Err(LinkError::Socket(_))));
    }
}
