//! Hosts: list, show, accept, reject, drain, undrain, remove.

use axum::Json;
use axum::response::{IntoResponse, Response};
use link::key::Fingerprint;
use model::Invalid;
use model::fact::FactKeysResponse;
use model::host::{ListAgentsResponse, ListPendingAgentsResponse, MessageResponse};

use super::ApiError;
use super::call::Call;
use crate::hosts::HostError;

pub(super) fn list(call: &Call) -> Result<Response, ApiError> {
    let agents = call.api.controller.hosts().list();
    let total = count(agents.len());
    Ok(Json(ListAgentsResponse { agents, total }).into_response())
}

pub(super) fn pending(call: &Call) -> Result<Response, ApiError> {
    let agents = call.api.controller.hosts().pending();
    let total = count(agents.len());
    Ok(Json(ListPendingAgentsResponse { agents, total }).into_response())
}

pub(super) fn facts(_call: &Call) -> Result<Response, ApiError> {
    Ok(Json(FactKeysResponse::all()).into_response())
}

pub(super) async fn show(call: &mut Call) -> Result<Response, ApiError> {
    let name = call.hostname().await?;
    let controller = &call.api.controller;
    let mut agent = controller.hosts().find(&name)?;
    if let Some(machine_id) = &agent.machine_id {
        agent.timeline = controller.timeline(machine_id).await?;
    }
    Ok(Json(agent).into_response())
}

pub(super) async fn accept(call: &mut Call) -> Result<Response, ApiError> {
    let name = call.hostname().await?;
    let fingerprint = match call.query()?.text("fingerprint") {
        Some(text) => Some(fingerprint(text)?),
        None => None,
    };
    let by = &call.caller()?.subject;
    message(call.api.controller.hosts().accept(&name, fingerprint, by).await)
}

pub(super) async fn reject(call: &mut Call) -> Result<Response, ApiError> {
    let name = call.hostname().await?;
    message(
        call.api
            .controller
            .hosts()
            .reject(&name, &call.caller()?.subject)
            .await,
    )
}

pub(super) async fn drain(call: &mut Call) -> Result<Response, ApiError> {
    let name = call.hostname().await?;
    message(
        call.api
            .controller
            .hosts()
            .drain(&name, &call.caller()?.subject)
            .await,
    )
}

pub(super) async fn undrain(call: &mut Call) -> Result<Response, ApiError> {
    let name = call.hostname().await?;
    message(
        call.api
            .controller
            .hosts()
            .undrain(&name, &call.caller()?.subject)
            .await,
    )
}

pub(super) async fn remove(call: &mut Call) -> Result<Response, ApiError> {
    let name = call.hostname().await?;
    message(
        call.api
            .controller
            .hosts()
            .remove(&name, &call.caller()?.subject)
            .await,
    )
}

fn message(done: Result<String, HostError>) -> Result<Response, ApiError> {
    Ok(Json(MessageResponse { message: done? }).into_response())
}

fn fingerprint(text: &str) -> Result<Fingerprint, Invalid> {
    text.parse().map_err(|_| {
        let remedy = "give SHA256: and 64 hexadecimal digits, as `timeball agent fingerprint` prints them";
        Invalid::new("fingerprint", "it is no fingerprint", remedy)
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
