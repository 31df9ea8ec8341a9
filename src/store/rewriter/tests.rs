//! A store that is rewritten equals one that was written by the present rules from the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::point::FieldValue;
use crate::test_directory::TestDirectory;

const JOURNAL: u32 = 7;

/// What an entry gives: class, device, time and fields.
type Given = (&'static str, &'static str, i64, Vec<(&'static str, f64)>);

/// What each entry of a journal gives, by some rules.
type Rules = BTreeMap<u64, Vec<Given>>;

fn rules<const N: usize>(entries: [(u64, Vec<Given>); N]) -> Rules {
    entries.into()
}

fn emit(rules: &Rules, sequence: u64, emit: &mut dyn FnMut(&Point<'_>)) -> bool {
    let Some(given) = rules.get(&sequence) else { return false };
    for (measurement, device, time, fields) in given {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, FieldValue::Float(*value))).collect();
        let tags = [("device", *device), ("profile", "p")];
        emit(&Point { measurement, tags: &tags, fields: &fields, time: Timestamp::from_seconds(*time) });
    }
    true
}

fn open(path: &Path) -> Writer {
    let writer = Writer::open(path, Duration::ZERO, JOURNAL).unwrap();
    do_not_sync(&writer);
    writer
}

fn open_rewriter(path: &Path) -> Rewriter {
    let rewriter = Rewriter::open(path, Duration::ZERO, JOURNAL).unwrap();
    do_not_sync(&rewriter.writer);
    rewriter
}

/// These tests write some thousand transactions, and lose no power.
fn do_not_sync(writer: &Writer) {
    writer.connection.pragma_update(None, "synchronous", "off").unwrap();
}

fn write(writer: &mut Writer, rules: &Rules) {
    for sequence in rules.keys() {
        emit(rules, *sequence, &mut |point| writer.push(*sequence, point).unwrap());
    }
    writer.flush().unwrap();
}

/// Every view with all its rows, each as the columns that it has a value for.
fn content(path: &Path) -> Vec<String> {
    let connection = schema::open_read_only(path).unwrap();
    let mut content = Vec::new();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name";
    let views: Vec<String> =
        connection.prepare(names).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for view in views {
        let sql = format!("SELECT * FROM {} ORDER BY device, time", schema::quoted(&view));
        let mut statement = connection.prepare(&sql).unwrap();
        let mut columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let mut cells: Vec<String> = columns
                .iter()
                .map(|column| format!("{column}={:?}", row.get::<_, rusqlite::types::Value>(&**column).unwrap()))
                .collect();
            cells.sort();
            content.push(format!("{view}: {}", cells.join(" ")));
        }
        columns.sort();
        content.push(format!("{view} has {}", columns.join(", ")));
    }
    content
}

struct Fixture {
    directory: TestDirectory,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { directory: TestDirectory::new("store-rewriter") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The content of a store that was written by these rules from the start.
    fn fresh(&self, rules: &Rules) -> Vec<String> {
        let path = self.path("fresh.sqlite");
        let _ = std::fs::remove_file(&path);
        write(&mut open(&path), rules);
        content(&path)
    }
}

/// Rewrites these entries in batches of so many; all that follow are rewritten too.
fn rewrite(rewriter: &mut Rewriter, entries: &[u64], batch: usize, new: &Rules) -> Rewritten {
    let (first, last) = (entries[0], entries[entries.len() - 1]);
    assert_eq!(rewriter.look_ahead(first, last, Wanted::default()).unwrap(), last);
    let mut all = Rewritten::default();
    for batch in entries.chunks(batch) {
        let done = rewriter.rewrite(batch, last, &mut |sequence, give| emit(new, sequence, give)).unwrap();
        all.written_points += done.written_points;
        all.removed_points += done.removed_points;
        all.kept_rows += done.kept_rows;
    }
    rewriter.settle().unwrap();
    all
}

/// A store written by the old rules, then rewritten by the new ones, equals a fresh one; so it does when that is done
/// again.
fn becomes(old: &Rules, new: &Rules) {
    let entries: Vec<u64> = old.keys().copied().collect();
    for batch in 1..=entries.len() {
        let f = Fixture::new();
        let path = f.path("readings.sqlite");
        write(&mut open(&path), old);
        let mut rewriter = open_rewriter(&path);
        let expected = f.fresh(new);
        for _ in 0..2 {
            assert_eq!(rewrite(&mut rewriter, &entries, batch, new).kept_rows, 0);
            assert_eq!(content(&path), expected, "in batches of {batch}");
        }
    }
}

#[test]
fn another_value_field_class_device_and_time_leave_nothing_of_the_former() {
    let old = rules([
        (1, vec![("door", "d1", 10, vec![("a", 1.0), ("b", 1.0)])]),
        (2, vec![("door", "d1", 20, vec![("a", 2.0)]), ("door", "d1", 30, vec![("a", 3.0)])]),
        (3, vec![("door", "d1", 40, vec![("wrong", 4.0)])]),
        (4, vec![("bin", "d2", 10, vec![("level", 5.0)])]),
        (5, vec![("door", "other", 10, vec![("a", 6.0)])]),
        (6, vec![]),
        (7, vec![("door", "d3", 10, vec![("a", 7.0)])]),
    ]);
    let new = rules([
        (1, vec![("door", "d1", 10, vec![("a", 1.5)])]),
        (2, vec![("door", "d1", 21, vec![("a", 2.0)])]),
        (3, vec![("door", "d1", 40, vec![("right", 4.0)])]),
        (4, vec![("tank", "d2", 10, vec![("level", 5.0)])]),
        (5, vec![("door", "d5", 10, vec![("a", 6.0)])]),
        (6, vec![("door", "d6", 10, vec![("a", 6.0)])]),
        (7, vec![]),
    ]);
    becomes(&old, &new);
    becomes(&new, &old);
}

#[test]
fn a_clock_that_is_wrong_by_the_very_interval_is_put_right() {
    let at = |shift: i64| -> Rules {
        (1..=6).map(|n| (n, vec![("door", "d1", n as i64 * 10 + shift, vec![("a", n as f64)])])).collect()
    };
    becomes(&at(10), &at(0));
    becomes(&at(0), &at(10));
    becomes(&at(0), &at(-20));
}

#[test]
fn a_row_of_several_entries_is_what_they_give_in_their_order() {
    let old = rules([
        (1, vec![("door", "d1", 10, vec![("a", 1.0), ("b", 1.0)])]),
        (2, vec![("door", "d1", 10, vec![("a", 2.0), ("c", 2.0)])]),
        (3, vec![("door", "d1", 10, vec![("d", 3.0)]), ("door", "d1", 20, vec![("d", 3.0)])]),
        (4, vec![("door", "d1", 20, vec![("a", 4.0)])]),
    ]);
    let mut new = old.clone();
    new.insert(2, vec![]);
    becomes(&old, &new);
    becomes(&new, &old);
    new.insert(3, vec![("door", "d1", 10, vec![("a", 3.0)])]);
    becomes(&old, &new);
    becomes(&new, &old);
}

#[test]
fn histories_that_overlap_by_chance_are_put_right() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..10 {
        let mut some = |entries: u64| -> Rules {
            let entries = (1..=entries).map(|entry| {
                let given = (0..random.usize(0..4)).map(|_| {
                    let class = ["door", "bin"][random.usize(0..2)];
                    let device = ["d1", "d2"][random.usize(0..2)];
                    let fields = ["a", "b", "c"].into_iter().filter(|_| random.bool()).collect::<Vec<_>>();
                    let fields = if fields.is_empty() { vec!["a"] } else { fields };
                    let fields = fields.into_iter().map(|field| (field, f64::from(random.u8(..)))).collect();
                    (class, device, random.i64(0..5), fields)
                });
                (entry, given.collect())
            });
            entries.collect()
        };
        let (old, new) = (some(6), some(6));
        println!("seed {seed}: {old:?} to {new:?}");
        becomes(&old, &new);
    }
}

#[test]
fn entries_that_are_not_rewritten_keep_what_they_gave() {
    let f = Fixture::new();
    let path = f.path("readings.sqlite");
    let old = rules([
        (1, vec![("door", "d1", 10, vec![("a", 1.0), ("b", 1.0)])]),
        (2, vec![("door", "d1", 10, vec![("a", 2.0), ("wrong", 2.0)]), ("door", "d1", 20, vec![("a", 2.0)])]),
        (3, vec![("door", "d1", 30, vec![("a", 3.0)])]),
    ]);
    let mut new = old.clone();
    // It falls upon the row of an entry that was received later and is not rewritten, which goes before.
    new.insert(2, vec![("door", "d1", 10, vec![("a", 2.5)]), ("door", "d1", 30, vec![("a", 2.5), ("c", 2.5)])]);
    write(&mut open(&path), &old);
    let mut rewriter = open_rewriter(&path);
    let done = rewrite(&mut rewriter, &[2], 1, &new);
    assert_eq!((done.removed_points, done.kept_rows), (1, 0));
    assert_eq!(content(&path), f.fresh(&new));
}

#[test]
fn a_row_of_an_entry_that_is_gone_is_kept_and_counted() {
    let f = Fixture::new();
    let path = f.path("readings.sqlite");
    let old = rules([
        (1, vec![("door", "d1", 10, vec![("a", 1.0), ("b", 1.0)])]),
        (2, vec![("door", "d1", 10, vec![("a", 2.0)])]),
    ]);
    write(&mut open(&path), &old);
    let new = rules([(2, vec![("door", "d1", 10, vec![("a", 2.5)])])]);
    assert_eq!(rewrite(&mut open_rewriter(&path), &[2], 1, &new).kept_rows, 1);
    assert_eq!(content(&path), f.fresh(&rules([(1, vec![("door", "d1", 10, vec![("a", 2.5), ("b", 1.0)])])])));
}

#[test]
fn rows_of_a_former_journal_with_the_same_numbers_are_left_alone() {
    let f = Fixture::new();
    let path = f.path("readings.sqlite");
    let old = rules([(1, vec![("door", "d1", 10, vec![("a", 1.0)])])]);
    write(&mut Writer::open(&path, Duration::ZERO, 8).unwrap(), &old);
    let (other, new) = (rules([(1, vec![("door", "d1", 20, vec![("a", 2.0)])])]), rules([(1, vec![])]));
    write(&mut open(&path), &other);
    rewrite(&mut open_rewriter(&path), &[1], 1, &new);
    assert_eq!(content(&path), f.fresh(&old));
}

#[test]
fn two_writers_take_what_the_other_has_done_to_names() {
    let f = Fixture::new();
    let path = f.path("readings.sqlite");
    let mut service = open(&path);
    let old = rules([
        (1, vec![("door", "d1", 10, vec![("wrong", 1.0)]), ("bin", "d1", 10, vec![("level", 1.0)])]),
        (2, vec![("door", "d2", 10, vec![("wrong", 1.0), ("a", 1.0)])]),
    ]);
    write(&mut service, &old);
    let live = rules([
        (3, vec![("door", "d3", 10, vec![("b", 3.0), ("wrong", 3.0)]), ("bin", "d4", 10, vec![("level", 3.0)])]),
        (4, vec![("tank", "d5", 10, vec![("level", 4.0)])]),
    ]);
    // The service has points in its batch with names of its own making, and with those that go.
    for sequence in live.keys() {
        emit(&live, *sequence, &mut |point| service.push(*sequence, point).unwrap());
    }
    let new = rules([
        (1, vec![("tank", "d9", 10, vec![("c", 1.0)])]),
        (2, vec![("door", "d8", 10, vec![("b", 1.0), ("a", 1.0)])]),
    ]);
    rewrite(&mut open_rewriter(&path), &[1, 2], 1, &new);
    assert_eq!(content(&path), f.fresh(&new), "class bin and column wrong are gone");
    service.flush().unwrap();
    let all: Rules = new.into_iter().chain(live).collect();
    assert_eq!(content(&path), f.fresh(&all));
    // And on with names that went while the service knew them.
    let more = rules([(5, vec![("bin", "d1", 20, vec![("level", 5.0)]), ("door", "d1", 20, vec![("wrong", 5.0)])])]);
    write(&mut service, &more);
    assert_eq!(content(&path), f.fresh(&all.into_iter().chain(more).collect()));
}

#[test]
fn a_store_without_entries_is_taken_over_and_what_it_holds_is_overwritten_only() {
    let f = Fixture::new();
    let path = f.path("readings.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE _devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
             CREATE TABLE _tags (id INTEGER PRIMARY KEY, tags TEXT NOT NULL UNIQUE);
             CREATE TABLE _columns (id INTEGER PRIMARY KEY, class TEXT NOT NULL, name TEXT NOT NULL,
                 kind TEXT NOT NULL, column TEXT NOT NULL, UNIQUE (class, name, kind));
             CREATE TABLE _door (device INTEGER NOT NULL, time INTEGER NOT NULL, tags INTEGER NOT NULL,
                 PRIMARY KEY (device, time)) WITHOUT ROWID;
             ALTER TABLE _door ADD COLUMN a REAL;
             ALTER TABLE _door ADD COLUMN wrong REAL;
             INSERT INTO _devices VALUES (1, 'd1');
             INSERT INTO _tags VALUES (1, '{\"profile\":\"p\"}');
             INSERT INTO _columns (class, name, kind, column) VALUES
                 ('door', 'profile', 'tag', ''), ('door', 'a', 'real', 'a'), ('door', 'wrong', 'real', 'wrong');
             INSERT INTO _door VALUES (1, 10000000000, 1, 1.0, 9.0), (1, 20000000000, 1, 2.0, NULL);
             PRAGMA application_id = 0x63697477; PRAGMA user_version = 1;",
        )
        .unwrap();
    let new = rules([(1, vec![("door", "d1", 10, vec![("a", 1.5)])])]);
    rewrite(&mut open_rewriter(&path), &[1], 1, &new);
    let of_unknown_origin = (2, vec![("door", "d1", 20, vec![("a", 2.0)])]);
    assert_eq!(content(&path), f.fresh(&new.into_iter().chain([of_unknown_origin]).collect()));
}

#[test]
fn points_that_the_retention_would_delete_are_not_written() {
    let f = Fixture::new();
    let path = f.path("readings.sqlite");
    let now = Timestamp::now().as_seconds();
    let old = rules([
        (1, vec![("door", "d1", now, vec![("a", 1.0)])]),
        (2, vec![("door", "d1", now - 7_200, vec![("a", 1.0)])]),
    ]);
    write(&mut open(&path), &old);
    let mut rewriter = Rewriter::open(&path, Duration::from_secs(3_600), JOURNAL).unwrap();
    rewrite(&mut rewriter, &[1, 2], 2, &old);
    assert_eq!(content(&path), f.fresh(&rules([(1, old[&1].clone())])));
}
