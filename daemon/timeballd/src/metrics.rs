//! The daemon's numbers over HTTP, for who has asked for that (`timeball.metrics-address`).
//!
//! As much HTTP as a scraper needs: one request on a connection, its head at most; one answer; the end. Everything
//! is bounded, since whoever reaches the address may connect.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use os::{Ready, Token, Waiter, Watch};
use units::Mono;
use wire::condition::Condition;
use wire::http::{Request, RequestReader, RequestTooLong};

/// How the loop calls the listening socket, and the first of the connections.
const LISTENER: Token = Token(u32::MAX - 4);
const FIRST_CONNECTION: u32 = u32::MAX - 16;

/// The largest number of connections at a time. For one more, the one that has kept waiting longest for its request is
/// closed.
const CONNECTIONS_MAX: usize = 8;

/// How long a connection may take, seconds.
const PATIENCE_S: f64 = 10.0;

/// How long no connection is taken after one could not be, seconds: as long as there is no descriptor for it, the
/// listening socket stays readable.
const PAUSE_S: f64 = 1.0;

/// The type of the page (Prometheus, text format).
const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers scrapers.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    listener: TcpListener,
    connections: Vec<Connection>,
    /// Until when the listening socket is not watched.
    paused: Option<Mono>,
}

/// One that has connected.
#[derive(Debug)]
struct Connection {
    token: Token,
    stream: TcpStream,
    /// What came of the request so far.
    head: RequestReader,
    /// What is left of the answer, once there is one.
    answer: Vec<u8>,
    /// When it is closed, whatever happens.
    until: Mono,
}

/// The numbers that the engine does not know.
pub(crate) fn condition_text(condition: &Condition) -> String {
    let mut text = String::new();
    for (name, help, value) in [
        (
            "timeball_clock_steered",
            "Whether this daemon steers the clock; otherwise it only measures it.",
            condition.steers,
        ),
        (
            "timeball_clock_conflict",
            "Whether the clock is not steered because somebody else keeps it.",
            condition.conflict.is_some(),
        ),
        (
            "timeball_config_reload_success",
            "Whether the newest configuration is in force.",
            condition.configuration_error.is_none(),
        ),
    ] {
        let value = u8::from(value);
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    text
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    Write,
    Close,
}

impl MetricsServer {
    /// Opens the address.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connections: Vec::new(),
            paused: None,
        })
    }

    /// Watches for connections from now on.
    pub(crate) fn watch(&self, waiter: &mut Waiter) {
        waiter.watch(LISTENER, &self.listener, Watch::Readable);
    }

    /// When the next connection has taken too long, or the pause is over.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        let connections = self.connections.iter().map(|connection| connection.until);
        connections.chain(self.paused).min()
    }

    /// Closes the connections that have taken too long, and ends the pause.
    pub(crate) fn expire(&mut self, now: Mono, waiter: &mut Waiter) {
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
            self.watch(waiter);
        }
        self.connections.retain(|connection| {
            let stays = connection.until > now;
            if !stays {
                waiter.forget(connection.token);
            }
            stays
        });
    }

    /// Takes in what was reported; says whether it was about this.
    pub(crate) fn happened(
        &mut self,
        ready: Ready,
        now: Mono,
        waiter: &mut Waiter,
        page: &mut dyn FnMut() -> String,
    ) -> bool {
        if ready.token == LISTENER {
            self.accept(now, waiter);
            return true;
        }
        let Some(place) = self
            .connections
            .iter()
            .position(|connection| connection.token == ready.token)
        else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(place) else {
            return false;
        };
        let before = if connection.answer.is_empty() {
            Next::Read
        } else {
            Next::Write
        };
        let next = connection.go_on(page).unwrap_or(Next::Close);
        if next != before {
            waiter.forget(connection.token);
        }
        match next {
            Next::Write if next != before => {
                waiter.watch(connection.token, &connection.stream, Watch::Writable);
            }
            Next::Read | Next::Write => {}
            Next::Close => {
                self.connections.swap_remove(place);
            }
        }
        true
    }

    /// Takes a connection, if there is room for one or room can be made.
    fn accept(&mut self, now: Mono, waiter: &mut Waiter) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // It went away.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return;
            }
            Err(_) => {
                waiter.forget(LISTENER);
                self.paused = Some(now.plus_seconds(PAUSE_S));
                return;
            }
        };
        if self.connections.len() >= CONNECTIONS_MAX {
            self.make_room(waiter);
        }
        let used = |token: Token| {
            self.connections
                .iter()
                .any(|connection| connection.token == token)
        };
        let mut tokens = (FIRST_CONNECTION..).take(CONNECTIONS_MAX).map(Token);
        // All others are being answered: one that is too many is dropped, and nobody waits for it here.
        let Some(token) = tokens.find(|&token| !used(token)) else {
            return;
        };
        if stream.set_nonblocking(true).is_ok() {
            waiter.watch(token, &stream, Watch::Readable);
            let until = now.plus_seconds(PATIENCE_S);
            self.connections.push(Connection {
                token,
                stream,
                head: RequestReader::default(),
                answer: Vec::new(),
                until,
            });
        }
    }

    /// Closes the oldest of the connections whose request has not come.
    fn make_room(&mut self, waiter: &mut Waiter) {
        let waiting = self.connections.iter().enumerate();
        let oldest = waiting
            .filter(|(_, connection)| connection.answer.is_empty())
            .min_by_key(|(_, connection)| connection.until);
        if let Some((place, _)) = oldest {
            let connection = self.connections.swap_remove(place);
            waiter.forget(connection.token);
        }
    }
}

impl Connection {
    /// Reads or writes as much as there is.
    fn go_on(&mut self, page: &mut dyn FnMut() -> String) -> io::Result<Next> {
        if self.answer.is_empty() {
            let mut buffer = [0; 1024];
            let length = match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Next::Close),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Read),
                Err(error) => return Err(error),
            };
            match self.head.read(buffer.get(..length).unwrap_or_default()) {
                Ok(Some(request)) => self.answer = answer(&request, page),
                Ok(None) => return Ok(Next::Read),
                Err(RequestTooLong) => return Ok(Next::Close),
            }
        }
        match self.stream.write(&self.answer) {
            Ok(0) => return Ok(Next::Close),
            Ok(length) => {
                self.answer.drain(..length.min(self.answer.len()));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(if self.answer.is_empty() {
            Next::Close
        } else {
            Next::Write
        })
    }
}

/// The answer to a request.
fn answer(request: &Request, page: &mut dyn FnMut() -> String) -> Vec<u8> {
    let (status, kind, body) = match (request.is_get, request.path.as_slice()) {
        (true, b"/metrics") => ("200 OK", PAGE_TYPE, page()),
        (true, _) => (
            "404 Not Found",
            "text/plain",
            "The numbers are at /metrics.\n".to_owned(),
        ),
        (false, _) => (
            "405 Method Not Allowed",
            "text/plain",
            "The numbers can be read only.\n".to_owned(),
        ),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use os::Clock;

    use super::*;

    struct Scene {
        server: MetricsServer,
        waiter: Waiter,
        page: String,
    }

    impl Scene {
        fn new(page: &str) -> Self {
            let server = MetricsServer::open(([127, 0, 0, 1], 0).into()).unwrap();
            let mut waiter = Waiter::new().unwrap();
            server.watch(&mut waiter);
            Self {
                server,
                waiter,
                page: page.to_owned(),
            }
        }

        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.server.listener.local_addr().unwrap()).unwrap();
            stream
                .set_read_timeout(Some(std::time::Duration::from_millis(1)))
                .unwrap();
            stream
        }

        /// Has the server do what there is to do.
        fn run(&mut self) {
            let mut ready = Vec::new();
            loop {
                let now = Clock::new().now().mono;
                self.waiter
                    .wait(Some(now.plus_seconds(0.02)), &mut ready)
                    .unwrap();
                if ready.is_empty() {
                    return;
                }
                for &event in &ready {
                    assert!(
                        self.server
                            .happened(event, now, &mut self.waiter, &mut || self.page.clone())
                    );
                }
            }
        }

        /// Reads until the server closes.
        fn read(&mut self, stream: &mut TcpStream) -> String {
            let mut text = Vec::new();
            loop {
                self.run();
                let mut buffer = vec![0; 1 << 20];
                match stream.read(&mut buffer) {
                    Ok(0) => return String::from_utf8(text).unwrap(),
                    Ok(length) => text.extend(&buffer[..length]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        }
    }

    #[test]
    fn a_scraper_gets_the_page() {
        let mut scene = Scene::new("numbers 1\n");
        let mut stream = scene.connect();
        stream
            .write_all(b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n")
            .unwrap();
        scene.run();
        stream.write_all(b"\r\n").unwrap();
        let text = scene.read(&mut stream);
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"),
            "{text}"
        );
        assert!(
            text.ends_with("Content-Length: 10\r\nConnection: close\r\n\r\nnumbers 1\n"),
            "{text}"
        );
        assert!(scene.server.connections.is_empty());
    }

    #[test]
    fn a_page_may_be_larger_than_what_is_sent_at_once() {
        let page = "x".repeat(8 << 20);
        let mut scene = Scene::new(&page);
        let mut stream = scene.connect();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let text = scene.read(&mut stream);
        assert_eq!(text.split_once("\r\n\r\n").unwrap().1.len(), page.len());
    }

    #[test]
    fn other_requests_are_told_so() {
        for (request, status) in [
            ("GET / HTTP/1.1", "404"),
            ("POST /metrics HTTP/1.1", "405"),
            ("x", "405"),
        ] {
            let mut scene = Scene::new("");
            let mut stream = scene.connect();
            stream.write_all(format!("{request}\r\n\r\n").as_bytes()).unwrap();
            let text = scene.read(&mut stream);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_not_kept() {
        let mut scene = Scene::new("");
        let mut stream = scene.connect();
        stream
            .write_all(&[b'x'; 2 * wire::http::REQUEST_LENGTH_MAX])
            .unwrap();
        scene.run();
        assert!(scene.server.connections.is_empty());
    }

    #[test]
    fn connections_are_few_and_end() {
        let mut scene = Scene::new("");
        let streams: Vec<TcpStream> = (0..CONNECTIONS_MAX + 3).map(|_| scene.connect()).collect();
        scene.run();
        assert_eq!(scene.server.connections.len(), CONNECTIONS_MAX);
        let deadline = scene.server.deadline().unwrap();
        scene.server.expire(deadline, &mut scene.waiter);
        assert!(scene.server.connections.len() < CONNECTIONS_MAX);
        scene.server.expire(Mono::MAX, &mut scene.waiter);
        assert_eq!(scene.server.deadline(), None);
        drop(streams);
    }

    #[test]
    fn connections_that_ask_nothing_keep_nobody_out() {
        let mut scene = Scene::new("numbers 1\n");
        let idle: Vec<TcpStream> = (0..3 * CONNECTIONS_MAX).map(|_| scene.connect()).collect();
        scene.run();
        let mut stream = scene.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        assert!(scene.read(&mut stream).ends_with("numbers 1\n"));
        drop(idle);
    }

    #[test]
    fn what_cannot_be_taken_is_left_alone_for_a_while() {
        let mut scene = Scene::new("numbers 1\n");
        // A socket that listens no more refuses every `accept`, as one does for which there is no descriptor.
        let (listener, _refusing) = {
            let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
            (TcpListener::from(std::os::fd::OwnedFd::from(one)), other)
        };
        let good = std::mem::replace(&mut scene.server.listener, listener);
        let now = Clock::new().now().mono;
        scene.server.accept(now, &mut scene.waiter);
        let over = scene.server.deadline().unwrap();
        assert!(over > now);

        scene.server.listener = good;
        let mut stream = scene.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        scene.run();
        assert!(scene.server.connections.is_empty(), "it is not watched");
        scene.server.expire(over, &mut scene.waiter);
        assert_eq!(scene.server.deadline(), None);
        assert!(scene.read(&mut stream).ends_with("numbers 1\n"));
    }
}
