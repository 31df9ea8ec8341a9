//! The OpenAPI document, made of the endpoints' descriptions and of the types of their answers.
//!
//! <https://spec.openapis.org/oas/v3.1.1.html>; its schemas are JSON Schema 2020-12.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, PREFIX};
use super::problem::{self, Problem};

/// Where it is, behind the prefix.
pub(super) const PATH: &str = "/openapi.json";

const DESCRIPTION: &str = "What citywire knows, to be read by programs: devices and what they said, messages byte by byte, \
    alarms, what was refused, the data dictionary, the service itself.\n\n\
    Times are RFC 3339 in UTC. Names in paths are percent-encoded. A parameter that is not known is an error. Lists are cut: \
    `next`, and the header `Link`, have the address of the rest. Errors are problem details (RFC 9457). Where the answer is \
    rows, `format=csv` or `Accept: text/csv` gives CSV.";

pub(super) fn text(endpoints: &[Endpoint]) -> String {
    format!("{:#}\n", document(endpoints))
}

fn document(endpoints: &[Endpoint]) -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.with_transform(RecursiveTransform(one_line)).into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = endpoints
        .iter()
        .map(|endpoint| (endpoint.about.path.to_owned(), json!({ "get": operation(endpoint, &mut generator) })))
        .collect();
    paths.insert(PATH.to_owned(), json!({ "get": own() }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "citywire",
            "summary": "The read API of citywire",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": PREFIX }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "Why there is no such answer.",
                    "content": { problem::MEDIA_TYPE: { "schema": problem } },
                },
            },
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let schema = (endpoint.schema)(generator);
    let mut content = json!({ "application/json": { "schema": schema } });
    if endpoint.has_table {
        content["text/csv"] = json!({ "schema": { "type": "string" } });
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let mut responses = Map::new();
    let mut answer = json!({ "description": "The answer.", "content": content });
    if endpoint.about.parameters.iter().any(|parameter| parameter.name == "limit") {
        answer["headers"] = json!({
            "Link": { "description": "Where the rest is (RFC 8288).", "schema": { "type": "string" } },
        });
    }
    responses.insert("200".into(), answer);
    responses.insert("400".into(), problem.clone());
    if endpoint.about.not_found.is_some() {
        responses.insert("404".into(), problem.clone());
    }
    responses.insert("default".into(), problem);
    let description = match endpoint.about.not_found {
        Some(not_found) => format!("{} 404: {not_found}", endpoint.about.description),
        None => endpoint.about.description.to_owned(),
    };
    json!({
        "operationId": endpoint.about.id,
        "summary": endpoint.about.summary,
        "description": description,
        "parameters": endpoint.about.parameters.iter().map(|parameter| parameter.document()).collect::<Vec<_>>(),
        "responses": responses,
    })
}

fn own() -> Value {
    json!({
        "operationId": "openapi",
        "summary": "This document",
        "parameters": [],
        "responses": {
            "200": {
                "description": "An OpenAPI document.",
                "content": { "application/json": { "schema": { "type": "object", "required": ["openapi", "paths"] } } },
            },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    })
}

/// The lines of a description are those of the source, not the reader's; and Rust's integers are JSON's.
fn one_line(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
        *description = without_links(description);
    }
    let of_rust = |format: &Value| {
        format
            .as_str()
            .is_some_and(|format| format.starts_with("uint") || format.starts_with("int") || format == "double")
    };
    if schema.get("format").is_some_and(of_rust) {
        schema.remove("format");
    }
}

/// rustdoc's links are names here.
fn without_links(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_in_the_document_with_all_that_it_takes() {
        let endpoints = super::super::endpoints();
        let document = document(&endpoints);
        for endpoint in &endpoints {
            let operation = &document["paths"][endpoint.about.path]["get"];
            let names: Vec<&str> =
                operation["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
            assert_eq!(
                names,
                endpoint.about.parameters.iter().map(|one| one.name).collect::<Vec<_>>(),
                "{}",
                endpoint.about.path
            );
            let in_path = endpoint.about.path.matches('{').count();
            let of_path =
                operation["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "path").count();
            assert_eq!(in_path, of_path, "{}", endpoint.about.path);
        }
        assert_eq!(document["paths"].as_object().unwrap().len(), endpoints.len() + 1);
    }

    #[test]
    fn no_schema_is_there_twice_under_two_names() {
        let document = document(&super::super::endpoints());
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(
                !name.ends_with(|char: char| char.is_ascii_digit()),
                "{name}: name one of the two with schemars(rename)"
            );
        }
    }
}
