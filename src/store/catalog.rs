//! What the store has names for: classes with their columns, devices, sets of tags.
//!
//! All of it is in memory, so that adding a point to a batch reads no file. A new name is in the lists of unsaved
//! things until the transaction that writes it to the file is through.
//!
//! The service and a replay write the same file, each with a catalog of its own. So each transaction begins with a look
//! at what the other has done to the names since ([`Catalog::catch_up`]): devices and sets of tags are only ever added,
//! columns and classes may also go.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, params};

use super::batch::Batch;
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
    /// The file's `PRAGMA schema_version` when its columns were last read or changed by us.
    schema: i64,
    /// The tags of the point at hand, as JSON; kept for its memory.
    json: Vec<u8>,
}

/// Names with the ids that they have in the file.
#[derive(Debug, Default)]
struct Numbered {
    ids: HashMap<Box<str>, u32>,
    last: u32,
    /// The last one that is in the file, as far as is known.
    saved: u32,
}

impl Numbered {
    fn load(connection: &Connection, sql: &str) -> rusqlite::Result<Numbered> {
        let mut numbered = Numbered::default();
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            numbered.last = numbered.last.max(id);
            numbered.saved = numbered.last;
            numbered.ids.insert(row.get(1)?, id);
        }
        Ok(numbered)
    }

    fn add(&mut self, name: &str) -> u32 {
        self.last += 1;
        self.ids.insert(name.into(), self.last);
        self.last
    }

    /// Takes what another process has added to the file. What is unsaved here gets numbers behind it, or the number that
    /// the other gave it.
    fn catch_up(
        &mut self,
        connection: &Connection,
        sql: &str,
        unsaved: &mut Vec<(u32, Box<str>)>,
    ) -> rusqlite::Result<HashMap<u32, u32>> {
        let mut changed = HashMap::new();
        let mut statement = connection.prepare_cached(sql)?;
        let added = statement.query_map([self.saved], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let added: Vec<(u32, Box<str>)> = added.collect::<rusqlite::Result<_>>()?;
        if added.is_empty() {
            return Ok(changed);
        }
        let mut theirs: HashMap<Box<str>, u32> = HashMap::new();
        for (id, name) in added {
            self.saved = self.saved.max(id);
            self.ids.insert(name.clone(), id);
            theirs.insert(name, id);
        }
        self.last = self.saved;
        for (id, name) in std::mem::take(unsaved) {
            match theirs.get(&name) {
                Some(known) => changed.insert(id, *known),
                None => {
                    let new = self.add(&name);
                    unsaved.push((new, name));
                    changed.insert(id, new)
                }
            };
        }
        Ok(changed)
    }
}

/// Which numbers of a batch have become others: by the old ones, and of columns by their class.
#[derive(Debug, Default)]
pub(super) struct Renumbered {
    pub devices: HashMap<u32, u32>,
    pub tag_sets: HashMap<u32, u32>,
    pub columns: HashMap<u16, HashMap<u16, u16>>,
}

#[derive(Debug, Default)]
struct Unsaved {
    devices: Vec<(u32, Box<str>)>,
    tag_sets: Vec<(u32, Box<str>)>,
    /// Class, name, kind, column; in the order of their making.
    columns: Vec<(u16, String, Option<Kind>, String)>,
    /// The file's `PRAGMA schema_version` with these.
    schema: Option<i64>,
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
        catalog.schema = schema_version(connection)?;
        Ok(catalog)
    }

    /// Takes what another process has done to the names in the file, and gives the rows of the batch the numbers that are
    /// right then. To be called in the transaction that writes them.
    pub fn catch_up(&mut self, connection: &Connection, batch: &mut Batch) -> rusqlite::Result<()> {
        let Unsaved { devices, tag_sets, .. } = &mut self.unsaved;
        let mut renumbered = Renumbered {
            devices: self.devices.catch_up(connection, "SELECT id, name FROM _devices WHERE id > ?1", devices)?,
            tag_sets: self.tag_sets.catch_up(connection, "SELECT id, tags FROM _tags WHERE id > ?1", tag_sets)?,
            ..Renumbered::default()
        };
        for class in &mut self.classes {
            let renumbered = |set: u32| renumbered.tag_sets.get(&set).copied().unwrap_or(set);
            class.tags_seen = class.tags_seen.drain().map(renumbered).collect();
        }
        let schema = schema_version(connection)?;
        if schema != self.schema {
            renumbered.columns = self.take_columns(connection, batch)?;
            self.schema = schema;
        }
        batch.renumber(&renumbered);
        Ok(())
    }

    /// Reads the classes and columns anew. What is not in the file and has rows in the batch is to be made with them.
    fn take_columns(
        &mut self,
        connection: &Connection,
        batch: &Batch,
    ) -> rusqlite::Result<HashMap<u16, HashMap<u16, u16>>> {
        self.unsaved.columns.clear();
        let mut rows = read_columns(connection)?;
        rows.iter().for_each(|row| _ = self.class_index(&row.class));
        let mut renumbered = HashMap::new();
        for index in 0..self.classes.len() as u16 {
            let name = self.class(index).name.clone();
            let of_class = rows.extract_if(.., |row| row.class == name).collect();
            renumbered.insert(index, self.take_class(index, of_class, batch));
        }
        Ok(renumbered)
    }

    /// Gives the new number of each of the class's columns that the batch uses.
    fn take_class(&mut self, index: u16, rows: Vec<ColumnRow>, batch: &Batch) -> HashMap<u16, u16> {
        let mut class = Class::new(&self.class(index).name);
        class.is_created = !rows.is_empty();
        for row in rows {
            match row.kind {
                Some(kind) => _ = class.add_column(&row.name, kind, row.column),
                None => class.tags.push(row.name),
            }
        }
        let is_used = batch.has_class(index);
        let old = std::mem::replace(&mut self.classes[usize::from(index)], class);
        let class = &mut self.classes[usize::from(index)];
        if is_used {
            let missing = old.tags.iter().filter(|tag| !class.tags.contains(tag)).cloned().collect::<Vec<_>>();
            for tag in missing {
                self.unsaved.columns.push((index, tag.clone(), None, String::new()));
                class.tags.push(tag);
            }
            class.tags_seen = old.tags_seen.clone();
        }
        let used = batch.columns_of(index);
        let mut columns: Vec<(u16, &str, Kind)> = old
            .fields()
            .map(|(name, kind, column)| (column, name, kind))
            .filter(|(column, ..)| used.contains(column))
            .collect();
        columns.sort_unstable_by_key(|(column, ..)| *column);
        let mut renumbered = HashMap::new();
        for (before, name, kind) in columns {
            let now = match class.column(name, kind) {
                Some(now) => now,
                None => {
                    let column = class.free_column(name, kind);
                    self.unsaved.columns.push((index, name.to_string(), Some(kind), column.clone()));
                    class.add_column(name, kind, column)
                }
            };
            renumbered.insert(before, now);
        }
        class.prepare_upsert();
        renumbered
    }

    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    pub fn class(&self, index: u16) -> &Class {
        &self.classes[usize::from(index)]
    }

    /// The class and device of a point, if the store knows both.
    pub fn known(&self, point: &Point<'_>) -> Option<(u16, u32)> {
        let device = point.tags.iter().find(|(key, _)| *key == "device")?.1;
        Some((*self.class_by_name.get(point.measurement)?, *self.devices.ids.get(device)?))
    }

    pub fn class_number(&self, name: &str) -> Option<u16> {
        self.class_by_name.get(name).copied()
    }

    pub fn device_number(&self, name: &str) -> Option<u32> {
        self.devices.ids.get(name).copied()
    }

    /// Has the columns read anew with the next look at the file.
    pub fn forget_columns(&mut self) {
        self.schema = -1;
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
        self.unsaved.schema = Some(schema_version(transaction)?);
        Ok(())
    }

    /// The transaction is through.
    pub fn saved(&mut self) {
        (self.devices.saved, self.tag_sets.saved) = (self.devices.last, self.tag_sets.last);
        self.schema = self.unsaved.schema.unwrap_or(self.schema);
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

/// Changes whenever a table, column or view is made or removed, by whomever.
fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
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
