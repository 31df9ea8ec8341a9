//! What the store has names for: classes with their columns, devices, sets of tags.
//!
//! All of it is in memory, so that adding a point to a batch reads no file. A new name is in the lists of unsaved
//! things until the transaction that writes it to the file is through.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, params};

use super::class::{Class, Kind};
use super::schema;
use crate::point::Point;

/// A store of this size has outgrown SQLite; without a bound, a device that changes its name with each message would
/// take all memory.
const DEVICES_MAX: usize = 1_000_000;
const TAG_SETS_MAX: usize = 200_000;
const CLASSES_MAX: usize = 200;
/// Per class. SQLite's own limit is 2000 columns.
const COLUMNS_MAX: usize = 500;
const TAGS_MAX: usize = 50;
const NAME_BYTES_MAX: usize = 128;
const DEVICE_BYTES_MAX: usize = 512;

/// Where a point's values belong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub class: u16,
    pub device: u32,
    pub tags: u32,
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    classes: Vec<Class>,
    class_by_name: HashMap<Box<str>, u16>,
    devices: Numbered,
    tag_sets: Numbered,
    unsaved: Unsaved,
    /// The tags of the point at hand, as JSON; kept for its memory.
    json: Vec<u8>,
}

/// Names with the ids that they have in the file.
#[derive(Debug, Default)]
struct Numbered {
    ids: HashMap<Box<str>, u32>,
    last: u32,
}

impl Numbered {
    fn load(connection: &Connection, sql: &str) -> rusqlite::Result<Numbered> {
        let mut numbered = Numbered::default();
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            numbered.last = numbered.last.max(id);
            numbered.ids.insert(row.get(1)?, id);
        }
        Ok(numbered)
    }

    fn add(&mut self, name: &str) -> u32 {
        self.last += 1;
        self.ids.insert(name.into(), self.last);
        self.last
    }
}

#[derive(Debug, Default)]
struct Unsaved {
    devices: Vec<(u32, Box<str>)>,
    tag_sets: Vec<(u32, Box<str>)>,
    /// Class, name, kind, column; in the order of their making.
    columns: Vec<(u16, String, Option<Kind>, String)>,
}

/// Why a point can never be stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unstorable {
    #[error("it has no tag `device`")]
    NoDevice,
    #[error(
        "the {what} `{name}` is empty, longer than {NAME_BYTES_MAX} bytes, or has characters that a column cannot"
    )]
    Name { what: &'static str, name: String },
    #[error("the class `{0}` begins like a table of the store's own")]
    Reserved(String),
    #[error("the class `{name}` differs from `{other}` only in case, which SQLite cannot tell apart")]
    Case { name: String, other: String },
    #[error("the device's name is longer than {DEVICE_BYTES_MAX} bytes")]
    DeviceLength,
    #[error("the store has {limit} {what}, which is its limit; a sink of kind \"influxdb2\" has none")]
    Full { what: &'static str, limit: usize },
}

impl Catalog {
    pub fn load(connection: &Connection) -> rusqlite::Result<Catalog> {
        let mut catalog = Catalog {
            devices: Numbered::load(connection, "SELECT id, name FROM _devices")?,
            tag_sets: Numbered::load(connection, "SELECT id, tags FROM _tags")?,
            ..Catalog::default()
        };
        for column in read_columns(connection)? {
            let index = catalog.class_index(&column.class);
            let class = &mut catalog.classes[usize::from(index)];
            class.is_created = true;
            match column.kind {
                Some(kind) => {
                    class.add_column(&column.name, kind, column.column);
                }
                None => class.tags.push(column.name),
            }
        }
        catalog.classes.iter_mut().for_each(Class::prepare_upsert);
        Ok(catalog)
    }

    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    pub fn class(&self, index: u16) -> &Class {
        &self.classes[usize::from(index)]
    }

    /// Finds or makes the class, device and set of tags of a point.
    pub fn key(&mut self, point: &Point<'_>) -> Result<Key, Unstorable> {
        let class = self.find_class(point.measurement)?;
        let device = point.tags.iter().find(|(key, _)| *key == "device").ok_or(Unstorable::NoDevice)?.1;
        let device = self.find_device(device)?;
        let tags = self.find_tags(point.tags)?;
        self.note_tags(class, tags, point.tags)?;
        Ok(Key { class, device, tags })
    }

    /// Finds or makes the column of a field.
    pub fn column(&mut self, class: u16, name: &str, kind: Kind) -> Result<u16, Unstorable> {
        let found = &mut self.classes[usize::from(class)];
        if let Some(column) = found.column(name, kind) {
            return Ok(column);
        }
        check_name("field", name)?;
        if found.columns.len() >= COLUMNS_MAX {
            return Err(Unstorable::Full { what: "columns in this class", limit: COLUMNS_MAX });
        }
        let column = found.free_column(name, kind);
        self.unsaved.columns.push((class, name.to_string(), Some(kind), column.clone()));
        Ok(found.add_column(name, kind, column))
    }

    /// Writes what is new, as part of the transaction that writes the first points to need it.
    pub fn save(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        for (id, name) in &self.unsaved.devices {
            transaction.prepare_cached("INSERT INTO _devices VALUES (?1, ?2)")?.execute(params![id, name])?;
        }
        for (id, tags) in &self.unsaved.tag_sets {
            transaction.prepare_cached("INSERT INTO _tags VALUES (?1, ?2)")?.execute(params![id, tags])?;
        }
        let mut changed: Vec<u16> = self.unsaved.columns.iter().map(|(class, ..)| *class).collect();
        changed.sort_unstable();
        changed.dedup();
        for index in &changed {
            let class = self.class(*index);
            if !class.is_created {
                transaction.execute_batch(&schema::create_table(class))?;
            }
        }
        for (class, name, kind, column) in &self.unsaved.columns {
            let class = self.class(*class);
            transaction
                .prepare_cached("INSERT INTO _columns (class, name, kind, column) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![class.name, name, kind.map_or("tag", Kind::name), column])?;
            if let Some(kind) = kind {
                transaction.execute_batch(&schema::add_column(class, column, *kind))?;
            }
        }
        for index in &changed {
            let class = &mut self.classes[usize::from(*index)];
            class.prepare_upsert();
            transaction.execute_batch(&schema::create_view(class))?;
        }
        Ok(())
    }

    /// The transaction is through.
    pub fn saved(&mut self) {
        for (class, ..) in &self.unsaved.columns {
            self.classes[usize::from(*class)].is_created = true;
        }
        self.unsaved = Unsaved::default();
    }

    fn find_class(&mut self, name: &str) -> Result<u16, Unstorable> {
        if let Some(&class) = self.class_by_name.get(name) {
            return Ok(class);
        }
        check_name("class", name)?;
        let lower = name.to_ascii_lowercase();
        if lower.starts_with('_') || lower.starts_with("sqlite_") {
            return Err(Unstorable::Reserved(name.into()));
        }
        if let Some(other) = self.classes.iter().find(|class| class.name.eq_ignore_ascii_case(name)) {
            return Err(Unstorable::Case { name: name.into(), other: other.name.clone() });
        }
        if self.classes.len() >= CLASSES_MAX {
            return Err(Unstorable::Full { what: "classes", limit: CLASSES_MAX });
        }
        Ok(self.class_index(name))
    }

    fn class_index(&mut self, name: &str) -> u16 {
        if let Some(&class) = self.class_by_name.get(name) {
            return class;
        }
        let index = self.classes.len() as u16;
        self.classes.push(Class::new(name));
        self.class_by_name.insert(name.into(), index);
        index
    }

    fn find_device(&mut self, name: &str) -> Result<u32, Unstorable> {
        if let Some(&id) = self.devices.ids.get(name) {
            return Ok(id);
        }
        if name.len() > DEVICE_BYTES_MAX {
            return Err(Unstorable::DeviceLength);
        }
        if self.devices.ids.len() >= DEVICES_MAX {
            return Err(Unstorable::Full { what: "devices", limit: DEVICES_MAX });
        }
        let id = self.devices.add(name);
        self.unsaved.devices.push((id, name.into()));
        Ok(id)
    }

    fn find_tags(&mut self, tags: &[(&str, &str)]) -> Result<u32, Unstorable> {
        write_json(tags, &mut self.json);
        // The writer of JSON writes UTF-8.
        let json = str::from_utf8(&self.json).unwrap_or("{}");
        if let Some(&id) = self.tag_sets.ids.get(json) {
            return Ok(id);
        }
        if self.tag_sets.ids.len() >= TAG_SETS_MAX {
            return Err(Unstorable::Full { what: "different sets of tags", limit: TAG_SETS_MAX });
        }
        for (key, _) in tags {
            check_name("tag", key)?;
            if key.contains(['"', '\\']) {
                return Err(Unstorable::Name { what: "tag", name: key.to_string() });
            }
        }
        let id = self.tag_sets.add(json);
        self.unsaved.tag_sets.push((id, json.into()));
        Ok(id)
    }

    /// Remembers the tags that this class has, for its view.
    fn note_tags(&mut self, class: u16, set: u32, tags: &[(&str, &str)]) -> Result<(), Unstorable> {
        let found = &mut self.classes[usize::from(class)];
        if found.tags_seen.contains(&set) {
            return Ok(());
        }
        // Every point has a profile; this also makes the table of a class whose points have no other tag.
        let profile = std::iter::once("profile");
        for key in profile.chain(tags.iter().map(|(key, _)| *key).filter(|key| *key != "device")) {
            if found.tags.iter().any(|known| known == key) {
                continue;
            }
            if found.tags.len() >= TAGS_MAX {
                return Err(Unstorable::Full { what: "tags in this class", limit: TAGS_MAX });
            }
            found.tags.push(key.to_string());
            self.unsaved.columns.push((class, key.to_string(), None, String::new()));
        }
        found.tags_seen.insert(set);
        Ok(())
    }
}

/// A row of `_columns`.
pub(super) struct ColumnRow {
    pub class: String,
    pub name: String,
    /// `None` for a tag.
    pub kind: Option<Kind>,
    pub column: String,
}

pub(super) fn read_columns(connection: &Connection) -> rusqlite::Result<Vec<ColumnRow>> {
    connection
        .prepare_cached("SELECT class, name, kind, column FROM _columns ORDER BY id")?
        .query_map([], |row| {
            let kind: String = row.get(2)?;
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
            Ok(ColumnRow { class: row.get(0)?, name: row.get(1)?, kind, column: row.get(3)? })
        })?
        .collect()
}

fn check_name(what: &'static str, name: &str) -> Result<(), Unstorable> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let name = name.chars().take(40).map(|char| if char.is_control() { '�' } else { char }).collect();
        return Err(Unstorable::Name { what, name });
    }
    Ok(())
}

/// All tags but `device` as a JSON object, in their order, which is sorted.
fn write_json(tags: &[(&str, &str)], json: &mut Vec<u8>) {
    json.clear();
    json.push(b'{');
    for (key, value) in tags.iter().filter(|(key, value)| *key != "device" && !value.is_empty()) {
        if json.len() > 1 {
            json.push(b',');
        }
        // Writing text to memory cannot fail.
        let _ = serde_json::to_writer(&mut *json, key);
        json.push(b':');
        let _ = serde_json::to_writer(&mut *json, value);
    }
    json.push(b'}');
}
