//! The layouts of new profiles, each with a payload that it reads.

use std::fmt::Write as _;

use super::line::{Line, Moment};
use super::{Device, Shape};
use crate::decode::program::Algorithm;
use crate::profile::FieldType;

/// Bytes around the fields, in the made-up payload.
const START: u8 = 0x68;
const END: u8 = 0x16;

pub(super) struct Layout<'a> {
    device: &'a Device<'a>,
    /// The fields of the made-up payload: of the class first.
    live: Vec<Line>,
    /// All other fields of the class, to choose from.
    others: Vec<Line>,
}

/// The parts of a payload between framing and checksum, and what it gives.
struct Message {
    /// A word of comment on what it is, for its source.
    name: &'static str,
    parts: Vec<Vec<u8>>,
    /// The fields of each reading.
    readings: Vec<Vec<String>>,
}

impl<'a> Layout<'a> {
    pub fn new(device: &'a Device<'a>, lines: Vec<Line>) -> Layout<'a> {
        let measures = |line: &Line| !line.common && line.is_number();
        let states = |line: &Line| !line.common && line.kind == FieldType::Bool;
        let shared = |line: &Line| line.common && line.is_number();
        let chosen = [lines.iter().position(measures), lines.iter().position(states), lines.iter().position(shared)];
        let (mut live, mut others) = (Vec::new(), Vec::new());
        for (index, line) in lines.into_iter().enumerate() {
            if chosen.contains(&Some(index)) { &mut live } else { &mut others }.push(line);
        }
        if live.is_empty() {
            live.push(if others.is_empty() { Line::made_up() } else { others.remove(0) });
        }
        // The class's own have the order of the vocabulary; the one that every class has comes last.
        Layout { device, live, others }
    }

    /// Framing, layouts and examples.
    pub fn write(&self, out: &mut String) {
        if self.device.framed {
            self.framing(out);
        }
        let messages = match self.device.shape {
            Shape::Fixed => self.fixed(out),
            Shape::Frames => self.frames(out),
            Shape::Tags => self.tags(out),
            Shape::Records => self.records(out),
        };
        for message in &messages {
            self.example(out, message);
        }
        if self.device.checksum.is_some() {
            // Each layout has a checksum of its own, unless all are framed alike.
            let proved = if self.device.framed { 1 } else { messages.len() };
            messages.iter().take(proved).for_each(|message| self.refused_example(out, message));
        }
    }

    fn framing(&self, out: &mut String) {
        let around = 2 + self.trailer();
        let _ = writeln!(out, "\n[framing]");
        let _ = writeln!(out, "start = \"{START:02X}\" # is searched for; what stands before it is skipped");
        let _ = writeln!(
            out,
            "length = {{ at = 1, type = \"u8\", add = {around} }} # the frame has {around} bytes more than its byte 1 says"
        );
        let _ = writeln!(out, "end = \"{END:02X}\"");
        self.check(out);
    }

    fn check(&self, out: &mut String) {
        let Some(algorithm) = self.checksum() else { return };
        let at = self.trailer();
        let order = match byte_order(&algorithm) {
            "big" => "",
            _ => ", byte_order = \"little\"",
        };
        let (name, to) = (algorithm.name(), at + 1);
        let _ = writeln!(out, "check = {{ {name} = \"0..-{to}\", at = -{at}{order} }} # of all bytes before it");
    }

    fn checksum(&self) -> Option<Algorithm> {
        self.device.checksum.and_then(Algorithm::named)
    }

    /// The number of bytes behind the fields.
    fn trailer(&self) -> usize {
        let checksum = self.checksum().map_or(0, |algorithm| usize::from(algorithm.bytes()));
        checksum + usize::from(self.device.framed)
    }

    fn frame(&self, out: &mut String, name: &str, kind: Option<u8>) {
        let _ = writeln!(out, "\n[[frame]]\nname = \"{name}\"");
        let header = if self.device.framed { 2 } else { 0 };
        if let Some(kind) = kind {
            let _ = writeln!(
                out,
                "when = {{ at = {header}, equals = {kind} }} # byte {header} tells which layout follows"
            );
        }
        if !self.device.framed {
            self.check(out);
        }
        let _ = writeln!(out, "fields = [");
        match (self.device.framed, kind) {
            (true, Some(_)) => out.push_str("  { skip = 3 }, # start, length and the layout's number\n"),
            (true, None) => out.push_str("  { skip = 2 }, # start and length\n"),
            (false, Some(_)) => out.push_str("  { skip = 1 }, # the layout's number\n"),
            (false, None) => {}
        }
    }

    fn fixed(&self, out: &mut String) -> Vec<Message> {
        self.frame(out, "report", None);
        self.lines(out, &self.live);
        self.choice(out);
        out.push_str("]\n");
        vec![Message::of("report", &[], &self.live)]
    }

    fn frames(&self, out: &mut String) -> Vec<Message> {
        // What a device says at once when it happens.
        let event = self.live.iter().find(|line| !line.is_number()).or(self.live.first()).cloned();
        let event: Vec<Line> = event.into_iter().collect();
        self.frame(out, "report", Some(1));
        self.lines(out, &self.live);
        self.choice(out);
        out.push_str("]\n");
        self.frame(out, "event", Some(2));
        self.lines(out, &event);
        out.push_str("]\n");
        vec![Message::of("report", &[1], &self.live), Message::of("event", &[2], &event)]
    }

    fn tags(&self, out: &mut String) -> Vec<Message> {
        let cases = self.cases();
        let tags = format!(
            "  # Tag, length, value, until the bytes end. Without `length`, each tag's block must know its own.\n  \
             {{ tags = {{ tag = \"u8\", length = \"u8\" }}, cases = {{ {cases} }}, otherwise = \"skip\" }},\n]\n"
        );
        self.frame(out, "report", None);
        match self.trailer() {
            0 => out.push_str(&tags),
            behind => {
                let _ = write!(
                    out,
                    "  {{ use = \"values\", length = \"remaining - {behind}\" }}, # up to what stands behind them\n]\n\n\
                     [block.values]\nfields = [\n{tags}"
                );
            }
        }
        self.tag_blocks(out);
        let mut message = Message::of("report", &[], &self.live);
        for (tag, part) in (1u8..).zip(&mut message.parts) {
            part.splice(..0, [tag, part.len() as u8]);
        }
        vec![message]
    }

    fn cases(&self) -> String {
        let cases: Vec<String> = (1..=self.live.len()).map(|tag| format!("{tag} = \"tag_{tag}\"")).collect();
        cases.join(", ")
    }

    fn tag_blocks(&self, out: &mut String) {
        for (index, line) in self.live.iter().enumerate() {
            let _ = writeln!(out, "\n[block.tag_{}]\nfields = [", index + 1);
            self.lines(out, std::slice::from_ref(line));
            if index + 1 == self.live.len() {
                self.choice(out);
            }
            out.push_str("]\n");
        }
    }

    fn records(&self, out: &mut String) -> Vec<Message> {
        const COUNT: u32 = 2;
        // What every class has is said once, of the device; the rest is measured again and again.
        let (head, record): (Vec<Line>, Vec<Line>) = self.live.iter().cloned().partition(|line| line.common);
        let (head, record) = if record.is_empty() { (record, head) } else { (head, record) };
        self.frame(out, "report", None);
        self.lines(out, &head);
        out.push_str("  { let = \"count\", type = \"u8\" }, # how many readings follow\n");
        out.push_str(
            "  { repeat = \"record\", count = \"count\", record = true }, # each is a reading of its own\n]\n",
        );
        out.push_str("\n[block.record]\nfields = [\n");
        out.push_str("  { name = \"time\", type = \"u32\", time = \"unix\" }, # when it was measured\n");
        self.lines(out, &record);
        self.choice(out);
        out.push_str("]\n");
        let mut message = Message { name: "report", parts: Vec::new(), readings: Vec::new() };
        message.parts.extend(head.iter().map(|line| line.bytes.clone()));
        message.parts.push(vec![COUNT as u8]);
        for time in (0..COUNT).map(Moment) {
            message.parts.push(time.bytes());
            message.parts.extend(record.iter().map(|line| line.bytes.clone()));
            let values = head.iter().chain(&record).map(|line| line.expect.clone());
            message.readings.push([format!("time = \"{}\"", time.text())].into_iter().chain(values).collect());
        }
        vec![message]
    }

    fn lines(&self, out: &mut String, lines: &[Line]) {
        for Line { toml, comment, .. } in lines {
            let _ = writeln!(out, "  {toml} # {comment}");
        }
    }

    /// The fields that the class knows besides, as comments.
    fn choice(&self, out: &mut String) {
        if self.others.is_empty() {
            return;
        }
        out.push_str(match self.device.shape {
            Shape::Tags => "  # What else the class knows. What the device sends goes into the block of its tag:\n",
            _ => "  # What else the class knows. Take what the device sends, as the manual has it:\n",
        });
        for Line { toml, comment, .. } in &self.others {
            let _ = writeln!(out, "  # {toml} # {comment}");
        }
    }

    fn example(&self, out: &mut String, message: &Message) {
        let tables: Vec<String> =
            message.readings.iter().map(|fields| format!("{{ {} }}", fields.join(", "))).collect();
        let expect = match tables.as_slice() {
            [table] => format!("expect = {table}"),
            tables => format!("expect_readings = [\n  {},\n]", tables.join(",\n  ")),
        };
        let (name, payload) = (message.name, spaced(&self.payload(message)));
        let _ = write!(
            out,
            "\n[[example]]\nname = \"{name}\"\nsource = \"own: made up by `citywire profile new`, to be replaced\"\n\
             payload = \"{payload}\"\n{expect}\n"
        );
    }

    fn refused_example(&self, out: &mut String, message: &Message) {
        let mut parts = self.payload(message);
        let checksum = parts.len().checked_sub(1 + usize::from(self.device.framed));
        if let Some(byte) = checksum.and_then(|index| parts.get_mut(index)?.last_mut()) {
            *byte ^= 0xFF;
        }
        let _ = write!(
            out,
            "\n[[example]]\nname = \"{name}, wrong checksum\"\nsource = \"own: the same with a wrong checksum\"\n\
             payload = \"{}\"\nrefused = \"checksum\"\n",
            spaced(&parts),
            name = message.name,
        );
    }

    /// The message with framing and checksum, in parts.
    fn payload(&self, message: &Message) -> Vec<Vec<u8>> {
        let length = message.parts.iter().map(Vec::len).sum::<usize>();
        let mut parts = Vec::new();
        if self.device.framed {
            // A handful of fields: far below 255 bytes.
            parts.push(vec![START, length as u8]);
        }
        parts.extend(message.parts.iter().cloned());
        if let Some(algorithm) = self.checksum() {
            let value = algorithm.compute(&parts.concat()).to_be_bytes();
            let mut checksum = value[value.len() - usize::from(algorithm.bytes())..].to_vec();
            if byte_order(&algorithm) == "little" {
                checksum.reverse();
            }
            parts.push(checksum);
        }
        if self.device.framed {
            parts.push(vec![END]);
        }
        parts
    }
}

impl Message {
    fn of(name: &'static str, head: &[u8], lines: &[Line]) -> Message {
        let head = Some(head.to_vec()).filter(|head| !head.is_empty());
        let parts = head.into_iter().chain(lines.iter().map(|line| line.bytes.clone())).collect();
        Message { name, parts, readings: vec![lines.iter().map(|line| line.expect.clone()).collect()] }
    }
}

/// In which order a checksum's bytes usually stand: that of Modbus sends the low byte first.
fn byte_order(algorithm: &Algorithm) -> &'static str {
    match algorithm.name() {
        "crc16_modbus" => "little",
        _ => "big",
    }
}

/// Bytes as hexadecimal digits, part by part.
fn spaced(parts: &[Vec<u8>]) -> String {
    let digits = |part: &Vec<u8>| part.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    parts.iter().map(digits).collect::<Vec<_>>().join(" ")
}
