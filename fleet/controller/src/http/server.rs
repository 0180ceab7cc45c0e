//! The API's listener: takes connections, in TLS or plain, and bounds what a stranger can make it hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::call::Peer;
use super::connection::{Activity, Impatient};
use super::{Api, ApiError, router};
use crate::Controller;
use crate::source::Source;
use crate::strangers::Strangers;

/// How many connections may be open at once. Beyond that one gives way, of the address that has the most.
const CONNECTIONS_MAX: usize = 1024;

/// How long TLS may take to come up.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the head of a request may take to arrive, from its first moment.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may be open with nothing asked on it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a peer may leave what is written to it unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How many requests one HTTP/2 connection can have under way.
const STREAMS_MAX: u32 = 64;

/// Largest head of an HTTP/2 request, in bytes.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// How long requests under way have to end when the controller is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves the API until `stop` says so; then requests under way may end, and the audit trail is written out.
pub async fn serve(
    controller: Arc<Controller>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    mut stop: watch::Receiver<bool>,
) {
    let api = Api::new(controller, tls.is_some());
    let server = Server {
        router: router(&api),
        tls: tls.map(TlsAcceptor::from),
        stop: stop.clone(),
    };
    let server = Arc::new(server);
    let mut strangers = Strangers::new(CONNECTIONS_MAX);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some((stream, address)) = accepted else {
            continue;
        };
        let peer = Peer::new(address);
        let admitted = strangers.admit(Source::of(address.ip()), Instant::now(), peer.proof.clone());
        let Some(give_way) = admitted else {
            tracing::debug!(%peer, "its address has the most connections; it was closed");
            continue;
        };
        let server = Arc::clone(&server);
        connections.spawn(async move {
            tokio::select! {
                () = server.connection(stream, peer.clone()) => {}
                Ok(()) = give_way => tracing::debug!(%peer, "it gave way to a caller from another address"),
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    api.stop();
    let _ = timeout(STOP_TIMEOUT, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    connections.abort_all();
    let _ = timeout(STOP_TIMEOUT, api.audit.flush()).await;
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            // Out of file descriptors, or the peer has gone already: go on, but not in a busy loop.
            tracing::warn!(%error, "cannot take an API connection");
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
}

impl Server {
    async fn connection(&self, stream: TcpStream, peer: Peer) {
        if let Err(error) = watch_peer(&stream) {
            tracing::debug!(%peer, %error, "a connection's options cannot be set");
        }
        let Some(tls) = &self.tls else {
            let stream = Impatient::new(stream, WRITE_TIMEOUT);
            return self.http1(stream, peer, self.router.clone()).await;
        };
        let begun = timeout(TLS_TIMEOUT, async {
            if speaks_plain_http(&stream).await? {
                return Ok(Begun::Plain(stream));
            }
            let tls = tls.accept(Impatient::new(stream, WRITE_TIMEOUT)).await?;
            Ok::<_, std::io::Error>(Begun::Tls(Box::new(tls)))
        });
        match begun.await {
            Ok(Ok(Begun::Tls(stream))) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(*stream, peer).await;
            }
            Ok(Ok(Begun::Tls(stream))) => self.http1(*stream, peer, self.router.clone()).await,
            Ok(Ok(Begun::Plain(stream))) => {
                let stream = Impatient::new(stream, WRITE_TIMEOUT);
                self.http1(stream, peer, Router::new().fallback(needs_tls)).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS did not come up"),
            Err(_) => tracing::debug!(%peer, "TLS did not come up in time"),
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        router: Router,
    ) {
        let activity = Activity::new();
        let service = activity.service(router, peer.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut asked = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return log(&peer, ended),
                () = self.enough(&activity), if !asked => {
                    asked = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let activity = Activity::new();
        let service = activity.service(self.router.clone(), peer.clone());
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return log(&peer, ended),
            () = self.enough(&activity) => connection.as_mut().graceful_shutdown(),
        }
        // A peer that does not even say goodbye is not waited for; requests under way are.
        tokio::select! {
            ended = connection.as_mut() => log(&peer, ended),
            () = activity.idle_for(TLS_TIMEOUT) => {}
        }
    }

    /// Comes when the connection has been idle for too long, or the controller is to stop.
    async fn enough(&self, activity: &Activity) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = activity.idle_for(IDLE_TIMEOUT) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

fn log(peer: &Peer, ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an API connection broke");
    }
}

/// How a connection to the port of TLS begins.
enum Begun {
    Tls(Box<TlsStream<Impatient<TcpStream>>>),
    Plain(TcpStream),
}

/// Looks at the first byte: a request begins with a letter of its method, TLS never does.
async fn speaks_plain_http(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Answers any request in the clear on the port of TLS.
async fn needs_tls() -> Response {
    let refused = ApiError::bad_request("this port speaks TLS; write https:// in place of http://");
    ([(header::CONNECTION, "close")], refused).into_response()
}

/// Has the kernel find out when a peer is gone without a word.
fn watch_peer(stream: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    #[cfg(target_os = "linux")]
    {
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
        sockopt::set_tcp_keepcnt(stream, 3)?;
        sockopt::set_tcp_user_timeout(stream, 60_000)?;
    }
    Ok(())
}
