//! The routes, and how a request becomes a question.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::{Api, commands};
use crate::words::codes::Family;
use crate::words::query::{Query, QueryCode, QueryError, Question};

type Served = State<Arc<Api>>;
type Given = Result<Parameters<Vec<(String, String)>>, QueryRejection>;

/// All routes.
pub(super) fn router(api: Arc<Api>) -> Router {
    let takes = |family: Family| -> MethodRouter<Arc<Api>> {
        post(move |State(api): Served, headers: HeaderMap, body: Body| async move {
            commands::post(&api, family, &headers, body).await
        })
    };
    Router::new()
        .route("/v1/orders", get(orders).merge(takes(Family::Orders)))
        .route("/v1/orders/{order_id}", get(order))
        .route("/v1/stock", get(stocks).merge(takes(Family::Stock)))
        .route("/v1/stock/{site}/{sku}", get(stock))
        .route("/v1/payments", takes(Family::Payments))
        .route("/v1/fulfilment", takes(Family::Fulfilment))
        .route("/v1/policy", takes(Family::Policy))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "the path does not take this method",
            )
        })
        .with_state(api)
}

/// A route's name, as it stands in metrics.
pub(super) fn name(method: &Method, path: &str) -> &'static str {
    match path.strip_prefix("/v1/").map(|path| (path, path.split('/').count())) {
        Some((_, 1)) if method == Method::POST => "commands",
        Some(("orders", _)) => "orders",
        Some(("stock", _)) => "stocks",
        Some((path, 2)) if path.starts_with("orders/") => "order",
        Some((path, 3)) if path.starts_with("stock/") => "stock",
        _ => "other",
    }
}

/// Nothing of this is to be kept by anybody between, or taken for something else.
pub(super) fn harden(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// A JSON body.
pub(super) fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    harden(response.headers_mut());
    response
}

async fn order(
    State(api): Served,
    path: Result<Path<String>, PathRejection>,
    given: Given,
) -> Result<Response, Problem> {
    let Path(order_id) = path.map_err(|_| not_text())?;
    ask(&api, Query::Order, given, [("order_id", order_id)]).await
}

async fn orders(State(api): Served, given: Given) -> Result<Response, Problem> {
    ask(&api, Query::Orders, given, []).await
}

async fn stock(
    State(api): Served,
    path: Result<Path<(String, String)>, PathRejection>,
    given: Given,
) -> Result<Response, Problem> {
    let Path((site, sku)) = path.map_err(|_| not_text())?;
    ask(&api, Query::Stock, given, [("site", site), ("sku", sku)]).await
}

async fn stocks(State(api): Served, given: Given) -> Result<Response, Problem> {
    ask(&api, Query::Stocks, given, []).await
}

fn not_text() -> Problem {
    QueryError::new(QueryCode::InvalidQuestion, "the path is not percent-encoded UTF-8").into()
}

async fn ask<const N: usize>(
    api: &Api,
    query: Query,
    given: Given,
    named: [(&str, String); N],
) -> Result<Response, Problem> {
    let invalid = |detail: String| QueryError::new(QueryCode::InvalidQuestion, detail);
    let Parameters(given) = given.map_err(|error| invalid(error.body_text()))?;
    let mut fields = Map::new();
    for (name, value) in given {
        let value = value_of(&name, value).map_err(invalid)?;
        let shown: String = name.chars().take(64).collect();
        if fields.insert(name, value).is_some() {
            return Err(invalid(format!("{shown:?} is there twice")).into());
        }
    }
    for (name, value) in named {
        if fields.insert(name.to_owned(), json!(value)).is_some() {
            return Err(invalid(format!("{name:?} stands in the path")).into());
        }
    }
    let question = Question::parse(query, Value::Object(fields).to_string().as_bytes())?;
    let answer = api.answers.answer(question).await?;
    Ok(json_response(StatusCode::OK, answer))
}

/// A parameter as a question has it: what is a number or a flag there stands as text here.
fn value_of(name: &str, value: String) -> Result<Value, String> {
    let number = |what: &str| format!("{name}: {what}");
    Ok(match name {
        "at_least" | "wait_ms" | "history_from" | "older_than_ms" | "limit" | "cursor" => {
            json!(value.parse::<u64>().map_err(|_| number("a whole number, not negative"))?)
        }
        "below" => json!(value.parse::<i64>().map_err(|_| number("a whole number"))?),
        "history" => json!(value.parse::<bool>().map_err(|_| number("true or false"))?),
        _ => Value::String(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_names_from_a_fixed_set() {
        for (method, path, expected) in [
            (Method::GET, "/v1/orders", "orders"),
            (Method::POST, "/v1/orders", "commands"),
            (Method::POST, "/v1/anything", "commands"),
            (Method::GET, "/v1/orders/a", "order"),
            (Method::GET, "/v1/orders/a/b", "other"),
            (Method::GET, "/v1/stock", "stocks"),
            (Method::GET, "/v1/stock/a/b", "stock"),
            (Method::GET, "/", "other"),
        ] {
            assert_eq!(name(&method, path), expected, "{method} {path}");
        }
    }
}
