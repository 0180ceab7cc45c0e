//! Requests to the controller's API and what comes of them.

use std::io::{self, Read};
use std::time::Duration;

use model::route::{self, Endpoint, Method, Route};
use serde::Deserialize;
use ureq::http::{self, Request, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use crate::client::access::{Access, Trust, segment, shown};
use crate::client::stream::{self, Progress};
use crate::client::tls::TlsConnector;
use crate::ending::Failure;

/// Largest answer that is taken: ten thousand hosts with everything they report take some 40 MB.
pub(crate) const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// How much of a refusal is read.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;
/// How long a connection may take to come about.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long an answer may take beyond what its hosts are given.
const ANSWER_MARGIN: Duration = Duration::from_secs(30);
/// How long an answer may take when the controller alone knows how long its hosts are given.
const ANSWER_WAIT: Duration = Duration::from_secs(600);

/// A controller's API.
pub(crate) struct Api {
    access: Access,
    agent: ureq::Agent,
}

/// One request.
pub(crate) struct Call {
    route: &'static Route,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    wait: Duration,
    also_taken: Vec<StatusCode>,
}

impl Call {
    /// Starts a request to an endpoint, with the parameters of its path in their order.
    pub(crate) fn new(endpoint: Endpoint, parameters: &[&str]) -> Self {
        let route = endpoint.route();
        Call {
            route,
            path: route.path_with(parameters),
            query: Vec::new(),
            body: None,
            wait: ANSWER_WAIT,
            also_taken: Vec::new(),
        }
    }

    /// Adds a parameter, if there is a value for it.
    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Adds a body.
    #[must_use]
    pub(crate) fn body(mut self, body: &impl serde::Serialize) -> Self {
        // Nothing that is sent has keys other than text, which is all that JSON could refuse.
        self.body = serde_json::to_vec(body).ok();
        self
    }

    /// Says how long the hosts are given, when the request itself says so.
    #[must_use]
    pub(crate) fn hosts_wait(mut self, wait: Option<Duration>) -> Self {
        self.wait = wait.map_or(ANSWER_WAIT, |wait| wait + ANSWER_MARGIN);
        self
    }

    /// Says that an answer with this status is none the worse for it.
    #[must_use]
    pub(crate) fn taking(mut self, status: StatusCode) -> Self {
        self.also_taken.push(status);
        self
    }
}

/// A controller's answer that is no refusal.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// An error object: `error` from the API, `message` from what routes requests to it.
#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "message")]
    error: String,
}

impl Api {
    /// Makes a client of the controller that `access` leads to.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the trusted certificates are none.
    pub(crate) fn new(access: Access) -> Result<Self, Failure> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_WAIT))
            .user_agent(concat!("timeball/", env!("CARGO_PKG_VERSION")))
            .build();
        let tls = TlsConnector::new(&access.trust)
            .map_err(|error| Failure::new(format!("--ca: {error}; name a PEM file with certificates")))?;
        let connector = ().chain(TcpConnector::default()).chain(tls);
        let agent = ureq::Agent::with_parts(config, connector, DefaultResolver::default());
        Ok(Api { access, agent })
    }

    /// Sends a request and gives the answer.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the controller cannot be reached, [`Failure::RefusedByApi`] when it refuses.
    pub(crate) fn call(&self, call: &Call) -> Result<Answer, Failure> {
        let response = self.send(call, None)?;
        let status = response.status();
        if !is_taken(call, status) {
            return Err(self.refused(status, &read_refusal(response)));
        }
        let body = response
            .into_body()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => self.unreachable(&error),
                other => self.broken_off(&other.into_io()),
            })?;
        Ok(Answer { status, body })
    }

    /// Sends a request that many hosts answer one by one, and tells `progress` of them. A controller that
    /// does not tell gives its answer as to any request.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the controller cannot be reached, [`Failure::RefusedByApi`] when it refuses.
    pub(crate) fn call_with_progress(
        &self,
        call: &Call,
        progress: &mut dyn Progress,
    ) -> Result<Answer, Failure> {
        let response = self.send(call, Some("text/event-stream, application/json"))?;
        let status = response.status();
        let content_type = response.headers().get(http::header::CONTENT_TYPE);
        let is_stream = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !is_taken(call, status) {
            return Err(self.refused(status, &read_refusal(response)));
        }
        let mut reader = response.into_body().into_reader().take(ANSWER_BYTES_MAX);
        if !is_stream {
            let mut body = Vec::new();
            reader
                .read_to_end(&mut body)
                .map_err(|error| self.broken_off(&error))?;
            return Ok(Answer { status, body });
        }
        let answer =
            stream::read(io::BufReader::new(reader), progress).map_err(|error| self.broken_off(&error))?;
        if is_taken(call, answer.status) {
            Ok(answer)
        } else {
            Err(self.refused(answer.status, &answer.body))
        }
    }

    fn send(&self, call: &Call, accept: Option<&str>) -> Result<http::Response<ureq::Body>, Failure> {
        let mut url = format!("{}{}", self.access.url, call.path);
        for (i, (name, value)) in call.query.iter().enumerate() {
            let mark = if i == 0 { '?' } else { '&' };
            url.push_str(&format!("{mark}{name}={}", segment(value)));
        }
        let mut request = Request::builder().method(call.route.method.as_str()).uri(url);
        if let Some(token) = &self.access.token {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {}", token.secret()));
        } else if call.route.access != route::Access::Open {
            return Err(Failure::new(
                "no token; give one with --token-file FILE, TIMEBALL_TOKEN_FILE or TIMEBALL_TOKEN",
            ));
        }
        if let Some(accept) = accept {
            request = request.header(http::header::ACCEPT, accept);
        }
        if call.body.is_some() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let agent = self
            .agent
            .configure_request(
                request
                    .body(())
                    .map_err(|error| Failure::new(format!("the request cannot be made: {error}")))?,
            )
            .timeout_recv_response(Some(call.wait))
            .timeout_recv_body(Some(call.wait))
            .build();
        // Without a body there must be no length either, but for methods that are expected to have one.
        let response = match &call.body {
            Some(body) => self.agent.run(agent.map(|()| body.as_slice())),
            None if matches!(call.route.method, Method::Post | Method::Put) => {
                self.agent.run(agent.map(|()| b"".as_slice()))
            }
            None => self.agent.run(agent),
        };
        response.map_err(|error| self.unreachable(&error))
    }

    /// Why there is no answer, and what to do.
    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let url = &self.access.url;
        let text = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused; is the controller running? start one with `timeball up`, or name another \
                 with --url"
                    .to_owned()
            }
            ureq::Error::Io(error) if is_cut(error) => "it closed the connection without an answer; ask again, or \
                                                        see `timeball client job list` for what became of it"
                .to_owned(),
            ureq::Error::HostNotFound => "no such host; name another with --url".to_owned(),
            ureq::Error::Timeout(ureq::Timeout::Connect) => format!(
                "no connection within {} s; is the controller running? name another with --url",
                CONNECT_WAIT.as_secs()
            ),
            ureq::Error::Timeout(_) => "connected, but no answer in time; ask again, or see `timeball client job \
                                        list` for what became of it"
                .to_owned(),
            ureq::Error::BodyExceedsLimit(limit) => format!("the answer is larger than {limit} bytes"),
            ureq::Error::Io(error) => self
                .tls_text(error)
                .unwrap_or_else(|| format!("{error}; is the address right? name another with --url")),
            ureq::Error::Protocol(_) => "what it answers is not HTTP; if it speaks TLS, write https://…".to_owned(),
            other => other.to_string(),
        };
        Failure::new(format!("cannot reach {url}: {text}"))
    }

    /// The text for an error of TLS, if it is one.
    fn tls_text(&self, error: &io::Error) -> Option<String> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match (&self.access.trust, error) {
            (
                Trust::Pinned(pinned),
                rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer),
            ) => {
                format!(
                    "its certificate is not from the authority {pinned}; if the controller was set up anew, take \
                     the fingerprint that it prints when it starts"
                )
            }
            (_, rustls::Error::InvalidCertificate(why)) => format!(
                "its certificate is refused: {why}; give the right authority with --ca FILE or --ca-fingerprint, \
                 or the name that is in the certificate with --url"
            ),
            (_, rustls::Error::InvalidMessage(_)) => "it does not speak TLS; use http://… for it".to_owned(),
            (_, other) => format!("TLS: {other}"),
        })
    }

    fn broken_off(&self, error: &io::Error) -> Failure {
        Failure::new(format!(
            "{} broke the answer off: {}; see `timeball client job list` for what became of it",
            self.access.url,
            shown(&error.to_string())
        ))
    }

    /// What the controller says against a request, and what to do.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let reason = serde_json::from_slice(body)
            .ok()
            .map(|Refusal { error }| shown(&error));
        let Some(reason) = reason else {
            return Failure::new(format!(
                "{} answered {status} without a reason; is it a timeball controller? name another with --url",
                self.access.url
            ));
        };
        let remedy = match status {
            StatusCode::UNAUTHORIZED => {
                "; give a valid token with --token-file FILE, TIMEBALL_TOKEN_FILE or TIMEBALL_TOKEN"
            }
            StatusCode::FORBIDDEN => "; use a token that allows it",
            StatusCode::TOO_MANY_REQUESTS => "; wait and ask again",
            _ => "",
        };
        Failure::RefusedByApi {
            text: format!("the controller answered {status}: {reason}{remedy}"),
            body: body.to_vec(),
        }
    }
}

/// Says whether the other side went away.
fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

fn is_taken(call: &Call, status: StatusCode) -> bool {
    status.is_success() || call.also_taken.contains(&status)
}

/// What can be had of a refusal's body.
fn read_refusal(response: http::Response<ureq::Body>) -> Vec<u8> {
    let mut body = Vec::new();
    // What came before an error may tell enough.
    let _ = response
        .into_body()
        .into_reader()
        .take(REFUSAL_BYTES_MAX)
        .read_to_end(&mut body);
    body
}
