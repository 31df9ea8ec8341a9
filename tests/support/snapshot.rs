//! Texts that a test compares with a file kept beside the tests.

use std::path::{Path, PathBuf};

/// Compares `actual` with `tests/snapshots/<name>`. With `UPDATE_SNAPSHOTS=1` the file is written instead: look at the
/// difference before committing it.
pub fn assert_snapshot(name: &str, actual: &str) {
    assert_file(&Path::new("tests/snapshots").join(name), actual, "UPDATE_SNAPSHOTS");
}

/// Compares `actual` with a file of the package, which is written instead when the variable `update` is set.
pub fn assert_file(file: &Path, actual: &str, update: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os(update).is_some() {
        let directory = path.parent().expect("the file has a directory");
        std::fs::create_dir_all(directory).expect("the directory can be made");
        std::fs::write(&path, actual).expect("the file can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not what it should be; run the test with {update}=1 and look at the difference\n\
         --- expected\n{expected}\n--- actual\n{actual}",
        file.display()
    );
}
