//! A scripted HTTP server: a fake controller that expects requests in an order and gives canned answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

/// One expected request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// Method and path with query.
    request: String,
    /// Lines that must be among the request's headers.
    #[serde(default)]
    headers: Vec<String>,
    /// Names of headers that must not be there.
    #[serde(default)]
    without_headers: Vec<String>,
    /// The request's body.
    #[serde(default)]
    request_body: String,
    /// Status of the answer.
    #[serde(default = "ok")]
    status: u16,
    /// Content type of the answer.
    #[serde(default = "json")]
    content_type: String,
    /// Further headers of the answer.
    #[serde(default)]
    answer_headers: Vec<String>,
    /// Body of the answer; `{url}` in it is not replaced.
    #[serde(default)]
    body: String,
    /// Put before the body so many times.
    #[serde(default)]
    filler: Option<(String, usize)>,
    /// Put after the filler.
    #[serde(default)]
    body_end: String,
    /// Close the connection before the body is complete.
    #[serde(default)]
    broken_off: bool,
    /// Never answer; when a request is here, the test goes on.
    #[serde(default)]
    hang: bool,
    /// Wait so long after each blank line of the body, so that progress can be seen.
    #[serde(default)]
    pause_ms: u64,
}

fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json".to_owned()
}

/// The server with what it found wrong.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    thread: thread::JoinHandle<Vec<String>>,
    listener: TcpListener,
    hanging: mpsc::Receiver<()>,
}

impl Server {
    /// Starts a server for these exchanges.
    pub(crate) fn start(script: Vec<Exchange>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let theirs = listener.try_clone().unwrap();
        let (hangs, hanging) = mpsc::channel();
        let thread = thread::spawn(move || serve(&theirs, &script, &hangs));
        Server {
            address,
            thread,
            listener,
            hanging,
        }
    }

    /// Waits until a request hangs.
    pub(crate) fn wait_until_it_hangs(&self) {
        self.hanging.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// Stops and says what was wrong: requests that differed, came too often or not at all.
    pub(crate) fn finish(self) -> Vec<String> {
        // An empty connection tells the thread that nobody will come any more.
        drop(TcpStream::connect(self.address));
        let wrong = self.thread.join().unwrap();
        drop(self.listener);
        wrong
    }
}

fn serve(listener: &TcpListener, script: &[Exchange], hangs: &mpsc::Sender<()>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut script = script.iter();
    loop {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(stream);
        // A connection is used for as many requests as the client likes.
        let mut used = false;
        while let Some(request) = read_request(&mut reader) {
            used = true;
            let Some(exchange) = script.next() else {
                wrong.push(format!("a request too many: {}", request.line));
                return wrong;
            };
            compare(exchange, &request, &mut wrong);
            if exchange.hang {
                hangs.send(()).unwrap();
                // Until the program is gone.
                let _ = reader.read(&mut [0]);
                break;
            }
            answer(exchange, reader.get_mut());
            if exchange.broken_off {
                break;
            }
        }
        if !used {
            break;
        }
    }
    wrong.extend(script.map(|missing| format!("never asked: {}", missing.request)));
    wrong
}

struct Request {
    line: String,
    headers: Vec<String>,
    body: String,
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end().to_owned();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        headers.push(header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

fn compare(exchange: &Exchange, request: &Request, wrong: &mut Vec<String>) {
    let mut check = |what: &str, expected: &str, actual: &str| {
        if expected != actual {
            wrong.push(format!("{what} expected: {expected}\n{what} came:     {actual}"));
        }
    };
    check("request", &exchange.request, &request.line);
    check("request body", exchange.request_body.trim_end(), &request.body);
    for header in &exchange.headers {
        if !request
            .headers
            .iter()
            .any(|came| came.eq_ignore_ascii_case(header))
        {
            wrong.push(format!(
                "header missing: {header}; there were {:?}",
                request.headers
            ));
        }
    }
    for name in &exchange.without_headers {
        let name = format!("{}:", name.to_ascii_lowercase());
        if let Some(came) = request
            .headers
            .iter()
            .find(|came| came.to_ascii_lowercase().starts_with(&name))
        {
            wrong.push(format!("header that must not be there: {came}"));
        }
    }
}

/// Writes the answer; a client that has seen enough may have gone.
fn answer(exchange: &Exchange, stream: &mut TcpStream) {
    let filler = exchange
        .filler
        .as_ref()
        .map(|(text, times)| text.repeat(*times))
        .unwrap_or_default();
    let body = format!("{}{filler}{}", exchange.body, exchange.body_end);
    let length = body.len() + if exchange.broken_off { 100 } else { 0 };
    let mut head = format!(
        "HTTP/1.1 {} Fake\r\nContent-Length: {length}\r\n",
        exchange.status
    );
    if !exchange.content_type.is_empty() {
        head.push_str(&format!("Content-Type: {}\r\n", exchange.content_type));
    }
    for header in &exchange.answer_headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str("\r\n");
    let _ = stream.write_all(head.as_bytes());
    if exchange.pause_ms == 0 {
        let _ = stream.write_all(body.as_bytes());
    } else {
        for part in body.split_inclusive("\n\n") {
            let _ = stream.write_all(part.as_bytes());
            thread::sleep(Duration::from_millis(exchange.pause_ms));
        }
    }
    let _ = stream.flush();
}
