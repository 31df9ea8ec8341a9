//! A reader of line protocol by the reference, to hold the encoder against: for its tests and for fuzzing.

/// What a reader of line protocol sees: the names and tags as they are, the values still in their written form.
#[derive(Debug, PartialEq)]
pub struct Read {
    pub measurement: String,
    pub tags: Vec<(String, String)>,
    pub fields: Vec<(String, String)>,
    pub time: i64,
}

/// Reads one line by the reference: escapes in names before `,`, `=` and space, in texts before `"` and `\`.
pub fn parse(line: &str) -> Option<Read> {
    let mut rest = line.strip_suffix('\n')?;
    if rest.contains('\n') {
        return None;
    }
    let measurement = take_name(&mut rest, ", ");
    let mut tags = Vec::new();
    while let Some(after) = rest.strip_prefix(',') {
        rest = after;
        let key = take_name(&mut rest, "=");
        rest = rest.strip_prefix('=')?;
        tags.push((key, take_name(&mut rest, ", ")));
    }
    let mut fields = Vec::new();
    rest = rest.strip_prefix(' ')?;
    loop {
        let key = take_name(&mut rest, "=");
        rest = rest.strip_prefix('=')?;
        fields.push((key, take_value(&mut rest)?));
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => break,
        }
    }
    Some(Read { measurement, tags, fields, time: rest.strip_prefix(' ')?.parse().ok()? })
}

fn take_name(rest: &mut &str, ends: &str) -> String {
    let mut name = String::new();
    let mut chars = rest.char_indices().peekable();
    let mut end = rest.len();
    while let Some((index, char)) = chars.next() {
        if char == '\\' && chars.peek().is_some_and(|&(_, next)| ",= ".contains(next)) {
            name.push(chars.next().expect("peeked").1);
        } else if ends.contains(char) {
            end = index;
            break;
        } else {
            name.push(char);
        }
    }
    *rest = &rest[end..];
    name
}

fn take_value(rest: &mut &str) -> Option<String> {
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' '])?;
        let value = rest[..end].to_string();
        *rest = &rest[end..];
        return Some(value);
    };
    let mut text = String::from('"');
    let mut chars = quoted.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '\\' => text.push(chars.next()?.1),
            '"' => {
                *rest = &quoted[index + 1..];
                return Some(text);
            }
            char => text.push(char),
        }
    }
    None
}
