//! Any text is an expression or a mistake in a place of it, and any values give a finite number or none.
#![no_main]

use citywire::decode::expression::{Expression, names};
use libfuzzer_sys::fuzz_target;

// Nine bytes for each of three variables, the last of them for "not read"; then the text.
fuzz_target!(|data: &[u8]| {
    let Some((values, text)) = data.split_first_chunk::<27>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let value = |number: u16| {
        let bytes = values.chunks_exact(9).nth(number.into())?;
        let float = f64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        (bytes[8] & 1 == 0).then_some(float)
    };
    let number = |name: &str| ["a", "b", "c"].iter().position(|known| *known == name).map(|index| index as u16);
    match Expression::parse(text, &mut |name| number(name)) {
        Ok(expression) => {
            assert!(expression.variables().all(|variable| variable < 3), "only what was resolved");
            let first = expression.evaluate(value);
            assert!(first.is_none_or(f64::is_finite), "{text}: {first:?}");
            assert_eq!(first.map(f64::to_bits), expression.evaluate(value).map(f64::to_bits), "{text}");
            let again = Expression::parse(expression.text(), &mut |name| number(name));
            assert!(again.as_ref().is_ok_and(|again| *again == expression), "{text}");
        }
        Err(error) => {
            assert!(error.at.start <= error.at.end && error.at.end <= text.len(), "{text:?}: {error:?}");
            assert!(
                text.is_char_boundary(error.at.start) && text.is_char_boundary(error.at.end),
                "{text:?}: {error:?}"
            );
            assert!(!error.message.is_empty());
        }
    }
    let _ = names(text);
});
