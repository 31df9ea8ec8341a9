//! What commands print: tables for people, one JSON object a line for machines, bytes as hexadecimal digits.

use std::io::{self, Write};

use serde::Serialize;

use crate::problem::columns;

/// Prints lines of cells below a heading, each column as wide as its widest cell. The last one is left as it is.
pub(super) fn table<const N: usize>(
    out: &mut impl Write,
    heading: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = heading.map(columns);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    for row in std::iter::once(&heading.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let padding = width - columns(cell);
            line.push_str(cell);
            line.push_str(&" ".repeat(padding + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Prints one JSON object a line.
pub(super) fn json_lines<T: Serialize>(
    out: &mut impl Write,
    items: impl IntoIterator<Item = T>,
) -> Result<(), super::Failure> {
    for item in items {
        serde_json::to_writer(&mut *out, &item).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Prints bytes as `offset  16 bytes  |text|`.
pub(super) fn hex_dump(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let text: String = chunk.iter().map(shown).collect();
        writeln!(out, "  {:04x}  {:47}  |{text}|", line * 16, hexadecimal(chunk, " "))?;
    }
    Ok(())
}

/// Bytes as hexadecimal digits, with this between two bytes.
pub(super) fn hexadecimal(bytes: &[u8], separator: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator)
}

/// Foreign text, safe to print: without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_s_columns_stand_below_each_other() {
        let mut out = Vec::new();
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        table(&mut out, ["NAME", "MEANING"], &[row("a", "short"), row("水表-1", "")]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME    MEANING\na       short\n水表-1\n");
    }

    #[test]
    fn bytes_are_shown_with_their_offset_and_as_text() {
        let mut out = Vec::new();
        hex_dump(&mut out, b"0123456789abcdef\x00\x7f").unwrap();
        let expected = "  0000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n  \
                          0010  00 7f                                            |..|\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
