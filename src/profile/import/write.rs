//! The file of an imported profile.

use std::fmt::Write as _;

use super::map::Layout;
use super::{Device, RECEIVED, Written};
use crate::decode::codec::Codec;

/// All but the examples.
pub(super) struct Draft<'a> {
    pub device: &'a Device,
    pub codec: &'a Codec,
    pub layout: &'a Layout,
    pub decisions: &'a [String],
}

impl Draft<'_> {
    /// An id made of maker and model.
    pub fn id(&self) -> String {
        const CHARACTERS_MAX: usize = 64;
        let both = format!("{} {}", self.device.maker_id, self.device.id);
        let letters = both.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
        let words = letters.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-");
        let id: String = words.chars().take(CHARACTERS_MAX).collect();
        id.trim_end_matches('-').to_owned()
    }

    /// The whole file.
    pub fn source(&self, examples: &[Written<'_>]) -> String {
        let mut out = String::from("# Made by `citywire profile import`. A person has to decide:\n");
        for decision in self.decisions {
            // One line each, whatever the device's files say.
            let words: Vec<&str> = decision.split_whitespace().collect();
            let _ = writeln!(out, "# - {}", words.join(" "));
        }
        let Draft { device, layout, codec, .. } = self;
        let _ = write!(
            out,
            "\nid = \"{}\"\nclass = {}\nmaker = {}\nmodel = {}\ndocument = {{ title = {}{} }}\n\
             report_interval = \"24h\"\ncodec = {{ javascript = {}, form = \"{}\" }}\n\n\
             [[frame]]\nname = \"uplink\"\nfields = [\n",
            self.id(),
            quoted(&layout.class),
            quoted(&device.maker),
            quoted(&device.model),
            quoted(&device.title()),
            device.url.as_ref().map(|url| format!(", url = {}", quoted(url))).unwrap_or_default(),
            quoted(&device.script_name()),
            codec.form.name(),
        );
        let lines = |out: &mut String, lines: &[String]| {
            lines.iter().for_each(|line| {
                let _ = writeln!(out, "  {line},");
            });
            out.push_str("]\n");
        };
        lines(&mut out, &layout.lines);
        for (name, of_block) in &layout.blocks {
            let _ = write!(out, "\n[block.{name}]\nfields = [\n");
            lines(&mut out, of_block);
        }
        examples.iter().for_each(|example| self.example(&mut out, example));
        out
    }

    fn example(&self, out: &mut String, example: &Written<'_>) {
        let Written { published, expects } = example;
        let digits: Vec<String> = published.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let port = published.port.map(|port| format!("port = {port}\n")).unwrap_or_default();
        let _ = write!(
            out,
            "\n[[example]]\nname = {}\nsource = {}\npayload = \"{}\"\n{port}received = \"{RECEIVED}\"\n{expects}\n",
            quoted(&published.name),
            quoted(&self.device.source),
            digits.join(" "),
        );
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
