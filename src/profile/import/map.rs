//! Names and units for what a script gives: canonical fields where name and unit leave no doubt, else the maker's own.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::members::{Member, What, time_of};
use crate::profile::FieldType;
use crate::profile::class::Classes;
use crate::profile::unit;

/// What codecs call what the vocabulary knows, where there is but one unit that they mean: the canonical name, UCUM unit,
/// and the names without case and underscores.
const KNOWN: &[(&str, &str, &str)] = &[
    ("temperature_c", "Cel", "temperature temp tempc temperaturec airtemperature ambienttemperature tempcsht"),
    ("humidity_percent", "%", "humidity hum relativehumidity rh humsht airhumidity humiditypercent"),
    ("battery_v", "V", "batteryv batv batteryvoltage batvoltage voltagebattery vbat vbatt batteryvolt"),
    ("battery_v", "mV", "batterymv batmv batteryvoltagemv vbatmv"),
    ("battery_percent", "%", "batterypercent batterypercentage batterylevelpercent batpercent"),
    ("co2_ppm", "[ppm]", "co2 co2ppm"),
    ("tvoc_ppb", "[ppb]", "tvocppb"),
    ("illuminance_lx", "lx", "lux illuminance illuminancelx lightlux illuminationlux"),
    ("air_pressure_hpa", "hPa", "barometricpressure airpressure atmosphericpressure"),
    ("latitude_deg", "deg", "latitude lat"),
    ("longitude_deg", "deg", "longitude lon lng long"),
    ("rssi_dbm", "dB[mW]", "rssi"),
    ("snr_db", "dB", "snr"),
    ("firmware_version", "", "firmwareversion firmwarever fwversion"),
    ("hardware_version", "", "hardwareversion hardwarever hwversion"),
    ("serial_number", "", "serialnumber sn"),
];

/// The lines of a profile, and its class.
#[derive(Debug)]
pub(super) struct Layout {
    pub class: String,
    pub lines: Vec<String>,
    /// Lists of records: the block's name and its lines.
    pub blocks: Vec<(String, Vec<String>)>,
}

/// Lines for all members. What a person should look at goes to `decisions`.
pub(super) fn layout(
    members: &[Member],
    class: Option<&str>,
    classes: &Classes,
    decisions: &mut Vec<String>,
) -> Layout {
    let class = match class {
        Some(class) => class.to_owned(),
        None => {
            let guess = guessed_class(members, classes);
            decisions.push(format!("whether the class is `{guess}`: it knows most of what the codec gives"));
            guess
        }
    };
    let mut mapper = Mapper { class: &class, classes, own: Vec::new(), texts: BTreeSet::new() };
    let mut blocks = Vec::new();
    let mut taken = BTreeSet::new();
    let mut lines = Vec::new();
    // A reading's own lines come before the lists of others.
    for member in members.iter().filter(|member| matches!(member.what, What::Values(_))) {
        lines.extend(mapper.line(member, &mut taken));
    }
    for member in members {
        if let What::Records(records) = &member.what {
            let block = format!("records_{}", blocks.len() + 1);
            let pointer = quoted(&member.pointer());
            lines.push(format!("{{ repeat = {}, member = {pointer}, record = \"apart\" }}", quoted(&block)));
            let mut taken = BTreeSet::new();
            let of_block = records.iter().filter_map(|member| mapper.line(member, &mut taken)).collect();
            blocks.push((block, of_block));
        }
    }
    let own = std::mem::take(&mut mapper.own);
    if !own.is_empty() {
        let names = own.into_iter().collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>().join(", ");
        decisions.push(format!("what these are, and in which unit; so far they are the maker's own fields: {names}"));
    }
    Layout { class, lines, blocks }
}

/// The class that knows most members under its own names; that of surroundings when none stands out.
fn guessed_class(members: &[Member], classes: &Classes) -> String {
    let names: Vec<&str> = members
        .iter()
        .flat_map(|member| match &member.what {
            What::Values(_) => vec![canonical(member).map(|(name, _)| name)],
            What::Records(records) => records.iter().map(|member| canonical(member).map(|(name, _)| name)).collect(),
        })
        .flatten()
        .collect();
    let known = |class: &str| {
        let own = classes.get(class).map(|class| &class.fields);
        names.iter().filter(|name| own.is_some_and(|fields| fields.contains_key(**name))).count()
    };
    const USUAL: &str = "environment";
    let best = classes.names().max_by_key(|class| (known(class), *class == USUAL)).unwrap_or(USUAL);
    if classes.get(USUAL).is_some() && known(best) == known(USUAL) { USUAL.to_owned() } else { best.to_owned() }
}

/// What the vocabulary calls a member, and the unit that its number is in.
fn canonical(member: &Member) -> Option<(&'static str, &'static str)> {
    let name = member.path.iter().rev().find(|name| name.parse::<usize>().is_err())?;
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let known = KNOWN.iter().find(|(.., names)| names.split(' ').any(|name| name == plain));
    known.map(|(name, unit, _)| (*name, *unit))
}

struct Mapper<'a> {
    class: &'a str,
    classes: &'a Classes,
    /// Fields that somebody has to look at.
    own: Vec<String>,
    /// Names of the maker's own that hold text: a field has one type in all readings.
    texts: BTreeSet<String>,
}

impl Mapper<'_> {
    /// The line that reads a member; `None` for one without a value.
    fn line(&mut self, member: &Member, taken: &mut BTreeSet<String>) -> Option<String> {
        let What::Values(values) = &member.what else { return None };
        let pointer = quoted(&member.pointer());
        if let [name] = member.path.as_slice()
            && let Some(how) = values.first().and_then(|value| time_of(name, value))
            && values.iter().all(|value| time_of(name, value) == Some(how))
            && taken.insert("time".into())
        {
            return Some(format!("{{ name = \"time\", member = {pointer}, {how} }}"));
        }
        let seen = Seen::of(values)?;
        if let Some((name, unit)) = canonical(member)
            && let Some(field) = self.classes.field(self.class, name)
            && seen.fits(field.kind, unit)
            && taken.insert(name.to_owned())
        {
            let unit = match &seen {
                Seen::Quantity(written) => written,
                _ => unit,
            };
            return Some(format!("{{ name = {}, member = {pointer}{} }}", quoted(name), how(&seen, unit)));
        }
        let name = self.own_name(member, &seen, taken);
        self.own.push(name.clone());
        let unit = if let Seen::Quantity(unit) = &seen { unit } else { "" };
        let meaning = format!("{} as the codec gives it", member.path.join(" "));
        let (name, how, meaning) = (quoted(&name), how(&seen, unit), quoted(&meaning));
        Some(format!("{{ name = {name}, member = {pointer}{how}, meaning = {meaning} }}"))
    }

    /// A name of the maker's own: what the codec calls it, in the form of all names, and of no canonical field.
    fn own_name(&mut self, member: &Member, seen: &Seen, taken: &mut BTreeSet<String>) -> String {
        const CHARACTERS_MAX: usize = 56;
        let mut name = snake_case(&member.path.join("_"));
        name.truncate(CHARACTERS_MAX);
        if let Seen::Quantity(unit) = seen
            && let Some(suffix) = unit::suffix(unit)
            && !name.ends_with(suffix)
        {
            name += suffix;
        }
        if self.classes.field(self.class, &name).is_some() || matches!(name.as_str(), "time" | "implausible") {
            name += "_given";
        }
        // Of several readings, the same name may be text in the one and a number in the other.
        let is_text = matches!(seen, Seen::Text);
        if is_text && self.own.contains(&name) && !self.texts.contains(&name) {
            name += "_text";
        }
        while !taken.insert(name.clone()) {
            name += "_2";
        }
        if is_text {
            self.texts.insert(name.clone());
        }
        name
    }
}

/// What kind of values a member has had.
#[derive(Debug, PartialEq)]
enum Seen {
    Number,
    Bool,
    Text,
    /// Text of a number and this unit.
    Quantity(&'static str),
}

impl Seen {
    fn of(values: &[Json]) -> Option<Seen> {
        let all = |is: fn(&Json) -> bool| values.iter().all(is);
        let first = values.first()?;
        Some(match first {
            Json::Number(_) if all(Json::is_number) => Seen::Number,
            Json::Bool(_) if all(Json::is_boolean) => Seen::Bool,
            Json::String(text) => match quantity(text) {
                Some(unit) if values.iter().all(|value| value.as_str().and_then(quantity) == Some(unit)) => {
                    Seen::Quantity(unit)
                }
                _ => Seen::Text,
            },
            _ => Seen::Text,
        })
    }

    /// Whether a canonical field of this type can hold it; `unit` is what its name says.
    fn fits(&self, kind: FieldType, unit: &str) -> bool {
        match self {
            Seen::Number => matches!(kind, FieldType::Float | FieldType::Integer),
            Seen::Bool => kind == FieldType::Bool,
            Seen::Text => kind == FieldType::Text && unit.is_empty(),
            Seen::Quantity(written) => kind == FieldType::Float && unit::conversion(written, unit).is_some(),
        }
    }
}

/// The unit of a number in text: `25.1 °C`.
fn quantity(text: &str) -> Option<&'static str> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))?;
    text[..end].parse::<f64>().ok()?;
    unit::meant_by(text[end..].trim())
}

/// The keys that read values of this kind.
fn how(seen: &Seen, unit: &str) -> String {
    match seen {
        Seen::Text => ", type = \"utf8\"".to_owned(),
        Seen::Bool => ", as = \"bool\"".to_owned(),
        Seen::Number | Seen::Quantity(_) if unit.is_empty() => String::new(),
        Seen::Number | Seen::Quantity(_) => format!(", unit = {}", quoted(unit)),
    }
}

/// `BatV`, `Work mode` and `TVOC_ppb` as `bat_v`, `work_mode` and `tvoc_ppb`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let mut previous = '_';
    for c in name.chars() {
        let is_start = c.is_ascii_uppercase() && (previous.is_ascii_lowercase() || previous.is_ascii_digit());
        if (is_start || !c.is_ascii_alphanumeric()) && !out.ends_with('_') {
            out.push('_');
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    let out = out.trim_matches('_');
    match out.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => out.to_owned(),
        false => format!("field_{out}"),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
