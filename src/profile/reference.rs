//! The reference in `docs/profiles.md`, made of the schema, of the tables behind the language, and of the module comment
//! of expressions.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::compile::TYPES;
use super::{schema, unit};
use crate::decode::Reason;
use crate::decode::m_bus::{Function, Qualifier, Quantity};
use crate::decode::program::built_in;

/// Around what is generated.
const BEGIN: &str =
    "<!-- The reference from here on is generated: UPDATE_DOCS=1 cargo test --lib profile::reference -->\n";
const END: &str = "<!-- End of the reference. -->\n";

/// A table of keys: its heading, where it stands in a profile, the type that reads it.
const TABLES: &[(&str, &str, &str)] = &[
    ("The profile", "At the top of the file.", ""),
    ("Variant", "`[[variant]]`: one device of a family.", "VariantSpec"),
    ("Document", "`document = { … }`.", "Document"),
    ("Codec", "`codec = { … }`.", "CodecSpec"),
    ("Framing", "`[framing]`.", "FramingSpec"),
    ("Frame length", "`length = { … }` in `[framing]`.", "FrameLengthSpec"),
    ("Check", "`check = { … }` in `[framing]` and `[[frame]]`: exactly one algorithm.", "CheckSpec"),
    ("CRC", "`crc = { … }` in a check.", "CrcSpec"),
    ("Transform", "`transform = { … }` in `[framing]`.", "TransformSpec"),
    ("Frame", "`[[frame]]`.", "FrameSpec"),
    ("Condition", "`when = { … }` in `[[frame]]`.", "ConditionSpec"),
    ("Topic", "`topic = { … }` in a condition.", "TopicSpec"),
    ("Block", "`[block.NAME]`.", "BlockSpec"),
    ("Line", "One line of `fields`: exactly one verb, or a field.", "ItemSpec"),
    ("Flag", "`flags = { 0 = { … } }` in a line.", "FlagTable"),
    ("Scale by code", "`scale = { … }` in a line.", "ScaleUse"),
    ("Guard", "`when = { … }` in a line.", "GuardSpec"),
    ("Tags", "`tags = { … }` in a line.", "TagsSpec"),
    ("Time bits", "`time_bits = { … }` in a line.", "TimeBitsSpec"),
    ("Enum", "`[enum.NAME]`.", "EnumSpec"),
    ("Example", "`[[example]]`.", "ExampleSpec"),
];

/// The keys of a line by what they are for.
const LINE_KEYS: &[(&str, &[&str])] = &[
    (
        "Verbs: what a line does",
        &["type", "value", "skip", "use", "switch", "mask", "repeat", "tags", "m_bus", "record", "class", "refuse"],
    ),
    ("What belongs to a verb", &["when", "cases", "otherwise", "count", "times_max", "ignore_rest", "length"]),
    ("Whose value it is", &["name", "let", "identity", "meaning", "alarm"]),
    ("Which bytes and bits", &["at", "peek", "member", "byte_order", "bits", "bit", "signed", "parts"]),
    ("What a number means", &["scale", "offset", "unit", "curve", "as", "enum", "default", "flags", "list"]),
    ("Which values there are", &["absent", "equals", "range", "invalid"]),
    ("Text", &["until", "keep", "strip", "nibbles_swapped", "text", "coding"]),
    ("Times", &["time", "epoch", "layout", "time_bits"]),
    ("A line of `m_bus`", &["quantity", "vif", "function", "storage", "tariff", "subunit", "qualifiers"]),
];

/// What there is in every expression.
const BUILT_IN: &[(&str, &str)] = &[
    (
        "raw",
        "the number that the field's bytes give, before anything is done to it; in `value` of a line with `type`",
    ),
    ("index", "how often the innermost repeat has run before: 0 in its first round"),
    ("received", "when the message was received, in seconds since 1970"),
    ("remaining", "bytes left in the enclosing block"),
    ("length", "bytes of the frame"),
    ("port", "the LoRaWAN FPort or its like"),
];

fn reference() -> String {
    let mut out = String::from("\n");
    let schema = schema::schema();
    for (title, place, name) in TABLES {
        let table = if name.is_empty() { &schema } else { &schema["definitions"][name] };
        let _ = writeln!(out, "### {title}\n\n{place}\n");
        let properties = table["properties"].as_object().expect("a table has keys");
        let required =
            |key: &str| table["required"].as_array().is_some_and(|keys| keys.iter().any(|known| known == key));
        if *name == "ItemSpec" {
            for (heading, keys) in LINE_KEYS {
                let _ = writeln!(out, "#### {heading}\n");
                rows(&mut out, &schema, keys.iter().copied(), properties, required);
            }
        } else {
            rows(&mut out, &schema, properties.keys().map(String::as_str), properties, required);
        }
    }
    types(&mut out);
    out.push_str("### Expressions\n\n");
    out.push_str(&expressions());
    out.push_str("\n### Built-in variables\n\n| name | value |\n| --- | --- |\n");
    for (name, meaning) in BUILT_IN {
        let _ = writeln!(out, "| `{name}` | {meaning} |");
    }
    units(&mut out);
    m_bus(&mut out);
    reasons(&mut out);
    out
}

fn rows<'a>(
    out: &mut String,
    schema: &Value,
    keys: impl Iterator<Item = &'a str>,
    properties: &Map<String, Value>,
    required: impl Fn(&str) -> bool,
) {
    out.push_str("| key | value | meaning |\n| --- | --- | --- |\n");
    for key in keys {
        let property = properties.get(key).unwrap_or_else(|| panic!("there is no key `{key}`"));
        let needed = if required(key) { " (must be given)" } else { "" };
        let meaning = cell(property["description"].as_str().unwrap_or_else(|| panic!("`{key}` says nothing")));
        let _ =
            writeln!(out, "| `{key}` | {} | {meaning}{}{needed} |", value(schema, property), words(schema, property));
    }
    out.push('\n');
}

/// What may stand behind a key.
fn value(schema: &Value, property: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return match name {
            "Numbers" => "[numbers](#numbers)".to_owned(),
            "ConstantSpec" => "text, number, true or false".to_owned(),
            _ => match TABLES.iter().find(|(.., table)| *table == name) {
                Some((title, ..)) => {
                    format!("[{}](#{})", title.to_lowercase(), title.to_lowercase().replace(' ', "-"))
                }
                None => value(schema, &schema["definitions"][name]),
            },
        };
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(choices) = property[key].as_array() {
            // A word that a pattern and a list of the usual ones describe.
            if property["type"] == "string" {
                return "[type](#types)".to_owned();
            }
            let mut all: Vec<String> = choices.iter().map(|choice| value(schema, choice)).collect();
            all.dedup();
            return all.join(if key == "oneOf" { ", " } else { " or " });
        }
    }
    if !property["const"].is_null() {
        return format!("`{}`", property["const"]);
    }
    if let Some(words) = property["enum"].as_array() {
        return match words.len() {
            0..=9 => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            _ if words.iter().any(|word| word == "u8") => "[integer type](#types)".to_owned(),
            _ if words.iter().any(|word| word == "kW.h") => "[unit](#units)".to_owned(),
            _ => "[word](#m-bus-words)".to_owned(),
        };
    }
    match property["type"].as_str() {
        Some("array") => match property["items"].as_array() {
            Some(items) => {
                let items: Vec<String> = items.iter().map(|item| value(schema, item)).collect();
                format!("[{}]", items.join(", "))
            }
            None => format!("list of {}", value(schema, &property["items"])),
        },
        Some("object") => {
            let by_number = property["patternProperties"].as_object().and_then(|values| values.values().next());
            match by_number {
                Some(values) => format!("table by [numbers](#numbers) of {}", value(schema, values)),
                None => format!("table by name of {}", value(schema, &property["additionalProperties"])),
            }
        }
        Some("boolean") => "true or false".to_owned(),
        Some("string") => "text".to_owned(),
        Some(number) => number.to_owned(),
        None => panic!("{property} has no type"),
    }
}

/// The words that may stand behind a key, each with what it means.
fn words(schema: &Value, property: &Value) -> String {
    let reference = property["$ref"].as_str().or(property["allOf"][0]["$ref"].as_str());
    let name = reference.and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    let choices = schema["definitions"][name]["oneOf"].as_array();
    let described = choices
        .into_iter()
        .flatten()
        .filter_map(|choice| Some(format!("<br>`{}`: {}", choice["const"], cell(choice["description"].as_str()?))));
    described.collect()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn types(out: &mut String) {
    out.push_str(
        "### Types\n\nThe number behind the name of a text is its bytes, of `bcd` and `digits` its digits; without it, \
         `length` says the bytes.\n\n| type | meaning |\n| --- | --- |\n",
    );
    for form in TYPES {
        let written: Vec<String> = form
            .written
            .split(", ")
            .map(|one| one.split(" … ").map(|end| format!("`{end}`")).collect::<Vec<_>>().join(" … "))
            .collect();
        let _ = writeln!(out, "| {} | {} |", written.join(", "), form.meaning);
    }
    out.push('\n');
}

/// The part of the module comment that is for authors of profiles.
fn expressions() -> String {
    let source = include_str!("../decode/expression.rs");
    let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
    let part = comment.skip_while(|line| line.trim() != "# Expressions").skip(2);
    part.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

fn units(out: &mut String) {
    out.push_str("\n### Units\n\nUnits of one quantity are converted into each other.\n\n| quantity | units |\n| --- | --- |\n");
    let mut quantities: Vec<(&str, Vec<String>)> = Vec::new();
    for name in unit::names() {
        let (quantity, unit) = (unit::quantity(name).unwrap_or_default(), format!("`{name}`"));
        match quantities.iter_mut().find(|(known, _)| *known == quantity) {
            Some((_, units)) => units.push(unit),
            None => quantities.push((quantity, vec![unit])),
        }
    }
    for (quantity, units) in quantities {
        let _ = writeln!(out, "| {quantity} | {} |", units.join(", "));
    }
}

fn m_bus(out: &mut String) {
    let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    out.push_str("\n### M-Bus words\n\n| key | words |\n| --- | --- |\n");
    let _ =
        writeln!(out, "| `quantity` | {} |", list(Quantity::ALL.iter().map(|quantity| quantity.name()).collect()));
    let _ = writeln!(out, "| `function` | {} |", list(Function::ALL.into_iter().map(Function::name).collect()));
    let _ = writeln!(out, "| `qualifiers` | {} |", list(Qualifier::names().collect()));
}

fn reasons(out: &mut String) {
    out.push_str("\n### Reasons\n\nWhy a payload is refused: `refused` of an example, `citywire refused list`.\n\n");
    out.push_str("| reason | meaning |\n| --- | --- |\n");
    for reason in Reason::ALL {
        let _ = writeln!(out, "| `{}` | {} |", reason.name(), meaning(reason));
    }
    out.push('\n');
}

fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::NoFrame => "no frame has conditions that the payload meets",
        Reason::Framing => "start bytes, length and end bytes do not agree",
        Reason::Checksum => "a checksum is wrong",
        Reason::TooShort => "a line reads beyond the payload's end",
        Reason::TooLong => "bytes are left that no line reads; see `ignore_rest`",
        Reason::Value => "a value that the profile calls impossible, or a line with `refuse`",
        Reason::UnknownTag => "a tag, a case or a kind of record that the profile does not know",
        Reason::Limit => "more repetitions, steps or readings than the profile or the decoder allows",
        Reason::Empty => "the payload gave no value at all",
        Reason::Codec => "the codec tells or throws an error",
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/profiles.md");
    let page = std::fs::read_to_string(&path).expect("read docs/profiles.md");
    let (before, rest) = page.split_once(BEGIN).expect("docs/profiles.md has the mark where the reference begins");
    let (_, after) = rest.split_once(END).expect("docs/profiles.md has the mark where the reference ends");
    let renewed = format!("{before}{BEGIN}{}{END}{after}", reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &renewed).expect("write docs/profiles.md");
        return;
    }
    assert!(page == renewed, "docs/profiles.md is stale: run UPDATE_DOCS=1 cargo test --lib profile::reference");
}

#[test]
fn every_table_and_key_is_in_the_reference_once() {
    let schema = schema::schema();
    let definitions = schema["definitions"].as_object().expect("definitions");
    for (name, definition) in definitions {
        let in_reference = TABLES.iter().filter(|(.., table)| table == name).count();
        assert_eq!(in_reference, usize::from(definition["properties"].is_object()), "{name}");
    }
    let mut listed: Vec<&str> = LINE_KEYS.iter().flat_map(|(_, keys)| *keys).copied().collect();
    listed.sort_unstable();
    let keys: Vec<&str> = schema["definitions"]["ItemSpec"]["properties"]
        .as_object()
        .expect("keys")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(listed, keys);
    let named: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, built_in::NAMES.map(|(name, _)| name));
}
