//! An endpoint: one description of its path, its parameters and its answer, which both the router and the OpenAPI
//! document are made of.

use std::pin::Pin;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::super::Context;
use super::parameter::{Given, Parameter};
use super::problem::Problem;

/// The prefix of all paths.
pub(in crate::web) const PREFIX: &str = "/api/v1";

/// One path that is answered.
pub(super) struct Endpoint {
    pub about: About,
    /// The answer's schema, and whether it can be had as CSV.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    pub has_table: bool,
    answer: Answerer,
}

type Answerer = Box<dyn Fn(Arc<Context>, Given) -> Answering + Send + Sync>;
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Answered, Problem>> + Send>>;

/// An answer as it goes out.
pub(super) struct Answered {
    pub json: Vec<u8>,
    pub table: Option<Table>,
    /// Where the rest is.
    pub next: Option<String>,
}

/// Rows for CSV, each as long as the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// What an endpoint answers with.
pub(super) trait Reply: Serialize + JsonSchema + Send + 'static {
    /// Whether there is a [`Reply::table`].
    const HAS_TABLE: bool = false;

    fn table(&self) -> Option<Table> {
        None
    }

    /// The address of the rest.
    fn next(&self) -> Option<String> {
        None
    }
}

/// What is said of an endpoint; the rest follows from the function that answers it.
pub(super) struct About {
    /// Behind the prefix: `/devices/{device}`.
    pub path: &'static str,
    /// Its `operationId`.
    pub id: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub parameters: Vec<Parameter>,
    /// What it tells when there is no such thing, if it may be asked for one.
    pub not_found: Option<&'static str>,
}

impl Endpoint {
    /// Of a function that may take some time.
    pub fn blocking<R: Reply>(about: About, answer: fn(&Context, &Given) -> Result<R, Problem>) -> Endpoint {
        let answerer = move |context: Arc<Context>, given: Given| -> Answering {
            Box::pin(async move {
                let answered = context.blocking(move |context| answered(answer(context, &given)?)).await;
                answered.unwrap_or_else(|_| Err(Problem::internal()))
            })
        };
        Endpoint::new::<R>(about, Box::new(answerer))
    }

    /// Of a function that waits for others.
    pub fn waiting<R: Reply, F>(about: About, answer: fn(Arc<Context>, Given) -> F) -> Endpoint
    where
        F: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        let answerer = move |context: Arc<Context>, given: Given| -> Answering {
            let answer = answer(context, given);
            Box::pin(async move { answered(answer.await?) })
        };
        Endpoint::new::<R>(about, Box::new(answerer))
    }

    fn new<R: Reply>(mut about: About, answer: Answerer) -> Endpoint {
        about.parameters.extend(R::HAS_TABLE.then_some(super::FORMAT));
        let schema = |generator: &mut SchemaGenerator| generator.subschema_for::<R>();
        Endpoint { about, schema, has_table: R::HAS_TABLE, answer }
    }

    /// The answer to a request, if its parameters are right.
    pub async fn answer(
        &self,
        context: Arc<Context>,
        path: &[(String, String)],
        query: &[(String, String)],
    ) -> Result<(Given, Answered), Problem> {
        let given = Given::of(&self.about.parameters, path, query)?;
        let answered = (self.answer)(context, given.clone()).await?;
        Ok((given, answered))
    }
}

fn answered<R: Reply>(reply: R) -> Result<Answered, Problem> {
    let json = serde_json::to_vec(&reply).map_err(|error| {
        tracing::error!(%error, "BUG: an answer could not be written as JSON.");
        Problem::internal()
    })?;
    Ok(Answered { json, table: reply.table(), next: reply.next() })
}

impl Table {
    /// RFC 4180, with a line of names.
    pub fn csv(&self) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        // Writing to memory cannot fail, nor are rows of different lengths made.
        let _ = writer.write_record(&self.head);
        for row in &self.rows {
            let _ = writer.write_record(row);
        }
        writer.into_inner().unwrap_or_default()
    }
}
