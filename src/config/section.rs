//! A table of options: the macro that declares one, and how it is read.
//!
//! [`section!`] writes name, type, default, limits and meaning of each option once. From that come the struct that
//! the program uses, the reader that finds every mistake, the environment's names and the reference.

use super::setting::{Kind, Reader, Setting, Shown, quoted};
use super::tree::{Node, Origin, Table, Value};
use crate::problem::Problem;

/// What is known of a table of options.
#[derive(Debug)]
pub(crate) struct Section {
    pub doc: &'static [&'static str],
    pub options: &'static [OptionDescription],
}

/// What is known of an option.
#[derive(Debug)]
pub(crate) struct OptionDescription {
    pub name: &'static str,
    pub doc: &'static [&'static str],
    pub kind: fn() -> Kind,
    /// `None` for an option that must be given.
    pub default: Option<fn() -> Shown>,
    pub limits: Option<fn() -> String>,
    /// TOML that the sample file shows when there is no default to show.
    pub example: Option<&'static str>,
}

impl Section {
    pub(super) fn option(&self, name: &str) -> Option<&'static OptionDescription> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// Declares a table of options: the struct, its defaults, and everything else that is known of them.
///
/// ```text
/// /// What the table is about.
/// pub struct Name {
///     /// What the option means.
///     pub option: Type = default, in smallest..=largest, like "an example in TOML";
///     /// Without a default the option must be given.
///     pub required: Type, like "an example";
///     /// `as` gives the option a name other than the field's.
///     pub fields as "name": Type = default;
/// }
/// check function_for_rules_between_options
/// ```
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        pub struct $section:ident {
            $(
                $(#[doc = $doc:literal])*
                pub $field:ident $(as $name:literal)? : $type:ty
                    = $default:expr $(, in $limits:expr)? $(, like $example:literal)?;
            )+
        }
        $(check $check:path)?
    ) => {
        $crate::config::section::section! {
            @common
            $(#[doc = $section_doc])+
            pub struct $section {
                $($(#[doc = $doc])* pub $field $(as $name)? : $type = $default $(, in $limits)? $(, like $example)?;)+
            }
            $(check $check)?
        }

        impl Default for $section {
            fn default() -> Self {
                $section { $($field: $default,)+ }
            }
        }
    };
    (
        $(#[doc = $section_doc:literal])+
        pub struct $section:ident { $($rest:tt)+ }
        $(check $check:path)?
    ) => {
        $crate::config::section::section! {
            @common
            $(#[doc = $section_doc])+
            pub struct $section { $($rest)+ }
            $(check $check)?
        }
    };
    (
        @common
        $(#[doc = $section_doc:literal])+
        pub struct $section:ident {
            $(
                $(#[doc = $doc:literal])*
                pub $field:ident $(as $name:literal)? : $type:ty
                    $(= $default:expr)? $(, in $limits:expr)? $(, like $example:literal)?;
            )+
        }
        $(check $check:path)?
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $($(#[doc = $doc])* pub $field: $type,)+
        }

        impl $section {
            pub(crate) const SECTION: &'static $crate::config::section::Section = &$crate::config::section::Section {
                doc: &[$($section_doc),+],
                options: &[$(
                    $crate::config::section::OptionDescription {
                        name: $crate::config::section::section!(@name $field $($name)?),
                        doc: &[$($doc),*],
                        kind: <$type as $crate::config::setting::Setting>::kind,
                        default: $crate::config::section::section!(@shown $type $(, $default)?),
                        limits: $crate::config::section::section!(@limits $type $(, $limits)?),
                        example: $crate::config::section::section!(@option $($example)?),
                    },
                )+],
            };
        }

        impl $crate::config::setting::Setting for $section {
            fn kind() -> $crate::config::setting::Kind {
                $crate::config::setting::Kind::Section(Self::SECTION)
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) -> Option<Self> {
                let (section, is_sound) = $section::read_leniently(node, reader)?;
                is_sound.then_some(section)
            }

            fn show(&self) -> $crate::config::setting::Shown {
                $crate::config::setting::Shown::Table(vec![$(
                    (
                        $crate::config::section::section!(@name $field $($name)?),
                        <$type as $crate::config::setting::Setting>::show(&self.$field),
                    ),
                )+])
            }
        }

        impl $section {
            /// The section, with defaults in place of options that could not be read, and whether there are none.
            fn read_leniently(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) -> Option<(Self, bool)> {
                let mut options = $crate::config::section::Options::of(Self::SECTION, node, reader)?;
                $(
                    let name = $crate::config::section::section!(@name $field $($name)?);
                    let $field: Option<$type> = options.take(name);
                    $(let $field = options.within(name, $field, $limits);)?
                    $(let $field: Option<$type> = $field.or_else(|| Some($default));)?
                )+
                // Every option has been read, and every mistake reported, before a missing one ends it here.
                #[allow(unused_mut, reason = "only a section with rules changes itself")]
                let mut section = $section { $($field: $field?,)+ };
                $($check(&mut section, &mut options);)?
                let is_sound = options.all_sound();
                Some((section, is_sound))
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@shown $type:ty) => { None };
    (@shown $type:ty, $default:expr) => {
        Some(|| {
            let default: $type = $default;
            <$type as $crate::config::setting::Setting>::show(&default)
        })
    };
    (@limits $type:ty) => { None };
    (@limits $type:ty, $limits:expr) => { Some(|| $crate::config::section::show_limits::<$type>(&$limits)) };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
}

pub(super) use section;

/// Declares an enumeration whose values are words in the configuration: `pub enum Name = Default { … }`.
macro_rules! words {
    (
        $(#[doc = $doc:literal])+
        pub enum $words:ident = $default:ident {
            $($(#[doc = $value_doc:literal])+ $value:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $words {
            $($(#[doc = $value_doc])+ $value,)+
        }

        impl $words {
            const WORDS: &'static [(&'static str, $words)] = &[$(($word, $words::$value)),+];
        }

        impl Default for $words {
            fn default() -> Self {
                $words::$default
            }
        }

        impl $crate::config::setting::Setting for $words {
            fn kind() -> $crate::config::setting::Kind {
                $crate::config::setting::Kind::Words(&[$(($word, concat!($($value_doc),+))),+])
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) -> Option<Self> {
                $crate::config::section::read_word(node, reader, Self::WORDS)
            }

            fn show(&self) -> $crate::config::setting::Shown {
                let word = match self {
                    $($words::$value => $word,)+
                };
                $crate::config::setting::Shown::Value($crate::config::setting::quoted(word))
            }
        }
    };
}

pub(super) use words;

pub(super) fn read_word<T: Copy>(node: &Node, reader: &mut Reader<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = String::read(node, reader)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|&(_, value)| value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
        let message = format!("{} is not a value of this option", quoted(&text));
        reader.report_unknown(&node.origin, message, &text, known);
    }
    found
}

/// Stands among the failed options for one that does not exist: nobody knows which one was meant.
const UNKNOWN: &str = "";

/// The options of one table while they are read.
pub(crate) struct Options<'n, 'r, 'a> {
    table: &'n Table,
    origin: &'n Origin,
    reader: &'r mut Reader<'a>,
    section: &'static Section,
    /// Options whose value could not be used.
    failed: Vec<&'static str>,
}

impl<'n, 'r, 'a> Options<'n, 'r, 'a> {
    pub(super) fn of(section: &'static Section, node: &'n Node, reader: &'r mut Reader<'a>) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            reader.expected("a table", node);
            return None;
        };
        let mut failed = Vec::new();
        for (key, (origin, _)) in &table.entries {
            if section.option(key).is_none() {
                failed.push(UNKNOWN);
                let known = section.options.iter().map(|option| option.name);
                reader.report_unknown(origin, format!("unknown option `{key}`"), key, known);
            }
        }
        Some(Options { table, origin: &node.origin, reader, section, failed })
    }

    /// The value of an option; `None` when it is not given, or unusable and reported.
    pub(super) fn take<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        let value = match self.table.get(name) {
            Some(node) => T::read(node, self.reader),
            // A table that is not there is read as an empty one, since its options have rules too.
            None if matches!(T::kind(), Kind::Section(_)) => {
                let empty = Node { value: Value::Table(Table::default()), origin: Origin::Nowhere };
                T::read(&empty, self.reader)
            }
            None if self.section.option(name).is_some_and(|option| option.default.is_some()) => return None,
            None => {
                self.reader.report(self.origin, format!("the option `{name}` is missing"));
                None
            }
        };
        if value.is_none() {
            self.failed.push(name);
        }
        value
    }

    /// The value if it is within the limits.
    pub(super) fn within<T: Setting + PartialOrd>(
        &mut self,
        name: &'static str,
        value: Option<T>,
        limits: std::ops::RangeInclusive<T>,
    ) -> Option<T> {
        let value = value?;
        if limits.contains(&value) {
            return Some(value);
        }
        let message = format!("{} is out of range: `{name}` takes {}", text(&value.show()), show_limits(&limits));
        self.problem(name, message);
        self.failed.push(name);
        None
    }

    /// Whether this option is given, by the file or the environment.
    pub(super) fn given(&self, name: &str) -> bool {
        self.table.get(name).is_some()
    }

    /// Whether all these options could be read, so that a rule between them makes sense.
    pub(super) fn sound(&self, names: &[&str]) -> bool {
        !names.iter().any(|name| self.failed.contains(name))
    }

    pub(super) fn all_sound(&self) -> bool {
        self.failed.is_empty()
    }

    /// Reports a mistake of this option, or of the table when the option is not given.
    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) -> &mut Problem {
        let origin = self.table.get(name).map_or(self.origin, |node| &node.origin);
        self.reader.report(origin, message)
    }

    /// Reports a mistake of an option of one of the tables of a list.
    pub(super) fn item_problem(
        &mut self,
        list: &str,
        index: usize,
        name: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        let item = match self.table.get(list).map(|node| &node.value) {
            Some(Value::List(items)) => items.get(index),
            _ => None,
        };
        let option = match item.map(|item| &item.value) {
            Some(Value::Table(table)) => table.get(name).or(item),
            _ => item,
        };
        self.reader.report(option.map_or(self.origin, |node| &node.origin), message)
    }
}

pub(super) fn show_limits<T: Setting>(limits: &std::ops::RangeInclusive<T>) -> String {
    format!("{} to {}", text(&limits.start().show()), text(&limits.end().show()))
}

fn text(shown: &Shown) -> &str {
    match shown {
        Shown::Value(text) => text,
        _ => "nothing",
    }
}
