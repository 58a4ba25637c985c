//! The rules in the form in which the API server asks for them (admission.k8s.io/v1). Pure: what comes in decides what goes out.

use kube::core::{
    DynamicObject, Status,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
    response::{StatusCause, StatusDetails},
};
use serde_json::Value;

use super::{Finding, defaults, validate};

/// Answers a validating webhook's request.
#[must_use]
pub fn admission(review: AdmissionReview<DynamicObject>) -> AdmissionReview<DynamicObject> {
    respond(review, |request, object, old| {
        let mut response = AdmissionResponse::from(request);
        let findings = validate(object, old);
        if !findings.warnings.is_empty() {
            response.warnings = Some(findings.warnings);
        }
        if !findings.errors.is_empty() {
            response.allowed = false;
            response.result = refusal(request, &findings.errors);
        }
        response
    })
}

/// Answers a mutating webhook's request: fills in defaults.
#[must_use]
pub fn defaulting(review: AdmissionReview<DynamicObject>) -> AdmissionReview<DynamicObject> {
    respond(review, |request, object, old| {
        let mut defaulted = object.clone();
        defaults::apply_defaults_over(&mut defaulted, old);
        let response = AdmissionResponse::from(request);
        if defaulted == *object {
            return response;
        }
        response
            .with_patch(json_patch::diff(object, &defaulted))
            .unwrap_or_else(AdmissionResponse::invalid)
    })
}

fn respond(
    review: AdmissionReview<DynamicObject>,
    answer: impl FnOnce(&AdmissionRequest<DynamicObject>, &Value, Option<&Value>) -> AdmissionResponse,
) -> AdmissionReview<DynamicObject> {
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return AdmissionResponse::invalid(error).into_review(),
    };
    let json = |object: &Option<DynamicObject>| object.as_ref().map(serde_json::to_value).transpose();
    let response = match (
        &request.operation,
        json(&request.object),
        json(&request.old_object),
    ) {
        (Operation::Create, Ok(Some(object)), _) => answer(&request, &object, None),
        (Operation::Update, Ok(Some(object)), Ok(old)) => answer(&request, &object, old.as_ref()),
        (_, Err(error), _) | (_, _, Err(error)) => AdmissionResponse::from(&request).deny(error),
        _ => AdmissionResponse::from(&request),
    };
    response.into_review()
}

/// A refusal like the API server's own: each finding is a cause, for tools that show them beside the fields.
fn refusal(request: &AdmissionRequest<DynamicObject>, errors: &[Finding]) -> Status {
    let list: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let message = match list.as_slice() {
        [one] => one.clone(),
        more => format!("[{}]", more.join(", ")),
    };
    let causes = errors.iter().map(|finding| StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: finding.message.clone(),
        field: finding.field.clone(),
    });
    let details = StatusDetails {
        name: request.name.clone(),
        group: request.kind.group.clone(),
        kind: request.kind.kind.clone(),
        uid: String::new(),
        causes: causes.collect(),
        retry_after_seconds: 0,
    };
    let text = format!(
        "{}.{} {:?} is invalid: {message}",
        request.kind.kind, request.kind.group, request.name
    );
    Status::failure(&text, "Invalid")
        .with_code(422)
        .with_details(details)
}
