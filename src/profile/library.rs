//! All profiles in force: the ones built into the binary and those of the city's own directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::class::{Classes, FieldType};
use super::{Profile, compile, example, lint};
use crate::problem::Problem;

macro_rules! built_in {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../device-profiles/", $path)))),*]
    };
}

/// The profiles that come with citywire. `tests/profiles.rs` compares the list with the folder.
pub const BUILT_IN: &[(&str, &str)] = built_in![
    "door/dragino-cpn01.toml",
    "door/dragino-nds01.toml",
    "door/mc-n01.toml",
    "electricity_meter/adeunis-tic-linky.toml",
    "electricity_meter/alpha-omega-klax.toml",
    "electricity_meter/yobiiq-em4301.toml",
    "elevator/citywire-elevator.toml",
    "environment/dragino-laq4.toml",
    "environment/elsys-sensors.toml",
    "environment/milesight-am307.toml",
    "environment/milesight-em300.toml",
    "environment/milesight-wt102.toml",
    "environment/watteco-vaqao-lite.toml",
    "fire_panel/gst-gst9000.toml",
    "gas_meter/fludia-fm432g.toml",
    "heat_meter/elvaco-cmi4110.toml",
    "heat_meter/kamstrup-multical.toml",
    "leak_detector/fwe03.toml",
    "leak_detector/sensative-strips.toml",
    "level/d2-level.toml",
    "level/netvox-r313la.toml",
    "manhole/dingtek-dc410.toml",
    "parking/bosch-tpl110.toml",
    "parking/dingtek-do201.toml",
    "parking/foxcodenine-nb-parking.toml",
    "parking/netvox-r719a.toml",
    "parking/nwave-nps310.toml",
    "parking/nwave-nps405.toml",
    "parking/pni-placepod.toml",
    "parking/tekzitel-tekzipark.toml",
    "parking/wxhs-p-md.toml",
    "smoke_detector/huaqiang-nb.toml",
    "smoke_detector/jiade-nb-smoke.toml",
    "smoke_detector/milesight-gs524n.toml",
    "smoke_detector/netvox-ra02.toml",
    "smoke_detector/nexelec-insafe-origin.toml",
    "smoke_detector/wanlin-nb301.toml",
    "smoke_detector/yobiiq-sd1001.toml",
    "smoke_detector/zenner-easy-protect-radio.toml",
    "standards/cjt188.toml",
    "standards/dlt645.toml",
    "standards/gbt26875.toml",
    "standards/mbus.toml",
    "standards/modbus-rtu.toml",
    "standards/sl651.toml",
    "streetlight/nas-ul20xx.toml",
    "streetlight/zhongxing-lamp63.toml",
    "waste_bin/dingtek-df702.toml",
    "waste_bin/milesight-em400.toml",
    "waste_bin/sensoneo-single-3.toml",
    "waste_bin/zhongxing-smart-bin.toml",
    "water_meter/aquascope-aqm.toml",
    "water_meter/axioma-w1.toml",
    "water_meter/dragino-sw3l.toml",
    "water_meter/kamstrup-flowiq2200.toml",
    "water_meter/milesight-em300-di.toml",
    "water_meter/minol-zenner-edc.toml",
    "water_meter/nas-cm30xx.toml",
    "water_meter/sensus-iperl.toml",
    "water_meter/sontex-sq1.toml",
    "water_meter/suntront-nb-water.toml",
    "water_meter/vision-metering-water-module.toml",
];

/// What messages call a built-in profile.
pub fn built_in_name(path: &str) -> String {
    format!("built-in {path}")
}

/// The vocabulary that comes with citywire.
pub const BUILT_IN_CLASSES: &str = include_str!("../../device-profiles/classes.toml");

/// A directory may hold so many profiles, and each so many bytes: more is a mistake, not a library.
const FILES_MAX: usize = 10_000;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The profiles in force, by id.
#[derive(Clone, Debug)]
pub struct Library {
    pub classes: Classes,
    profiles: BTreeMap<String, Arc<Profile>>,
}

impl Library {
    /// The built-in profiles alone.
    ///
    /// # Errors
    /// What is wrong with them: a mistake of this build, which `tests/profiles.rs` finds.
    pub fn built_in() -> Result<Library, Vec<Problem>> {
        Library::load(Path::new(""))
    }

    /// The built-in profiles and those under `directory`, which take the place of built-in ones with the same id. A
    /// `classes.toml` in the directory takes the place of the built-in vocabulary. A directory that does not exist
    /// holds nothing.
    ///
    /// # Errors
    /// Everything that is wrong with any profile, its examples included.
    pub fn load(directory: &Path) -> Result<Library, Vec<Problem>> {
        let mut problems = Vec::new();
        let classes = load_classes(directory)?;
        let mut own = BTreeMap::new();
        for file in profile_files(directory).map_err(|problem| vec![problem])? {
            match load_file(&file, &classes) {
                Ok(profiles) => profiles.into_iter().for_each(|profile| insert(&mut own, profile, &mut problems)),
                Err(mut wrong) => problems.append(&mut wrong),
            }
        }
        let mut profiles = BTreeMap::new();
        for (path, source) in BUILT_IN {
            match load_source(&built_in_name(path), source, &classes) {
                Ok(built_in) => {
                    let kept = built_in.into_iter().filter(|profile| !own.contains_key(&profile.id));
                    kept.for_each(|profile| insert(&mut profiles, profile, &mut problems));
                }
                Err(mut wrong) => problems.append(&mut wrong),
            }
        }
        profiles.append(&mut own);
        problems.extend(type_conflicts(&profiles));
        match problems.is_empty() {
            true => Ok(Library { classes, profiles }),
            false => Err(problems),
        }
    }

    /// These profiles, and those of `files`: in the place of the ones with the same id, or added.
    ///
    /// # Errors
    /// Everything that is wrong with the files, their examples included.
    pub fn with(&self, files: &[PathBuf]) -> Result<Library, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut own = BTreeMap::new();
        for file in files {
            match load_file(file, &self.classes) {
                Ok(profiles) => profiles.into_iter().for_each(|profile| insert(&mut own, profile, &mut problems)),
                Err(mut wrong) => problems.append(&mut wrong),
            }
        }
        let mut profiles = self.profiles.clone();
        profiles.append(&mut own);
        problems.extend(type_conflicts(&profiles));
        match problems.is_empty() {
            true => Ok(Library { classes: self.classes.clone(), profiles }),
            false => Err(problems),
        }
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Profile>> {
        self.profiles.get(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }
}

/// Reads, compiles and tests one profile file: one profile, or those of a family.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_file(path: &Path, classes: &Classes) -> Result<Vec<Profile>, Vec<Problem>> {
    let name = path.display().to_string();
    let source = read_file(path).map_err(|problem| vec![problem])?;
    load_source(&name, &source, classes)
}

/// Reads, compiles and tests one profile of a file: `FILE`, or `FILE#ID` for one of a family.
///
/// # Errors
/// Everything that is wrong with the file, or that it does not say which of its profiles is meant.
pub fn load_one(name: &str, classes: &Classes) -> Result<Profile, Vec<Problem>> {
    let (file, id) = file_and_id(name);
    choose(file, id, load_file(Path::new(file), classes)?)
}

/// The same, and leaves its examples to be run by the caller ([`example::verdict`]).
///
/// # Errors
/// Everything that is wrong with the file but its examples, or that it does not say which of its profiles is meant.
pub fn compile_one(name: &str, classes: &Classes) -> Result<Profile, Vec<Problem>> {
    let (file, id) = file_and_id(name);
    choose(file, id, compile_file(Path::new(file), classes)?)
}

/// `FILE#ID` taken apart.
pub fn file_and_id(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('#') {
        Some((file, id)) => (file, Some(id)),
        None => (name, None),
    }
}

fn choose(file: &str, id: Option<&str>, mut profiles: Vec<Profile>) -> Result<Profile, Vec<Problem>> {
    let ids: Vec<String> = profiles.iter().map(|profile| profile.id.clone()).collect();
    let found = match id {
        Some(id) => profiles.iter().position(|profile| profile.id == id),
        None => (profiles.len() == 1).then_some(0),
    };
    match found {
        Some(found) => Ok(profiles.swap_remove(found)),
        None => Err(vec![
            Problem::in_file(file, format!("holds the profiles {}", ids.join(", ")))
                .help(format!("say which one is meant, as in {file}#{}", ids.first().map_or("", String::as_str))),
        ]),
    }
}

/// Reads and compiles one profile file, and leaves its examples to be run by the caller ([`example::verdict`]).
///
/// # Errors
/// Everything that is wrong with it but its examples.
pub fn compile_file(path: &Path, classes: &Classes) -> Result<Vec<Profile>, Vec<Problem>> {
    let source = read_file(path).map_err(|problem| vec![problem])?;
    compile::compile(&path.display().to_string(), &source, classes)
}

/// The same for a text.
///
/// # Errors
/// As [`compile_file`].
pub fn compile_source(name: &str, source: &str, classes: &Classes) -> Result<Vec<Profile>, Vec<Problem>> {
    compile::compile(name, source, classes)
}

/// The same as [`load_file`] for a text. `name` stands in messages.
pub fn load_source(name: &str, source: &str, classes: &Classes) -> Result<Vec<Profile>, Vec<Problem>> {
    let profiles = compile::compile(name, source, classes)?;
    let problems: Vec<Problem> = profiles.iter().flat_map(|profile| example::run(profile, source)).collect();
    match problems.is_empty() {
        true => Ok(profiles),
        false => Err(problems),
    }
}

/// The profiles of a file that has no mistakes, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Checked {
    pub profiles: Vec<Profile>,
    /// By [`lint`]; in no particular order.
    pub warnings: Vec<Problem>,
}

/// Reads, compiles and tests one profile file, and looks for what is seldom meant.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_file(path: &Path, classes: &Classes) -> Result<Checked, Vec<Problem>> {
    let source = read_file(path).map_err(|problem| vec![problem])?;
    check_source(&path.display().to_string(), &source, classes)
}

/// The same for a text. `name` stands in messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_source(name: &str, source: &str, classes: &Classes) -> Result<Checked, Vec<Problem>> {
    let profiles = load_source(name, source, classes)?;
    let warnings = lint::warnings(source, &profiles, classes);
    Ok(Checked { profiles, warnings })
}

fn insert(profiles: &mut BTreeMap<String, Arc<Profile>>, profile: Profile, problems: &mut Vec<Problem>) {
    if let Some(other) = profiles.get(&profile.id) {
        let message = format!("the id `{}` is taken by {}", profile.id, other.file);
        problems.push(Problem::in_file(&profile.file, message).help("give one of them another id"));
        return;
    }
    profiles.insert(profile.id.clone(), Arc::new(profile));
}

/// The vocabulary in force for a directory of profiles.
///
/// # Errors
/// Everything that is wrong with the directory's `classes.toml`.
pub fn load_classes(directory: &Path) -> Result<Classes, Vec<Problem>> {
    let path = directory.join("classes.toml");
    if directory.as_os_str().is_empty() || !path.exists() {
        return Classes::load("built-in classes.toml", BUILT_IN_CLASSES);
    }
    let source = read_file(&path).map_err(|problem| vec![problem])?;
    Classes::load(&path.display().to_string(), &source)
}

/// The profile files below a directory, in order of their paths. What is hidden (`.name`) is none: an editor's lock, the
/// folders behind a mounted ConfigMap.
///
/// # Errors
/// When the directory cannot be read, or holds too many files.
pub fn profile_files(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut files = files_below(directory)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    Ok(files)
}

/// The same, and the scripts that may be profiles' codecs.
///
/// # Errors
/// As [`profile_files`].
pub fn files_below(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    if directory.as_os_str().is_empty() || !directory.exists() {
        return Ok(files);
    }
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let unreadable = |error| Problem::in_file(&folder, format!("cannot be read: {error}"));
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let is_ours = path.extension().is_some_and(|extension| extension == "toml" || extension == "js");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if is_ours && path.file_name().is_some_and(|name| name != "classes.toml") {
                files.push(path);
            }
        }
        if files.len() + folders.len() > FILES_MAX {
            return Err(Problem::in_file(directory, format!("holds more than {FILES_MAX} files"))
                .help("set profiles.directory to the folder of the device profiles"));
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| Problem::in_file(path, format!("cannot be read: {error}"));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Problem::in_file(path, format!("has {size} bytes; a profile has at most {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// A maker's own field must have one type in all profiles of a class: they share a table.
fn type_conflicts(profiles: &BTreeMap<String, Arc<Profile>>) -> Vec<Problem> {
    let mut known: BTreeMap<(&str, &str), (FieldType, &Profile)> = BTreeMap::new();
    let mut problems = Vec::new();
    for profile in profiles.values() {
        for field in profile.fields.iter().filter(|field| field.used && !field.canonical) {
            for class in &profile.classes {
                let (kind, other) = *known.entry((class, &field.name)).or_insert((field.kind, profile));
                if kind != field.kind {
                    problems.push(
                        Problem::in_file(
                            &profile.file,
                            format!(
                                "`{}` is {}, but {} in profile `{}` of the same class {class}",
                                field.name,
                                field.kind.name(),
                                kind.name(),
                                other.id
                            ),
                        )
                        .help("give the field another name or the same type: both go into one table"),
                    );
                }
            }
        }
    }
    problems
}
