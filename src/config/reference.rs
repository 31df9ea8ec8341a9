//! What is generated from the options: the reference, the commented sample file, and what is in force.

use std::fmt::Write as _;

use super::Config;
use super::section::{OptionDescription, Section};
use super::setting::{Kind, Setting, Shown};

const HEAD: &str = "\
# Configuration

<!-- Generated from src/config.rs by `UPDATE_DOCS=1 cargo test --test configuration`. -->

citywire reads the file that `--config` (or the variable `CITYWIRE_CONFIG`) names, or `citywire.toml` in the working
directory if there is one. Every option has a default, and a file is not needed: without one, citywire runs an MQTT
broker and a store of its own. `citywire.example.toml` lists every option with its default.

- `citywire check` tells every mistake of the file at once, contacts nothing, and shows with `--show` what is in force.
  An option that does not exist is a mistake.
- Each option can be set by an environment variable instead, which goes before the file: the name in capital letters,
  after `CITYWIRE_`, with `__` between table and option: `CITYWIRE_BROKER__URL`. A sink is named by its name, `-`
  written as `_`, and a route by its position: `CITYWIRE_SINK__CITY__TOKEN_FILE`, `CITYWIRE_ROUTE__1__TOPIC`. A sink or
  a route that the file does not have is added; a sink then needs its `…__KIND` too. A variable that is empty counts as
  not set. Tables are written as in TOML: `{ pilot = \"harbour\" }`.
- A relative path in the file is relative to the file's directory; in a variable, and as a default, to the working
  directory.
- A duration is a whole number and `ms`, `s`, `m`, `h` or `d`: `\"30s\"`. A size is a whole number of bytes, or has `KiB`,
  `MiB`, `GiB` or `TiB` behind it: `\"64MiB\"`.
- A password or a token is better kept in a file of its own than in the configuration: each has an option `…_file`.
";

/// `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    reference_section(&mut out, "", "Outside all tables", Config::SECTION)
        .expect("BUG: writing to a String cannot fail");
    out
}

fn reference_section(out: &mut String, path: &str, title: &str, section: &'static Section) -> std::fmt::Result {
    writeln!(out, "\n## {title}\n\n{}\n", paragraph(section.doc))?;
    let mut tables = Vec::new();
    let mut header = "| option | type | default | meaning |\n| --- | --- | --- | --- |\n";
    for option in section.options {
        let name = if path.is_empty() { option.name.to_owned() } else { format!("{path}.{}", option.name) };
        match (option.kind)() {
            Kind::Section(section) => tables.push((name.clone(), format!("`[{name}]`"), section)),
            Kind::List(kind) => tables.extend(reference_list(&name, kind())),
            kind => {
                if let Kind::WordOrTable { tables: inner, .. } = kind {
                    tables.extend(
                        inner_tables(&name, inner)
                            .map(|(name, section)| (name.clone(), format!("`[{name}]`"), section)),
                    );
                }
                write!(
                    out,
                    "{header}| `{}` | {} | {} | {} |",
                    option.name,
                    kind_of(&kind),
                    default_of(option),
                    meaning_of(option, &kind)
                )?;
                header = "";
                writeln!(out)?;
            }
        }
    }
    for (name, title, section) in tables {
        reference_section(out, &name, &title, section)?;
    }
    Ok(())
}

fn reference_list(name: &str, kind: Kind) -> Vec<(String, String, &'static Section)> {
    match kind {
        Kind::Section(section) => vec![(name.to_owned(), format!("`[[{name}]]`"), section)],
        Kind::Variants(variants) => variants
            .iter()
            .map(|(kind, section)| (name.to_owned(), format!("`[[{name}]]` with `kind = \"{kind}\"`"), *section))
            .collect(),
        _ => Vec::new(),
    }
}

fn inner_tables(
    name: &str,
    tables: &'static [(&'static str, &'static Section)],
) -> impl Iterator<Item = (String, &'static Section)> {
    tables.iter().map(move |(table, section)| (format!("{name}.{table}"), *section))
}

fn kind_of(kind: &Kind) -> String {
    match kind {
        Kind::Value { name, .. } | Kind::WordOrTable { name, .. } => (*name).into(),
        Kind::Words(words) => words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Section(_) | Kind::Variants(_) | Kind::List(_) => "table".into(),
    }
}

fn default_of(option: &OptionDescription) -> String {
    match option.default.map(|default| default()) {
        None => "must be given".into(),
        Some(Shown::Value(text)) => format!("`{text}`"),
        Some(_) => String::new(),
    }
}

fn meaning_of(option: &OptionDescription, kind: &Kind) -> String {
    let mut text = paragraph(option.doc).replace('|', "\\|");
    if let Kind::Words(words) = kind {
        for (word, meaning) in *words {
            let _ = write!(text, "<br>`\"{word}\"`: {}", meaning.trim());
        }
    }
    if let Some(limits) = option.limits {
        let _ = write!(text, " Limits: {}.", limits().replace('"', ""));
    }
    text
}

fn paragraph(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// `citywire.example.toml`: every option with its meaning, commented out, at its default or at an example.
pub fn sample() -> String {
    let mut out = String::from(
        "# Every option of citywire, commented out, with its default or an example.\n\
         # Generated from src/config.rs by `UPDATE_DOCS=1 cargo test --test configuration`.\n",
    );
    sample_section(&mut out, "", "", Config::SECTION).expect("BUG: writing to a String cannot fail");
    out
}

fn sample_section(out: &mut String, path: &str, header: &str, section: &'static Section) -> std::fmt::Result {
    writeln!(out)?;
    comment(out, section.doc)?;
    if !header.is_empty() {
        writeln!(out, "{header}")?;
    }
    let mut tables = Vec::new();
    for option in section.options {
        let name = if path.is_empty() { option.name.to_owned() } else { format!("{path}.{}", option.name) };
        match (option.kind)() {
            Kind::Section(section) => tables.push((name.clone(), format!("[{name}]"), section)),
            Kind::List(kind) => tables.extend(sample_list(&name, kind())),
            _ => {
                comment(out, option.doc)?;
                let value = match option.default.map(|default| default()) {
                    Some(Shown::Value(text)) => text,
                    _ => option.example.unwrap_or("").into(),
                };
                writeln!(out, "#{} = {value}", option.name)?;
                if let Kind::WordOrTable { tables: inner, .. } = (option.kind)() {
                    tables.extend(
                        inner_tables(&name, inner)
                            .map(|(name, section)| (name.clone(), format!("#[{name}]"), section)),
                    );
                }
            }
        }
    }
    for (name, header, section) in tables {
        sample_section(out, &name, &header, section)?;
    }
    Ok(())
}

fn sample_list(name: &str, kind: Kind) -> Vec<(String, String, &'static Section)> {
    match kind {
        Kind::Section(section) => vec![(name.to_owned(), format!("#[[{name}]]"), section)],
        Kind::Variants(variants) => variants
            .iter()
            .map(|(kind, section)| (name.to_owned(), format!("#[[{name}]]\n#kind = \"{kind}\""), *section))
            .collect(),
        _ => Vec::new(),
    }
}

fn comment(out: &mut String, doc: &[&str]) -> std::fmt::Result {
    doc.iter().try_for_each(|line| writeln!(out, "# {}", line.trim()))
}

/// The configuration in force, as a file would say it, secrets masked.
pub fn effective(config: &Config) -> String {
    let mut out = String::new();
    if let Shown::Table(options) = config.show() {
        effective_table(&mut out, "", options).expect("BUG: writing to a String cannot fail");
    }
    out
}

fn effective_table(out: &mut String, path: &str, options: Vec<(&'static str, Shown)>) -> std::fmt::Result {
    let mut tables = Vec::new();
    for (name, shown) in options {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match shown {
            Shown::Absent => {}
            Shown::Value(text) => writeln!(out, "{name} = {text}")?,
            Shown::Table(options) => tables.push((path.clone(), format!("[{path}]"), options)),
            Shown::List(items) => {
                for item in items {
                    if let Shown::Table(options) = item {
                        tables.push((path.clone(), format!("[[{path}]]"), options));
                    }
                }
            }
        }
    }
    for (path, header, options) in tables {
        writeln!(out, "\n{header}")?;
        effective_table(out, &path, options)?;
    }
    Ok(())
}
