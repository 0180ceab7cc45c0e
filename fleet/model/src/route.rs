//! The API as a table: which endpoint has which method, path, permission, parameters and answers.
//!
//! The controller builds its router by walking [`ROUTES`], the command line takes its paths from it, and
//! [`openapi`](crate::openapi) prints the contract. There is no second list.

use crate::permission::Permission;

/// Everything the API can be asked, in the order of [`ROUTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Ask hosts for the state of their clocks.
    GetNodeNtp,
    /// Put servers under management.
    PostNodeNtp,
    /// Replace managed servers.
    PutNodeNtp,
    /// Remove managed servers.
    DeleteNodeNtp,
    /// List jobs.
    GetJobs,
    /// Show a job.
    GetJob,
    /// Forget a job.
    DeleteJob,
    /// Submit a job's operation again.
    RetryJob,
    /// List accepted hosts.
    GetAgents,
    /// List hosts that wait to be accepted.
    GetPendingAgents,
    /// Show a host.
    GetAgent,
    /// Forget a host.
    DeleteAgent,
    /// Accept a host.
    AcceptAgent,
    /// Reject a host.
    RejectAgent,
    /// Take a host out of service.
    DrainAgent,
    /// Put a host back into service.
    UndrainAgent,
    /// List the facts that agents report.
    GetFactKeys,
    /// Say that the process answers.
    GetHealth,
    /// Say whether the controller can do its work.
    GetHealthReady,
    /// Say what the controller holds.
    GetHealthStatus,
    /// Give the metrics.
    GetMetrics,
    /// List audit entries.
    GetAudit,
    /// Give every audit entry.
    GetAuditExport,
    /// Show an audit entry.
    GetAuditEntry,
    /// Make an enrolment token.
    PostEnrolmentToken,
    /// List API tokens.
    GetTokens,
    /// Make an API token.
    PostToken,
    /// Revoke an API token.
    DeleteToken,
    /// Give this contract.
    GetOpenApi,
}

/// One row of the table.
#[derive(Debug)]
pub struct Route {
    /// What is asked.
    pub endpoint: Endpoint,
    /// HTTP method.
    pub method: Method,
    /// Path with its parameters in braces.
    pub path: &'static str,
    /// Name of the operation in the contract and in audit entries.
    pub operation_id: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Group of the operation in the contract.
    pub tag: &'static str,
    /// Query parameters; others are ignored.
    pub query: &'static [Query],
    /// Body, if it takes one.
    pub request: Option<Request>,
    /// Every answer it can give.
    pub answers: &'static [Answer],
}

/// HTTP methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Who holds a token with this permission.
    Needs(Permission),
    /// Everybody where the controller is set so or listens on a loopback address, else who holds a token
    /// with this permission.
    OpenOrNeeds(Permission),
}

/// A query parameter.
#[derive(Debug)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// What it can be.
    pub value: QueryValue,
}

/// What a query parameter can be.
#[derive(Debug)]
pub enum QueryValue {
    /// A whole number.
    Number {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
        /// What counts when it is absent.
        default: Option<u64>,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text of this form, a regular expression.
    Text {
        /// The form.
        pattern: &'static str,
    },
}

/// A request body in JSON.
#[derive(Debug)]
pub struct Request {
    /// Its shape.
    pub shape: Shape,
    /// Whether it can be left out.
    pub optional: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// When it is given.
    pub description: &'static str,
    /// What it carries.
    pub body: Body,
}

/// What an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// JSON of this shape.
    Json(Shape),
    /// JSON of this shape, or server-sent events when the request accepts `text/event-stream`.
    JsonOrEvents(Shape),
    /// Text in the OpenMetrics format.
    Metrics,
    /// Any JSON object.
    AnyJson,
}

/// The shapes of JSON bodies: each is a type of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum Shape {
    NtpServersRequest,
    NtpCollectionResponse,
    NtpMutationResponse,
    ListJobsResponse,
    JobDetail,
    RetryJobRequest,
    CreateJobResponse,
    ListAgentsResponse,
    ListPendingAgentsResponse,
    AgentInfo,
    MessageResponse,
    FactKeysResponse,
    HealthResponse,
    ReadyResponse,
    StatusResponse,
    ListAuditResponse,
    AuditEntryResponse,
    EnrolmentTokenRequest,
    EnrolmentTokenResponse,
    TokenRequest,
    TokenResponse,
    ListTokensResponse,
    ErrorResponse,
}

/// Longest a caller can have a job wait for its hosts, in seconds.
pub const TIMEOUT_S_MAX: u64 = 300;

/// Longest page of a list.
pub const LIMIT_MAX: u64 = 100;

/// Longest path parameter, in bytes after decoding.
pub const PATH_PARAMETER_BYTES_MAX: usize = 255;

impl Endpoint {
    /// The endpoint's row.
    pub fn route(self) -> &'static Route {
        &ROUTES[self as usize]
    }
}

impl Route {
    /// The permission a caller may need.
    pub fn permission(&self) -> Option<Permission> {
        match self.access {
            Access::Open => None,
            Access::Needs(permission) | Access::OpenOrNeeds(permission) => Some(permission),
        }
    }

    /// Names of the parameters in the path, in their order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Writes the path for these parameters, in their order. They are percent-encoded where needed; one that
    /// is missing is left empty.
    pub fn path_with(&self, parameters: &[&str]) -> String {
        let mut parameters = parameters.iter();
        let mut path = String::with_capacity(self.path.len() + 32);
        for segment in self.path.split('/').skip(1) {
            path.push('/');
            if segment.starts_with('{') {
                encode_segment(parameters.next().copied().unwrap_or_default(), &mut path);
            } else {
                path.push_str(segment);
            }
        }
        path
    }
}

impl Method {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }

    /// Says whether the method can change anything.
    pub fn writes(self) -> bool {
        self != Method::Get
    }
}

/// Writes text as one path segment (RFC 3986 §3.3: unreserved characters and `:` stay as they are).
fn encode_segment(text: &str, path: &mut String) {
    use std::fmt::Write;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                path.push(char::from(byte));
            }
            // Writing into a String never fails.
            _ => drop(write!(path, "%{byte:02X}")),
        }
    }
}

const fn json(status: u16, description: &'static str, shape: Shape) -> Answer {
    Answer {
        status,
        description,
        body: Body::Json(shape),
    }
}

const fn error(status: u16, description: &'static str) -> Answer {
    json(status, description, Shape::ErrorResponse)
}

const BAD_REQUEST: Answer = error(
    400,
    "The request is malformed; the text says where and what to send instead.",
);
const UNAUTHORIZED: Answer = error(401, "There is no token, or it is not valid.");
const FORBIDDEN: Answer = error(403, "The token does not hold the permission.");
const NOT_FOUND: Answer = error(404, "There is no such thing.");
const CONFLICT: Answer = error(
    409,
    "It is in another state, or the name belongs to several hosts.",
);
const TOO_LARGE: Answer = error(413, "The body is larger than 1 MiB.");
const MEDIA_TYPE: Answer = error(415, "The body is not application/json.");
const INTERNAL: Answer = error(500, "The controller failed, or its store did.");
const BUSY: Answer = error(
    503,
    "Too much is under way, or the controller is being stopped; try again.",
);

const LIMIT_OF_JOBS: Query = limit(10);
const LIMIT_OF_AUDIT: Query = limit(20);

const fn limit(default: u64) -> Query {
    Query {
        name: "limit",
        description: "How many to give at most.",
        value: QueryValue::Number {
            min: 1,
            max: LIMIT_MAX,
            default: Some(default),
        },
    }
}

const OFFSET: Query = Query {
    name: "offset",
    description: "How many of the newest to skip.",
    value: QueryValue::Number {
        min: 0,
        max: 1_000_000_000,
        default: Some(0),
    },
};

const TIMEOUT: Query = Query {
    name: "timeout_s",
    description: "How long to wait for the hosts, in seconds; the controller's setting when absent.",
    value: QueryValue::Number {
        min: 1,
        max: TIMEOUT_S_MAX,
        default: None,
    },
};

const STATUS: Query = Query {
    name: "status",
    description: "Only jobs in this state.",
    value: QueryValue::Word(&[
        "submitted",
        "processing",
        "completed",
        "failed",
        "partial_failure",
        "skipped",
    ]),
};

const FINGERPRINT: Query = Query {
    name: "fingerprint",
    description: "Accept only the host whose key has this fingerprint.",
    value: QueryValue::Text {
        pattern: "^SHA256:[0-9a-f]{64}$",
    },
};

const NTP_SERVERS: Option<Request> = Some(Request {
    shape: Shape::NtpServersRequest,
    optional: false,
});

const NTP_READ: &[Answer] = &[
    Answer {
        status: 200,
        description: "One row per host, ordered by host name, whatever became of it.",
        body: Body::JsonOrEvents(Shape::NtpCollectionResponse),
    },
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    INTERNAL,
    BUSY,
];

const NTP_DONE: Answer = Answer {
    status: 200,
    description: "One row per host, ordered by host name, whatever became of it.",
    body: Body::JsonOrEvents(Shape::NtpMutationResponse),
};

const NOT_MANAGED: Answer = error(
    404,
    "The target is a single host, and timeball does not manage its servers.",
);

const AGENT_CHANGE: &[Answer] = &[
    json(200, "Done.", Shape::MessageResponse),
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    CONFLICT,
    INTERNAL,
    BUSY,
];

const TAG_NTP: &str = "Node/NTP";
const TAG_JOB: &str = "Job";
const TAG_AGENT: &str = "Agent";
const TAG_HEALTH: &str = "Health";
const TAG_AUDIT: &str = "Audit";
const TAG_TOKEN: &str = "Token";

/// Every endpoint, in the order of [`Endpoint`].
pub static ROUTES: [Route; 29] = [
    Route {
        endpoint: Endpoint::GetNodeNtp,
        method: Method::Get,
        path: "/api/node/{hostname}/ntp",
        operation_id: "GetNodeNtp",
        access: Access::Needs(Permission::NTP_READ),
        summary: "Ask the hosts of a target for the state of their clocks, sources and configuration.",
        tag: TAG_NTP,
        query: &[TIMEOUT],
        request: None,
        answers: NTP_READ,
    },
    Route {
        endpoint: Endpoint::PostNodeNtp,
        method: Method::Post,
        path: "/api/node/{hostname}/ntp",
        operation_id: "PostNodeNtp",
        access: Access::Needs(Permission::NTP_WRITE),
        summary: "Put servers under management on hosts that are not managed yet.",
        tag: TAG_NTP,
        query: &[TIMEOUT],
        request: NTP_SERVERS,
        answers: &[
            NTP_DONE,
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            TOO_LARGE,
            MEDIA_TYPE,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::PutNodeNtp,
        method: Method::Put,
        path: "/api/node/{hostname}/ntp",
        operation_id: "PutNodeNtp",
        access: Access::Needs(Permission::NTP_WRITE),
        summary: "Replace the managed servers of hosts that are managed already.",
        tag: TAG_NTP,
        query: &[TIMEOUT],
        request: NTP_SERVERS,
        answers: &[
            NTP_DONE,
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_MANAGED,
            TOO_LARGE,
            MEDIA_TYPE,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::DeleteNodeNtp,
        method: Method::Delete,
        path: "/api/node/{hostname}/ntp",
        operation_id: "DeleteNodeNtp",
        access: Access::Needs(Permission::NTP_WRITE),
        summary: "Remove the managed servers of hosts.",
        tag: TAG_NTP,
        query: &[TIMEOUT],
        request: None,
        answers: &[
            NTP_DONE,
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_MANAGED,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetJobs,
        method: Method::Get,
        path: "/api/job",
        operation_id: "GetJobs",
        access: Access::Needs(Permission::JOB_READ),
        summary: "List jobs, newest first.",
        tag: TAG_JOB,
        query: &[STATUS, LIMIT_OF_JOBS, OFFSET],
        request: None,
        answers: &[
            json(200, "A page of jobs.", Shape::ListJobsResponse),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetJob,
        method: Method::Get,
        path: "/api/job/{id}",
        operation_id: "GetJobByID",
        access: Access::Needs(Permission::JOB_READ),
        summary: "Show a job with the answers of its hosts.",
        tag: TAG_JOB,
        query: &[],
        request: None,
        answers: &[
            json(200, "The job.", Shape::JobDetail),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_FOUND,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::DeleteJob,
        method: Method::Delete,
        path: "/api/job/{id}",
        operation_id: "DeleteJobByID",
        access: Access::Needs(Permission::JOB_WRITE),
        summary: "Forget a job and its answers; what hosts did stays done.",
        tag: TAG_JOB,
        query: &[],
        request: None,
        answers: &[
            Answer {
                status: 204,
                description: "Forgotten.",
                body: Body::Empty,
            },
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_FOUND,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::RetryJob,
        method: Method::Post,
        path: "/api/job/{id}/retry",
        operation_id: "RetryJobByID",
        access: Access::Needs(Permission::JOB_WRITE),
        summary: "Submit a job's operation again, to its own target unless another is given. The permission of \
                  the operation itself is needed too.",
        tag: TAG_JOB,
        query: &[],
        request: Some(Request {
            shape: Shape::RetryJobRequest,
            optional: true,
        }),
        answers: &[
            json(201, "The new job is under way.", Shape::CreateJobResponse),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_FOUND,
            TOO_LARGE,
            MEDIA_TYPE,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetAgents,
        method: Method::Get,
        path: "/api/agent",
        operation_id: "GetAgents",
        access: Access::Needs(Permission::AGENT_READ),
        summary: "List the accepted hosts.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: &[
            json(200, "The hosts, ordered by name.", Shape::ListAgentsResponse),
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetPendingAgents,
        method: Method::Get,
        path: "/api/agent/pending",
        operation_id: "GetAgentsPending",
        access: Access::Needs(Permission::AGENT_READ),
        summary: "List the hosts that wait to be accepted.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: &[
            json(
                200,
                "The hosts, oldest request first.",
                Shape::ListPendingAgentsResponse,
            ),
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetAgent,
        method: Method::Get,
        path: "/api/agent/{hostname}",
        operation_id: "GetAgentDetails",
        access: Access::Needs(Permission::AGENT_READ),
        summary: "Show a host with its timeline.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: &[
            json(200, "The host.", Shape::AgentInfo),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_FOUND,
            CONFLICT,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::DeleteAgent,
        method: Method::Delete,
        path: "/api/agent/{hostname}",
        operation_id: "DeleteAgent",
        access: Access::Needs(Permission::AGENT_WRITE),
        summary: "Forget a host; if its agent connects again it has to be accepted anew.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: AGENT_CHANGE,
    },
    Route {
        endpoint: Endpoint::AcceptAgent,
        method: Method::Post,
        path: "/api/agent/{hostname}/accept",
        operation_id: "AcceptAgent",
        access: Access::Needs(Permission::AGENT_WRITE),
        summary: "Accept a host that waits.",
        tag: TAG_AGENT,
        query: &[FINGERPRINT],
        request: None,
        answers: AGENT_CHANGE,
    },
    Route {
        endpoint: Endpoint::RejectAgent,
        method: Method::Post,
        path: "/api/agent/{hostname}/reject",
        operation_id: "RejectAgent",
        access: Access::Needs(Permission::AGENT_WRITE),
        summary: "Reject a host that waits.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: AGENT_CHANGE,
    },
    Route {
        endpoint: Endpoint::DrainAgent,
        method: Method::Post,
        path: "/api/agent/{hostname}/drain",
        operation_id: "DrainAgent",
        access: Access::Needs(Permission::AGENT_WRITE),
        summary: "Take a host out of service: it gets no new jobs.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: AGENT_CHANGE,
    },
    Route {
        endpoint: Endpoint::UndrainAgent,
        method: Method::Post,
        path: "/api/agent/{hostname}/undrain",
        operation_id: "UndrainAgent",
        access: Access::Needs(Permission::AGENT_WRITE),
        summary: "Put a drained host back into service.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: AGENT_CHANGE,
    },
    Route {
        endpoint: Endpoint::GetFactKeys,
        method: Method::Get,
        path: "/api/facts/keys",
        operation_id: "GetFactKeys",
        access: Access::Needs(Permission::AGENT_READ),
        summary: "List the facts that agents report.",
        tag: TAG_AGENT,
        query: &[],
        request: None,
        answers: &[
            json(200, "The facts.", Shape::FactKeysResponse),
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetHealth,
        method: Method::Get,
        path: "/api/health",
        operation_id: "GetHealth",
        access: Access::Open,
        summary: "Say that the process answers.",
        tag: TAG_HEALTH,
        query: &[],
        request: None,
        answers: &[json(200, "It does.", Shape::HealthResponse)],
    },
    Route {
        endpoint: Endpoint::GetHealthReady,
        method: Method::Get,
        path: "/api/health/ready",
        operation_id: "GetHealthReady",
        access: Access::Open,
        summary: "Say whether the controller can do its work.",
        tag: TAG_HEALTH,
        query: &[],
        request: None,
        answers: &[
            json(200, "It can.", Shape::ReadyResponse),
            json(503, "It cannot, and why.", Shape::ReadyResponse),
        ],
    },
    Route {
        endpoint: Endpoint::GetHealthStatus,
        method: Method::Get,
        path: "/api/health/status",
        operation_id: "GetHealthStatus",
        access: Access::Needs(Permission::HEALTH_READ),
        summary: "Say how the controller's parts are and what it holds.",
        tag: TAG_HEALTH,
        query: &[],
        request: None,
        answers: &[
            json(200, "All parts are well.", Shape::StatusResponse),
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            json(503, "A part is not.", Shape::StatusResponse),
        ],
    },
    Route {
        endpoint: Endpoint::GetMetrics,
        method: Method::Get,
        path: "/metrics",
        operation_id: "GetMetrics",
        access: Access::OpenOrNeeds(Permission::HEALTH_READ),
        summary: "Give the controller's metrics and each host's clock as it last reported it.",
        tag: TAG_HEALTH,
        query: &[],
        request: None,
        answers: &[
            Answer {
                status: 200,
                description: "The metrics.",
                body: Body::Metrics,
            },
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
        ],
    },
    Route {
        endpoint: Endpoint::GetAudit,
        method: Method::Get,
        path: "/api/audit",
        operation_id: "GetAuditLogs",
        access: Access::Needs(Permission::AUDIT_READ),
        summary: "List audit entries, newest first.",
        tag: TAG_AUDIT,
        query: &[LIMIT_OF_AUDIT, OFFSET],
        request: None,
        answers: &[
            json(200, "A page of entries.", Shape::ListAuditResponse),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetAuditExport,
        method: Method::Get,
        path: "/api/audit/export",
        operation_id: "GetAuditExport",
        access: Access::Needs(Permission::AUDIT_READ),
        summary: "Give every audit entry, newest first.",
        tag: TAG_AUDIT,
        query: &[],
        request: None,
        answers: &[
            json(200, "Every entry.", Shape::ListAuditResponse),
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetAuditEntry,
        method: Method::Get,
        path: "/api/audit/{id}",
        operation_id: "GetAuditLogByID",
        access: Access::Needs(Permission::AUDIT_READ),
        summary: "Show an audit entry.",
        tag: TAG_AUDIT,
        query: &[],
        request: None,
        answers: &[
            json(200, "The entry.", Shape::AuditEntryResponse),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            NOT_FOUND,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::PostEnrolmentToken,
        method: Method::Post,
        path: "/api/time/v1/enrolment-token",
        operation_id: "CreateEnrolmentToken",
        access: Access::Needs(Permission::AGENT_WRITE),
        summary: "Make a token with which hosts join without an administrator's word.",
        tag: TAG_AGENT,
        query: &[],
        request: Some(Request {
            shape: Shape::EnrolmentTokenRequest,
            optional: true,
        }),
        answers: &[
            json(
                200,
                "The token; it is not shown again.",
                Shape::EnrolmentTokenResponse,
            ),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            TOO_LARGE,
            MEDIA_TYPE,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetTokens,
        method: Method::Get,
        path: "/api/time/v1/token",
        operation_id: "GetTokens",
        access: Access::Needs(Permission::TOKEN_READ),
        summary: "List API tokens, never their secret.",
        tag: TAG_TOKEN,
        query: &[],
        request: None,
        answers: &[
            json(200, "The tokens, newest first.", Shape::ListTokensResponse),
            UNAUTHORIZED,
            FORBIDDEN,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::PostToken,
        method: Method::Post,
        path: "/api/time/v1/token",
        operation_id: "CreateToken",
        access: Access::Needs(Permission::TOKEN_WRITE),
        summary: "Make an API token.",
        tag: TAG_TOKEN,
        query: &[],
        request: Some(Request {
            shape: Shape::TokenRequest,
            optional: false,
        }),
        answers: &[
            json(200, "The token; it is not shown again.", Shape::TokenResponse),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            error(409, "There are too many tokens; revoke some."),
            TOO_LARGE,
            MEDIA_TYPE,
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::DeleteToken,
        method: Method::Delete,
        path: "/api/time/v1/token/{jti}",
        operation_id: "RevokeToken",
        access: Access::Needs(Permission::TOKEN_WRITE),
        summary: "Revoke an API token, also one that was made elsewhere with the same key.",
        tag: TAG_TOKEN,
        query: &[],
        request: None,
        answers: &[
            json(200, "It is refused from now on.", Shape::MessageResponse),
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            error(409, "There are too many revoked tokens."),
            INTERNAL,
            BUSY,
        ],
    },
    Route {
        endpoint: Endpoint::GetOpenApi,
        method: Method::Get,
        path: "/api/openapi.json",
        operation_id: "GetOpenApi",
        access: Access::Open,
        summary: "Give this contract.",
        tag: TAG_HEALTH,
        query: &[],
        request: None,
        answers: &[Answer {
            status: 200,
            description: "The contract.",
            body: Body::AnyJson,
        }],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_endpoints_and_names_nothing_twice() {
        let mut operations = BTreeSet::new();
        let mut doors = BTreeSet::new();
        for (i, route) in ROUTES.iter().enumerate() {
            assert_eq!(route.endpoint as usize, i, "{}", route.path);
            assert!(operations.insert(route.operation_id), "{}", route.operation_id);
            assert!(
                doors.insert((route.path, route.method.as_str())),
                "{}",
                route.path
            );
        }
        assert_eq!(Endpoint::GetOpenApi as usize, ROUTES.len() - 1);
    }

    #[test]
    fn what_needs_a_token_says_how_it_is_refused() {
        for route in &ROUTES {
            let says = |status| route.answers.iter().any(|answer| answer.status == status);
            assert_eq!(
                route.permission().is_some(),
                says(401) && says(403),
                "{}",
                route.path
            );
            let parameters = route.path_parameters().count() + route.query.len();
            assert!(parameters == 0 || says(400), "{}", route.path);
            assert_eq!(route.request.is_some(), says(413) && says(415), "{}", route.path);
            let statuses: BTreeSet<u16> = route.answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses.len(), route.answers.len(), "{}", route.path);
        }
    }

    #[test]
    fn parameters_are_put_into_paths() {
        let path = |parameter| Endpoint::GetNodeNtp.route().path_with(&[parameter]);
        assert_eq!(path("_all"), "/api/node/_all/ntp");
        assert_eq!(path("group:web.eu"), "/api/node/group:web.eu/ntp");
        assert_eq!(path("a/b ?#%ü"), "/api/node/a%2Fb%20%3F%23%25%C3%BC/ntp");
        assert_eq!(Endpoint::GetMetrics.route().path_with(&[]), "/metrics");
    }
}
