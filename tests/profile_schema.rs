//! The schema that editors check profiles with agrees with the types that read them.

use std::path::Path;
use std::process::Command;

use boon::{Compiler, SchemaIndex, Schemas};
use citywire::profile::library::BUILT_IN;
use citywire::profile::schema;
use serde_json::Value;

mod support;

/// Holds profiles against the schema, as an editor does.
struct Validator {
    schemas: Schemas,
    schema: SchemaIndex,
}

impl Validator {
    fn new() -> Validator {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema::schema()).expect("the schema is one");
        let schema = compiler.compile("schema.json", &mut schemas).expect("the schema can be compiled");
        Validator { schemas, schema }
    }

    /// What is wrong with a profile, if anything.
    fn complaint(&self, source: &str) -> Option<String> {
        let profile: Value = toml::from_str(source).expect("TOML");
        self.schemas.validate(&profile, self.schema).err().map(|error| format!("{error:#}"))
    }
}

#[test]
fn the_schema_file_is_what_the_types_say() {
    support::assert_file(Path::new("device-profiles/schema.json"), &schema::text(), "UPDATE_DOCS");
}

#[test]
fn the_schema_is_at_hand_without_the_source() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_citywire")).args(["profile", "schema"]).output().expect("run citywire");
    assert!(output.status.success() && output.stdout == schema::text().as_bytes());
}

#[test]
fn every_profile_that_comes_with_citywire_is_valid() {
    let validator = Validator::new();
    for (path, source) in BUILT_IN {
        if let Some(complaint) = validator.complaint(source) {
            panic!("{path}: {complaint}");
        }
    }
}

/// A profile with this line in its frame.
fn profile(line: &str) -> String {
    format!(
        "id = \"acme-test\"\nclass = \"water_meter\"\nmaker = \"Acme\"\nmodel = \"Test\"\n\
         document = {{ title = \"this test\" }}\nreport_interval = \"1h\"\n\
         [[frame]]\nname = \"report\"\nfields = [{{ {line} }}]\n"
    )
}

#[test]
fn what_the_language_allows_is_valid_in_each_of_its_spellings() {
    let validator = Validator::new();
    let f = |line: &str| assert_eq!(validator.complaint(&profile(line)), None, "{line}");
    f("skip = 2");
    f("skip = \"size - 1\"");
    f("name = \"volume_m3\", type = \"bcd8\", byte_order = \"little\", scale = 0.01, unit = \"L\"");
    f("name = \"volume_m3\", type = \"u32\", scale = { table = \"units\", by = \"code\" }, absent = 0xFFFF");
    f("let = \"code\", type = \"u40\", equals = [1, \"0x10..0x1F\"], absent = { 255 = \"no sensor\" }");
    f("name = \"valve\", type = \"u8\", enum = { 0 = \"open\", \"1..3\" = \"closed\", 0xFF = \"fault\" }");
    f("type = \"u8\", flags = { 0 = \"leak\", 1 = { name = \"battery_low\", inverted = true } }");
    f("name = \"time\", type = \"calendar\", layout = \"YY MM DD hh mm ss\", when = \"has(code)\"");
    f(
        "name = \"time\", type = \"u32\", time_bits = { year = \"21..23, 28..31\", month = \"24..27\", day = \"16..20\" }",
    );
    f("repeat = \"hour\", count = \"n\", record = \"apart\", when = { remaining = 4 }");
    f("tags = { tag = \"u8\", length = \"u16\" }, cases = { 1 = \"a\" }, otherwise = \"skip\"");
    f("m_bus = [{ quantity = [\"volume\", \"energy\"], storage = \"1..12\", name = \"x\" }], otherwise = \"skip\"");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let validator = Validator::new();
    let f = |source: &str, place: &str| {
        let complaint = validator.complaint(source).unwrap_or_else(|| panic!("accepted:\n{source}"));
        assert!(complaint.contains(place), "{complaint}\nof\n{source}");
    };
    f(&profile("skip = 2").replace("maker = \"Acme\"\n", ""), "maker");
    f(&profile("skip = 2").replace("\"1h\"", "\"hourly\""), "/report_interval");
    f(&profile("nam = \"volume_m3\", type = \"u8\""), "nam");
    f(&profile("name = \"volume_m3\", type = \"u65\""), "/frame/0/fields/0/type");
    f(&profile("name = \"volume_m3\", type = \"u8\", unit = \"litres\""), "/frame/0/fields/0/unit");
    f(&profile("name = \"volume_m3\", type = \"u8\", scale = \"0.1\""), "/frame/0/fields/0/scale");
    f(&profile("name = \"volume_m3\", type = \"u16\", byte_order = \"middle\""), "/frame/0/fields/0/byte_order");
    f(&profile("type = \"u8\", flags = { first = \"leak\" }"), "/frame/0/fields/0/flags");
    f(&profile("type = \"u8\", name = \"volume_m3\", equals = \"9 to 12\""), "/frame/0/fields/0/equals");
    f(&profile("m_bus = [{ quantity = \"volumen\", name = \"x\" }]"), "/frame/0/fields/0/m_bus/0/quantity");
}

#[test]
fn the_schema_and_the_compiler_know_the_same_types() {
    let validator = Validator::new();
    let prefixes =
        ["u", "i", "sm", "f", "bcd", "digits", "hex", "dotted", "ascii", "utf8", "gb18030", "decimal", "cp"];
    let numbered = prefixes.iter().flat_map(|prefix| (0..=130).map(move |number| format!("{prefix}{number}")));
    let whole = prefixes.iter().copied().chain(["uint", "int", "calendar", "flag_id", "float", "", "uint8", "U8"]);
    for kind in numbered.chain(whole.map(str::to_owned)) {
        let in_schema = validator.complaint(&profile(&format!("name = \"x\", type = \"{kind}\""))).is_none();
        assert_eq!(in_schema, citywire::profile::compile::is_type(&kind), "{kind}");
    }
}
