//! The contract in OpenAPI 3.1, printed from the table of [`route`](crate::route).
//!
//! It is committed as `openapi/timeball.json` and served at `/api/openapi.json`. After a change of the table
//! or of a shape, `UPDATE_OPENAPI=1 cargo test -p model` writes it anew; its difference is what is reviewed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    Paths, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::audit::{AuditEntryResponse, ListAuditResponse};
use crate::error::ErrorResponse;
use crate::fact::FactKeysResponse;
use crate::health::{HealthResponse, ReadyResponse, StatusResponse};
use crate::host::{
    AgentInfo, EnrolmentTokenRequest, EnrolmentTokenResponse, ListAgentsResponse, ListPendingAgentsResponse,
    MessageResponse,
};
use crate::job::{CreateJobResponse, JobDetail, ListJobsResponse, RetryJobRequest};
use crate::ntp::{NtpCollectionResponse, NtpMutationResponse};
use crate::route::{Access, Answer, Body, Method, Query, QueryValue, ROUTES, Request, Route, Shape};
use crate::token::{ListTokensResponse, TokenRequest, TokenResponse};
use crate::{Server, ServerOptions, Servers};

/// Media type of `/metrics`.
pub const METRICS_TYPE: &str = "application/openmetrics-text";

/// Name of the security scheme.
const BEARER: &str = "BearerAuth";

/// The whole contract.
pub fn document() -> OpenApi {
    let mut schemas = BTreeMap::new();
    let mut paths = Paths::new();
    for route in &ROUTES {
        collect(route, &mut schemas);
        paths.add_path_operation(route.path, vec![method(route.method)], operation(route));
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A token of POST /api/time/v1/token, or an HS256 token signed with the same key.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("timeball")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Gives a fleet of machines the right time, and proves it. All times are UTC in RFC 3339 \
                     form. A request that reached its hosts answers 200 with one row per host, whatever became \
                     of it there.",
                ))
                .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
                .build(),
        )
        .tags(Some(tags()))
        .paths(paths)
        .components(Some(components))
        .build()
}

/// The contract as text, as it is committed and served.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn text() -> Result<String, serde_json::Error> {
    let text = document().to_pretty_json()? + "\n";
    // Links between doc comments lead nowhere outside of the source.
    Ok(text.replace("[`", "`").replace("`]", "`"))
}

fn tags() -> impl Iterator<Item = utoipa::openapi::Tag> {
    let mut seen: Vec<&str> = Vec::new();
    for route in &ROUTES {
        if !seen.contains(&route.tag) {
            seen.push(route.tag);
        }
    }
    seen.into_iter().map(|tag| TagBuilder::new().name(tag).build())
}

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.operation_id))
        .summary(Some(route.summary))
        .tag(route.tag);
    for name in route.path_parameters() {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(path_parameter_text(route, name)))
                .schema(Some(path_parameter(route, name))),
        );
    }
    for query in route.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(query.name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(query.description))
                .schema(Some(query_parameter(query))),
        );
    }
    for answer in route.answers {
        operation = operation.response(answer.status.to_string(), response(answer));
    }
    operation = match route.access {
        Access::Open => operation.securities(Some([])),
        Access::Needs(permission) => {
            operation.security(SecurityRequirement::new(BEARER, [permission.as_str()]))
        }
        Access::OpenOrNeeds(permission) => operation.securities(Some([
            SecurityRequirement::default(),
            SecurityRequirement::new(BEARER, [permission.as_str()]),
        ])),
    };
    operation
        .request_body(route.request.as_ref().map(request_body))
        .build()
}

fn path_parameter_text(route: &Route, name: &str) -> &'static str {
    match name {
        "hostname" if route.path.starts_with("/api/node/") => {
            "The target: _any, _all, a host name, a machine id, or a label such as group:web."
        }
        "hostname" => "Host name or machine id.",
        "jti" => "The token's id.",
        _ => "The id.",
    }
}

fn path_parameter(route: &Route, name: &str) -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    match name {
        "hostname" => {
            let pattern = if route.path.starts_with("/api/node/") {
                "^(_any|_all|[A-Za-z0-9][A-Za-z0-9._-]{0,254}|\
                 [A-Za-z0-9_-]{1,120}:[A-Za-z0-9_-]{1,60}(\\.[A-Za-z0-9_-]{1,10}){0,5})$"
            } else {
                "^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$"
            };
            text.min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some(pattern))
        }
        "jti" => text.pattern(Some("^[A-Za-z0-9_-]{1,128}$")),
        _ => text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
    }
    .into()
}

fn query_parameter(query: &Query) -> Schema {
    match query.value {
        QueryValue::Number { min, max, default } => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(number(min)))
            .maximum(Some(number(max)))
            .default(default.map(serde_json::Value::from)),
        QueryValue::Word(words) => ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(words.iter().copied())),
        QueryValue::Text { pattern } => ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(pattern)),
    }
    .into()
}

fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn request_body(request: &Request) -> RequestBody {
    RequestBodyBuilder::new()
        .required(Some(if request.optional {
            Required::False
        } else {
            Required::True
        }))
        .content(
            JSON,
            ContentBuilder::new()
                .schema(Some(reference(request.shape)))
                .build(),
        )
        .build()
}

fn response(answer: &Answer) -> Response {
    let response = ResponseBuilder::new().description(answer.description);
    let json = |shape| ContentBuilder::new().schema(Some(reference(shape))).build();
    let text = || {
        ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build()
    };
    match answer.body {
        Body::Empty => response,
        Body::Json(shape) => response.content(JSON, json(shape)),
        Body::JsonOrEvents(shape) => response
            .content(JSON, json(shape))
            .content("text/event-stream", text()),
        Body::Metrics => response.content(METRICS_TYPE, text()),
        Body::AnyJson => response.content(
            JSON,
            ContentBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::Object)))
                .build(),
        ),
    }
    .build()
}

const JSON: &str = "application/json";

fn reference(shape: Shape) -> RefOr<Schema> {
    Ref::from_schema_name(schema(shape).0).into()
}

/// Adds the shapes of a route, and those that they refer to.
fn collect(route: &Route, schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let answers = route.answers.iter().filter_map(|answer| match answer.body {
        Body::Json(shape) | Body::JsonOrEvents(shape) => Some(shape),
        Body::Empty | Body::Metrics | Body::AnyJson => None,
    });
    for shape in answers.chain(route.request.iter().map(|request| request.shape)) {
        let (name, schema, others) = schema(shape);
        schemas.insert(name.into_owned(), schema);
        schemas.extend(others);
    }
}

type Named = (Cow<'static, str>, RefOr<Schema>, Vec<(String, RefOr<Schema>)>);

fn schema(shape: Shape) -> Named {
    fn of<T: ToSchema>() -> Named {
        let mut others = Vec::new();
        T::schemas(&mut others);
        (T::name(), T::schema(), others)
    }
    match shape {
        Shape::NtpServersRequest => {
            let mut others = Vec::new();
            Servers::schemas(&mut others);
            ("NtpServersRequest".into(), Servers::schema(), others)
        }
        Shape::NtpCollectionResponse => of::<NtpCollectionResponse>(),
        Shape::NtpMutationResponse => of::<NtpMutationResponse>(),
        Shape::ListJobsResponse => of::<ListJobsResponse>(),
        Shape::JobDetail => of::<JobDetail>(),
        Shape::RetryJobRequest => of::<RetryJobRequest>(),
        Shape::CreateJobResponse => of::<CreateJobResponse>(),
        Shape::ListAgentsResponse => of::<ListAgentsResponse>(),
        Shape::ListPendingAgentsResponse => of::<ListPendingAgentsResponse>(),
        Shape::AgentInfo => of::<AgentInfo>(),
        Shape::MessageResponse => of::<MessageResponse>(),
        Shape::FactKeysResponse => of::<FactKeysResponse>(),
        Shape::HealthResponse => of::<HealthResponse>(),
        Shape::ReadyResponse => of::<ReadyResponse>(),
        Shape::StatusResponse => of::<StatusResponse>(),
        Shape::ListAuditResponse => of::<ListAuditResponse>(),
        Shape::AuditEntryResponse => of::<AuditEntryResponse>(),
        Shape::EnrolmentTokenRequest => of::<EnrolmentTokenRequest>(),
        Shape::EnrolmentTokenResponse => of::<EnrolmentTokenResponse>(),
        Shape::TokenRequest => of::<TokenRequest>(),
        Shape::TokenResponse => of::<TokenResponse>(),
        Shape::ListTokensResponse => of::<ListTokensResponse>(),
        Shape::ErrorResponse => of::<ErrorResponse>(),
    }
}

/// A list of servers as a request carries it; further fields are ignored.
impl PartialSchema for Servers {
    fn schema() -> RefOr<Schema> {
        let servers = ArrayBuilder::new()
            .items(Ref::from_schema_name(<Server as ToSchema>::name()))
            .min_items(Some(1))
            .max_items(Some(Servers::COUNT_MAX))
            .unique_items(true)
            .description(Some(
                "The servers in the order in which they are written; no name twice.",
            ));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("servers", servers)
            .required("servers")
            .examples([json!({"servers": ["ntp1.example.com", {"name": "time.example.com", "nts": true}]})])
            .into()
    }
}

impl ToSchema for Servers {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((<Server as ToSchema>::name().into_owned(), Server::schema()));
    }
}

/// A plain name as a string, or a name with options as an object.
impl PartialSchema for Server {
    fn schema() -> RefOr<Schema> {
        let name = || {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(Server::NAME_BYTES_MAX))
                .pattern(Some(SERVER_NAME))
                .description(Some("Host name or IP address."))
        };
        let mut detailed = match ServerOptions::schema() {
            RefOr::T(Schema::Object(options)) => ObjectBuilder::from(options),
            _ => ObjectBuilder::new(),
        };
        detailed = detailed
            .property("name", name())
            .required("name")
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(
                false,
            )));
        AnyOfBuilder::new().item(name()).item(detailed).into()
    }
}

impl ToSchema for Server {}

/// Labels of 1 to 63 letters, digits, `_` and `-`, the last with a letter; or an IP address.
const SERVER_NAME: &str = "^(([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\\.){0,3}\
                           [A-Za-z_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\\.?|\
                           (25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|\
                           ([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,3}(:[0-9a-f]{1,4}){1,3})$";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the committed file is what is tested")]
    fn the_committed_contract_is_the_one_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/timeball.json");
        let printed = text().unwrap();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &printed).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == printed,
            "openapi/timeball.json is not what the table says; run UPDATE_OPENAPI=1 cargo test -p model"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let mut references = Vec::new();
        find_references(&document, &mut references);
        assert!(references.len() > 50);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    fn find_references(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("$ref", serde_json::Value::String(reference)) => found.push(reference.clone()),
                        _ => find_references(value, found),
                    }
                }
            }
            serde_json::Value::Array(values) => {
                for value in values {
                    find_references(value, found);
                }
            }
            _ => {}
        }
    }
}
