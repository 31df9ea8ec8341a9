//! The JSON Schema of profiles, for editors that complete and check TOML while it is written.
//!
//! It is made of the types that read profiles (`spec`), so it knows every key and says of each what its doc comment
//! says. It knows less than the compiler: not what belongs together on a line, and no class or name. What it refuses,
//! the compiler refuses too, except for spellings that nobody uses, such as a list in a list of numbers.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::compile::TYPES;
use super::spec::{Numbers, OneOrMany, ProfileSpec, RecordSpec};
use super::unit;
use crate::decode::Reason;
use crate::decode::m_bus::{Function, Qualifier, Quantity};

/// A JSON pointer (RFC 6901).
pub(super) const POINTER: &str = r"^(/([^~/]|~[01])*)*$";

/// An integer, or a range with both ends.
pub const RANGE: &str = r"^\s*(-?[0-9]+|0[xX][0-9a-fA-F]+)\s*(\.\.\s*(-?[0-9]+|0[xX][0-9a-fA-F]+)\s*)?$";

/// Runs of bits, one or several.
pub(super) const BIT_RUNS: &str = r"^\s*[0-9]+\s*(\.\.\s*[0-9]+\s*)?(,\s*[0-9]+\s*(\.\.\s*[0-9]+\s*)?)*$";

/// The first and the last byte; negative ones count from the end.
pub(super) const BYTES: &str = r"^\s*[+-]?[0-9]+\s*\.\.\s*[+-]?[0-9]+\s*$";

/// Bytes in hexadecimal digits.
pub(super) const HEX: &str = r"^\s*([0-9a-fA-F]\s*[0-9a-fA-F]\s*)*$";

/// What a profile may be called.
pub(super) const ID: &str = "^[a-z0-9-]{1,64}$";

/// A time and its unit.
pub(super) const DURATION: &str = r"^\s*[0-9]+\s*(ms|s|m|h|d)\s*$";

/// The schema of a profile file: JSON Schema draft 7, which editors know best.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(tidy));
    let mut schema = settings.into_generator().into_root_schema_for::<ProfileSpec>();
    schema.insert("title".to_owned(), json!("citywire device profile"));
    schema.to_value()
}

/// As `device-profiles/schema.json` has it.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// TOML has no null: what is optional is left out. Nor is it news that what is left out is empty. A description's lines
/// are those of the source, not the reader's.
fn tidy(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if choices.len() == 1
            && let Some(choices) = schema.remove("anyOf")
        {
            schema.insert("allOf".to_owned(), choices);
        }
    }
    let empty = |default: &Value| {
        default.is_null()
            || default.as_array().is_some_and(Vec::is_empty)
            || default.as_object().is_some_and(serde_json::Map::is_empty)
    };
    if schema.get("default").is_some_and(empty) {
        schema.remove("default");
    }
}

/// A type of a field.
pub(super) fn any_type(_: &mut SchemaGenerator) -> Schema {
    let offered: Vec<&str> = TYPES.iter().flat_map(|form| form.offered).copied().collect();
    let patterns: Vec<&str> = TYPES.iter().map(|form| form.pattern).collect();
    json_schema!({
        "type": "string",
        "anyOf": [{ "enum": offered }, { "pattern": format!("^({})$", patterns.join("|")) }],
    })
}

/// A type of whole bytes that is an integer.
pub(super) fn integer_type(_: &mut SchemaGenerator) -> Schema {
    let widths = [8, 16, 24, 32, 40, 48, 56, 64];
    let types: Vec<String> =
        ["u", "i", "sm"].iter().flat_map(|sign| widths.map(|bits| format!("{sign}{bits}"))).collect();
    json_schema!({ "type": "string", "enum": types })
}

pub(super) fn unit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": unit::names().collect::<Vec<_>>() })
}

pub(super) fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Reason::ALL.map(Reason::name) })
}

pub(super) fn m_bus_quantity(_: &mut SchemaGenerator) -> Schema {
    words(Quantity::ALL.iter().map(|quantity| quantity.name()).collect())
}

pub(super) fn m_bus_function(_: &mut SchemaGenerator) -> Schema {
    words(Function::ALL.into_iter().map(Function::name).collect())
}

pub(super) fn m_bus_qualifiers(_: &mut SchemaGenerator) -> Schema {
    words(Qualifier::names().collect())
}

/// One of these words, or a list of them.
fn words(words: Vec<&str>) -> Schema {
    let word = json!({ "type": "string", "enum": words });
    json_schema!({ "anyOf": [word, { "type": "array", "items": word }] })
}

/// A table whose keys are integers and ranges of them.
pub(super) fn by_number<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let value = generator.subschema_for::<T>();
    json_schema!({ "type": "object", "patternProperties": { RANGE: value }, "additionalProperties": false })
}

pub(super) fn scale_tables(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": by_number::<f64>(generator) })
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl JsonSchema for Numbers {
    fn schema_name() -> Cow<'static, str> {
        "Numbers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (integer, range) = (json!({ "type": "integer" }), json!({ "type": "string", "pattern": RANGE }));
        json_schema!({
            "description": "Integers and ranges of them, both ends included: `5`, `\"0x10..0x1F\"`, `[1, 2, \"8..15\"]`.",
            "anyOf": [integer, range, { "type": "array", "items": { "anyOf": [integer, range] } }],
        })
    }
}

impl JsonSchema for RecordSpec {
    fn schema_name() -> Cow<'static, str> {
        "RecordSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`true`: what stood before the first reading belongs to each of them. `\"apart\"`: a reading \
                            has nothing of what stood before, which is a reading of its own.",
            "enum": [true, false, "apart"],
        })
    }
}
