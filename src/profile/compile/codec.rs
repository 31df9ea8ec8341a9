//! The script of a profile: where its file is, and whether it can be used.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Compiler, Span};
use crate::decode::codec::{Codec, Form, SOURCE_BYTES_MAX};
use crate::profile::Script;
use crate::profile::spec::*;

impl Compiler<'_> {
    pub(super) fn codec(&mut self) -> Option<Script> {
        let (span, spec) = self.spec.codec.as_ref().map(|codec| (codec.span(), codec.get_ref()))?;
        let of_bytes = [
            ("[framing]", self.spec.framing.is_some()),
            ("payload = \"json\"", self.spec.payload == PayloadSpec::Json),
        ];
        if let Some((key, _)) = of_bytes.into_iter().find(|(_, given)| *given) {
            self.problem(span, format!("a codec is given the payload's bytes as they are, so there is no `{key}`"));
            return None;
        }
        let word = self.word(span.clone(), &spec.javascript);
        let path = self.script_path(&spec.javascript, word.clone())?;
        let source = match read(&path) {
            Ok(source) => source,
            Err(why) => {
                self.problem(word, format!("the codec {} {why}", path.display()));
                return None;
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match Codec::load(&name, &source, spec.form.map(Form::from)) {
            Ok(codec) => Some(Script { codec: Arc::new(codec), line: self.line(&span) }),
            Err(error) => {
                self.problem(word, format!("the codec {error}"));
                None
            }
        }
    }

    fn script_path(&mut self, written: &str, span: Span) -> Option<PathBuf> {
        let path = path_of(self.file, written);
        if path.is_none() {
            self.problem(span, format!("`{written}` is no script beside the profile"))
                .help_last("put the file into the profile's folder or one below it, as in \"em300.js\"");
        }
        path
    }
}

/// The file of a script, as a profile's file names it. It stands at or below the profile's folder, so that whatever
/// watches the one sees the other.
fn path_of(file: &str, written: &str) -> Option<PathBuf> {
    let relative = Path::new(written);
    let is_below = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let is_script = relative.extension().is_some_and(|extension| extension == "js");
    (is_below && is_script).then(|| Path::new(file).parent().unwrap_or(Path::new("")).join(relative))
}

/// The file of the script that a profile names, whatever else is wrong with the profile, as long as it is TOML.
pub fn script_of(file: &str, source: &str) -> Option<PathBuf> {
    let profile: toml::Table = toml::from_str(source).ok()?;
    path_of(file, profile.get("codec")?.get("javascript")?.as_str()?)
}

/// The text of a script, or what is in the way.
fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > SOURCE_BYTES_MAX {
        return Err(format!("has {bytes} bytes; a codec has at most {SOURCE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

impl From<CodecFormSpec> for Form {
    fn from(form: CodecFormSpec) -> Form {
        match form {
            CodecFormSpec::Ts013 => Form::Ts013,
            CodecFormSpec::TheThingsNetworkV2 => Form::TheThingsNetworkV2,
            CodecFormSpec::ChirpStackV3 => Form::ChirpStackV3,
            CodecFormSpec::Milesight => Form::Milesight,
            CodecFormSpec::Actility => Form::Actility,
        }
    }
}
