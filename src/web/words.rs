//! What classes and alarms are called in the language of the reader, as `classes.toml` has it. In databases, addresses and
//! the read API they keep their names.

use maud::{Markup, html};

use super::parts;
use super::text::Text;
use crate::fleet::UNKNOWN_CLASS;
use crate::profile::class::Classes;

/// The language, and the vocabulary in force.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub text: &'static Text,
    pub classes: &'a Classes,
}

impl<'a> Words<'a> {
    /// A class that the vocabulary does not have keeps its name.
    pub(super) fn class(&self, name: &'a str) -> &'a str {
        match self.classes.get(name) {
            Some(class) => (self.text.title_of_class)(class),
            None if name == UNKNOWN_CLASS => self.text.unknown_class,
            None => name,
        }
    }

    /// The class, with its name on the pointer.
    pub(super) fn class_markup(&self, name: &str) -> Markup {
        html! { span title=(parts::seen(name)) { (parts::name(self.class(name))) } }
    }

    /// An alarm of a class, and below it what explains its name.
    pub(super) fn alarm_markup(&self, class: &str, kind: &str) -> Markup {
        let field = self.classes.field(class, kind).or_else(|| self.classes.common.fields.get(kind));
        let (called, below) = match field {
            Some(field) => (self.text.words_of_alarm)(kind, field),
            None => (kind, ""),
        };
        html! {
            (breakable(called))
            @if !below.is_empty() { span class="under" { (breakable(below)) } }
        }
    }
}

/// A name that may be broken behind its underscores, where there is little room.
fn breakable(name: &str) -> Markup {
    html! { bdi { @for part in parts::seen(name).split_inclusive('_') { (part) @if part.ends_with('_') { wbr; } } } }
}
