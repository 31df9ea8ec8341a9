//! What expressions mean, what is refused, and that nothing written makes either panic.

use super::*;

/// `x` is 5, `word` 0xB6, `negative` -3, `half` 0.5, `volume` 123456; `missing` and `lost` were not read.
const VARIABLES: [(&str, Option<f64>); 8] = [
    ("x", Some(5.0)),
    ("word", Some(182.0)),
    ("negative", Some(-3.0)),
    ("half", Some(0.5)),
    ("volume", Some(123_456.0)),
    ("missing", None),
    ("lost", Some(f64::NAN)),
    ("min", Some(7.0)),
];

fn resolve(name: &str) -> Option<u16> {
    VARIABLES.iter().position(|(known, _)| *known == name).map(|index| index as u16)
}

fn parse(text: &str) -> Result<Expression, ExpressionError> {
    Expression::parse(text, &mut resolve)
}

fn value(expression: &Expression) -> Option<f64> {
    expression.evaluate(|variable| VARIABLES[usize::from(variable)].1)
}

fn check<V: Into<Option<f64>>>(text: &str, expected: V) {
    let expression = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(value(&expression), expected.into(), "{text}");
}

#[test]
fn numbers_are_decimal_or_hexadecimal() {
    let f = check;
    f("12", 12.0);
    f(" 1.5\n", 1.5);
    f(".5", 0.5);
    f("1e3", 1000.0);
    f("1E-3 + 1e+3", 1000.001);
    f("0x1F", 31.0);
    f("0xe-3", 11.0);
    f("0x20000000000000", 9_007_199_254_740_992.0);
}

#[test]
fn operators_compute() {
    let f = check;
    f("7 + 2 - 4", 5.0);
    f("x * 4 / 10", 2.0);
    f("7 // 2", 3.0);
    f("-7 // 2", -4.0);
    f("7 // -2", -4.0);
    f("-8 // 2", -4.0);
    f("1 // 0.1", 9.0);
    f("7 % 3", 1.0);
    f("-1 % 8", 7.0);
    f("1 % -8", -7.0);
    f("-8 % 8", 0.0);
    f("5.5 % 2", 1.5);
    f("2 ^ 10", 1024.0);
    f("2 ^ -1", 0.5);
    f("word & 0xF0", 176.0);
    f("word | 1", 183.0);
    f("word xor 0xFF", 73.0);
    f("~word", -183.0);
    f("negative & 0xFF", 253.0);
    f("negative >> 1", -2.0);
    f("1 << 53", 9_007_199_254_740_992.0);
    f("0 << 63", 0.0);
    f("word >> 63", 0.0);
    f("x == 5", 1.0);
    f("x != 5", 0.0);
    f("x < 5", 0.0);
    f("x <= 5", 1.0);
    f("x > 4", 1.0);
    f("x >= 6", 0.0);
    f("not x", 0.0);
    f("not not x", 1.0);
    f("x and half", 1.0);
    f("0 or half", 1.0);
    f("0 or 0 or 0", 0.0);
    f("1 and 1 and 0", 0.0);
}

#[test]
fn functions_compute() {
    let f = check;
    f("if(x > 3, 10, 20)", 10.0);
    f("if(x < 3, 10, if(0, 1, 2))", 2.0);
    f("min(3, 1, 2)", 1.0);
    f("max(1, 2, 3, 4, 5, 6, 7, 8)", 8.0);
    f("abs(negative)", 3.0);
    f("sign(negative) + sign(0) * 5 + sign(x) * 10", 9.0);
    f("floor(-1.5)", -2.0);
    f("ceil(-1.5)", -1.0);
    f("sqrt(16)", 4.0);
    f("exp(0)", 1.0);
    f("ln(exp(1))", 1.0);
    f("log10(1000)", 3.0);
    f("pow(2, 8)", 256.0);
    f("bit(word, 2)", 1.0);
    f("bit(word, 3)", 0.0);
    f("bits(word, 4, 7)", 11.0);
    f("bits(word, x, x)", 1.0);
    f("bits(-1, 0, 15)", 65_535.0);
    f("bits(-1, 60, 63)", 15.0);
    f("min + min(min, 8)", 14.0);
}

#[test]
fn operators_bind_as_in_python() {
    let f = |bare: &str, bracketed: &str| {
        let (bare, bracketed) = (parse(bare).unwrap(), parse(bracketed).unwrap());
        assert_eq!(bare, bracketed);
    };
    f("word & 4 != 0", "(word & 4) != 0");
    f("1 + 2 * 3", "1 + (2 * 3)");
    f("10 - 4 - 3", "(10 - 4) - 3");
    f("100 / 10 * 2", "(100 / 10) * 2");
    f("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)");
    f("-2 ^ 2", "-(2 ^ 2)");
    f("2 ^ -x ^ 2", "2 ^ (-(x ^ 2))");
    f("2 * -x", "2 * (-x)");
    f("~x & 3", "(~x) & 3");
    f("1 << 2 + 3", "1 << (2 + 3)");
    f("1 << 2 & 7", "(1 << 2) & 7");
    f("1 | 2 xor 3 & 4", "1 | (2 xor (3 & 4))");
    f("1 | 2 == 3", "(1 | 2) == 3");
    f("not x == 5", "not (x == 5)");
    f("not 0 and 0", "(not 0) and 0");
    f("1 or 0 and 0", "1 or (0 and 0)");
    f("x < 3 or x > 4 and not x == 5", "(x < 3) or ((x > 4) and (not (x == 5)))");
}

#[test]
fn what_is_not_needed_may_be_missing() {
    let f = check::<Option<f64>>;
    f("missing", None);
    f("missing + 1", None);
    f("missing * 0", None);
    f("0 and missing", Some(0.0));
    f("1 and missing", None);
    f("1 or missing", Some(1.0));
    f("0 or missing", None);
    f("missing or 1", None);
    f("1 or missing or missing", Some(1.0));
    f("0 and missing and missing", Some(0.0));
    f("if(x, 1, missing)", Some(1.0));
    f("if(0, missing, 2)", Some(2.0));
    f("if(missing, 1, 2)", None);
    f("has(missing)", Some(0.0));
    f("has(x)", Some(1.0));
    f("has(missing) and missing > 3", Some(0.0));
    f("default(missing, 9)", Some(9.0));
    f("default(x, missing)", Some(5.0));
    f("default(missing, default(missing, missing))", None);
    f("1 + default(missing, x * 2) * 3", Some(31.0));
    f("1 + default(x, 2) * 3", Some(16.0));
    // What is no number, as an f32 of a faulty sensor, was not read.
    f("lost", None);
    f("has(lost)", Some(0.0));
    f("default(lost, 1)", Some(1.0));
}

#[test]
fn what_has_no_finite_value_has_none() {
    let f = |text| check(text, None);
    f("1 / 0");
    f("1 // 0");
    f("1 % 0");
    f("0 / 0");
    f("0 ^ -1");
    f("(-8) ^ 0.5");
    f("1e308 * 10");
    f("1 / (1e308 * 10)");
    f("sqrt(-1)");
    f("ln(0)");
    f("log10(-1)");
    f("exp(1000)");
    f("decimal(1, 400)");
    f("decimal(1, 0.5)");
    f("round(1, 0.5)");
    f("round(1, 23)");
    // Bits of what is not whole, or not exact.
    f("half & 1");
    f("1 | half");
    f("~half");
    f("1e17 & 1");
    f("1 << 54");
    f("1 << 64");
    f("1 << -1");
    f("x >> half");
    f("bit(x, 64)");
    f("bits(x, 3, 2)");
    f("bits(-1, 0, 63)");
    f("~9007199254740992");
}

#[test]
fn rounding_goes_by_the_decimal_number_that_is_shown_and_half_away_from_zero() {
    let f = check;
    f("round(2.5)", 3.0);
    f("round(-2.5)", -3.0);
    f("round(2.675, 2)", 2.68);
    f("round(-2.675, 2)", -2.68);
    f("round(1.005, 2)", 1.01);
    f("round(0.125, 2)", 0.13);
    f("round(2.6749999, 2)", 2.67);
    f("round(0.1 + 0.2, 3)", 0.3);
    f("round(9.995, 2)", 10.0);
    f("round(12350, -2)", 12_400.0);
    f("round(49, -2)", 0.0);
    f("round(50, -2)", 100.0);
    f("round(1e300, 2)", 1e300);
    f("round(5e-324, 22)", 0.0);
    f("round(1e-18 * 5, 17)", 1e-17);
    f("round(1.23, 5)", 1.23);
    f("round(0, 2)", 0.0);
    f("round(9007199254740993.0 / 1024, 2)", 8_796_093_022_208.0);
    // The last digit of 17 goes, and 16 are more than 53 bits.
    f("round(0.90071992547409935, 16)", 0.900_719_925_474_099_4);
}

#[test]
fn decimals_are_rounded_once() {
    let f = check;
    f("decimal(12345, -2)", 123.45);
    f("decimal(volume, -3)", 123.456);
    f("decimal(-7, -1)", -0.7);
    f("decimal(3, 22)", 3e22);
    f("decimal(3, -22)", 3e-22);
    f("decimal(3, -23)", 3e-23);
    f("decimal(-1.5, 30)", -1.5e30);
    f("decimal(123456789012345, -300)", 123_456_789_012_345e-300);
    f("decimal(1, -400)", 0.0);
    f("decimal(1, -9007199254740992)", 0.0);
    for mantissa in 0..2_000 {
        for places in 0..6 {
            let expected: f64 = format!("{mantissa}e-{places}").parse().unwrap();
            check(&format!("decimal({mantissa}, -{places})"), expected);
        }
    }
}

#[test]
fn zero_has_no_sign() {
    for text in ["-0", "0 * -1", "round(-0.4)", "round(-0.004, 2)"] {
        let zero = value(&parse(text).unwrap()).unwrap();
        assert!(zero == 0.0 && zero.is_sign_positive(), "{text}");
    }
}

#[test]
fn an_expression_without_variables_is_a_constant() {
    let f = |text: &str, expected: Option<f64>| assert_eq!(parse(text).unwrap().constant(), expected, "{text}");
    f("2 ^ 8 - 1", Some(255.0));
    f("x", None);
    f("has(x)", None);
    f("default(x, 1)", None);
    f("1 or x", None);
    f("1 / 0", None);
}

#[test]
fn an_expression_tells_its_variables() {
    let expression = parse("default(missing, x) + has(half) * x").unwrap();
    assert_eq!(expression.variables().collect::<Vec<u16>>(), [5, 0, 3, 0]);
}

#[test]
fn names_are_told_before_they_are_known() {
    let f = |text: &str, expected: &[&str]| assert_eq!(names(text), expected, "{text}");
    f("a + b * a", &["a", "b"]);
    f("if(has(a), min (b, c), 0x1F) and not d", &["a", "b", "c", "d"]);
    f("min + min(1, 2)", &["min"]);
    f("1 + 2", &[]);
    f("", &[]);
    f("a + + ) b", &["a", "b"]);
    f("a + b = c", &["a"]);
    f("a € b", &[]);
    f(&format!("a + {} + b", "1".repeat(1_000)), &["a"]);
}

#[test]
fn what_is_no_expression_is_refused_at_its_place_with_a_help() {
    let f = |text: &str, place: &str, message: &str, help: &str| {
        let error = parse(text).expect_err(text);
        assert_eq!((error.message.as_str(), error.help.as_deref().unwrap_or_default()), (message, help), "{text}");
        assert_eq!(&text[error.at.clone()], place, "{text}: {error}");
        if place.is_empty() {
            assert_eq!(error.at, text.len()..text.len(), "{text}: {error}");
        }
    };
    f("", "", "the expression is empty", "");
    f("1 +", "", "a value is missing at the end", "");
    f("1 + * 2", "*", "a value is missing in front of `*`", "");
    f("()", ")", "a value is missing in front of `)`", "");
    f("min(1, )", ")", "a value is missing in front of `)`", "");
    f(
        "1 + not x",
        "not",
        "`not` binds too loosely to stand behind this operator",
        "put brackets around it: `(not …)`",
    );
    f("x x", "x", "an operator is missing in front of `x`", "");
    f("2 (3)", "(", "an operator is missing in front of `(`", "");
    f("x (3)", "x", "`x` is no function", "an operator is missing in front of the bracket");
    f("(1 + 2", "(", "this bracket is not closed", "");
    f("abs(1", "(", "this bracket is not closed", "");
    f("1)", ")", "`)` has no `(`", "");
    let point = "decimals are written with a point: 1.5";
    f("1,5", ",", "`,` does not stand between the arguments of a function", point);
    f("(1,5)", ",", "`,` does not stand between the arguments of a function", point);

    let comparison = "comparisons cannot be chained";
    let rest = "or put brackets around what is meant to give 1 or 0";
    f("1 < x + 1 < 5", "<", comparison, &format!("write `1 < x + 1 and x + 1 < …`, {rest}"));

    f("x = 5", "=", "`=` has no meaning here", "write == to compare");
    f("x === 5", "===", "`===` has no meaning here", "write `==`");
    f("x && 5", "&&", "`&&` has no meaning here", "write `and`");
    f("x || 5", "||", "`||` has no meaning here", "write `or`");
    f("!x", "!", "`!` has no meaning here", "write `not`");
    f("x ** 2", "**", "`**` has no meaning here", "write `^` for a power");
    f("x <> 2", "<>", "`<>` has no meaning here", "write `!=`");
    f("x >>> 2", ">>>", "`>>>` has no meaning here", "write `>>`");
    f("x ? 1 : 2", "?", "`?` has no meaning here", "write `if(condition, then, otherwise)`");
    f("x − 40", "−", "`−` has no meaning here", "write `-`");
    f("x ≤ 40", "≤", "`≤` has no meaning here", "write `<=`");
    f("x @ 40", "@", "`@` has no meaning here", "");
    f("x\u{7}", "\u{7}", "`\\u{7}` has no meaning here", "");
    f("20 °", "°", "`°` has no meaning here", "");

    let numbers = "numbers are written 12, 1.5, 1e-3 or 0x1F, and multiplied with `*`";
    f("2x", "2x", "`2x` is no number", numbers);
    f("1_000", "1_000", "`1_000` is no number", numbers);
    f("1.2.3", "1.2.3", "`1.2.3` is no number", numbers);
    f("1e", "1e", "`1e` is no number", numbers);
    f("0x", "0x", "`0x` is no number", numbers);
    f("0x1G", "0x1G", "`0x1G` is no number", numbers);
    f("1e999", "1e999", "`1e999` is too large", "");
    let large = "`0x20000000000001` is too large: bits are exact up to 0x20000000000000";
    f("0x20000000000001", "0x20000000000001", large, "");
    let large = "`0xFFFFFFFFFFFFFFFFF` is too large: bits are exact up to 0x20000000000000";
    f("0xFFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFFF", large, "");

    f("X + 1", "X", "`X` is no name: names have small letters, digits and `_`", "write `x`");
    f("x AND 1", "AND", "`AND` is no name: names have small letters, digits and `_`", "write `and`");
    f("1 + unread * 2", "unread", "`unread` is no variable that is read before", "");
    f("sqrt x", "sqrt", "`sqrt` is no variable that is read before", "the function is written `sqrt(a)`");
    f("true", "true", "`true` is no variable that is read before", "write 1");
    f("has(unread)", "unread", "`unread` is no variable that is read before", "");

    f("flor(x)", "flor", "`flor` is no function", "did you mean `floor`?");
    f("log(x)", "log", "`log` is no function", "write `ln(a)` or `log10(a)`");
    f("sinus(x)", "sinus", "`sinus` is no function", "");
    f("abs()", "abs()", "`abs` does not take 0 arguments", "it is written `abs(a)`");
    f("1 + min(x) + 1", "min(x)", "`min` does not take 1 argument", "it is written `min(a, b, …), up to 8`");
    f("if(1, 2)", "if(1, 2)", "`if` does not take 2 arguments", "it is written `if(condition, then, otherwise)`");
    let nine = "max(1, 2, 3, 4, 5, 6, 7, 8, 9)";
    f(nine, nine, "`max` does not take 9 arguments", "it is written `max(a, b, …), up to 8`");
    let alone = |name| format!("`{name}` asks whether a variable was read, so its name has to stand alone");
    f("has(1)", "1", &alone("has"), "it is written `has(name)`");
    f("has(x + 1)", "x +", &alone("has"), "it is written `has(name)`");
    f("default(x + 1, 2)", "x +", &alone("default"), "it is written `default(name, otherwise)`");
}

#[test]
fn an_unknown_variable_is_told_by_name() {
    assert_eq!(parse("1 + unread").unwrap_err().unknown.as_deref(), Some("unread"));
    assert_eq!(parse("1 + ").unwrap_err().unknown, None);
}

#[test]
fn text_nesting_and_operations_are_bounded() {
    let f = |fits: String, too_much: String, message: &str| {
        let help = Some("compute a part of it under a name of its own");
        parse(&fits).unwrap_or_else(|error| panic!("{fits}: {error}"));
        let error = parse(&too_much).expect_err(&too_much);
        assert_eq!((error.message.as_str(), error.help.as_deref()), (message, help), "{too_much}");
        assert!(!error.at.is_empty() && error.at.end <= too_much.len(), "{error:?}");
    };
    let padded = |length: usize| format!("{:<length$}", "1");
    f(padded(1_000), padded(1_001), "the expression is 1001 bytes long: at most 1000 are allowed");
    let accented = |times: usize| "é".repeat(times);
    assert_eq!(parse(&accented(501)).unwrap_err().at, 1_000..1_002);

    let deep = "the expression is nested more than 16 deep";
    let brackets = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    f(brackets(16), brackets(17), deep);
    let calls = |depth: usize| format!("{}1{}", "abs(".repeat(depth), ")".repeat(depth));
    f(calls(16), calls(17), deep);
    let powers = |depth: usize| format!("1{}", "^1".repeat(depth));
    f(powers(16), powers(17), deep);

    let many = "the expression has more than 128 operations";
    let sum = |terms: usize| vec!["1"; terms].join("+");
    f(format!("-({})", sum(64)), format!("--({})", sum(64)), many);
    let signs = |count: usize| format!("{}1", "-".repeat(count));
    f(signs(127), signs(128), many);
}

#[test]
fn the_deepest_stack_has_room() {
    // At each level, all of these wait for what the brackets give.
    let level = "1 == 1 | 1 xor 1 & 1 << 1 + 1 * (";
    let text = format!("{}1{}", level.repeat(9), ")".repeat(9));
    let expression = parse(&text).unwrap();
    assert!(expression.height > 60, "{}", expression.height);
    assert!(value(&expression).is_some());
}

#[test]
fn no_text_makes_it_panic_or_leave_its_bounds() {
    let pieces: Vec<&str> =
        "1 2 0 0.5 1e3 0x1F 1e308 9007199254740992 x word negative missing lost unread x half ( ( ) ) , \
        , + - * / // % ^ & | xor ~ << >> == != < >= and or not if( has( default( min( max( abs( round( decimal( \
        bit( bits( sqrt( ln( pow( = ! é if(x,1,2) default(missing,3)"
            .split(' ')
            .collect();
    let mut random = fastrand::Rng::with_seed(3);
    let (mut parsed, mut valued) = (0, 0);
    for _ in 0..20_000 {
        let longest = [4, 8, 300][random.usize(..3)];
        let count = random.usize(1..=longest);
        let mut text = String::new();
        for _ in 0..count {
            text += pieces[random.usize(..pieces.len())];
            text += if random.u8(..4) == 0 { "" } else { " " };
        }
        examine(&text, &mut parsed, &mut valued);
        // And with a character changed.
        let changed: String =
            text.chars().map(|c| if random.usize(..count) == 0 { random.char('\0'..'\u{3FF}') } else { c }).collect();
        examine(&changed, &mut parsed, &mut valued);
    }
    assert!(parsed > 500 && valued > 200, "only {parsed} expressions, {valued} with a value");
}

fn examine(text: &str, parsed: &mut u32, valued: &mut u32) {
    let names = names(text);
    match parse(text) {
        Err(error) => {
            assert!(text.get(error.at.clone()).is_some(), "{text:?}: {error:?}");
            let is_its_name = |name: &String| text[error.at.clone()] == *name && names.contains(&name.as_str());
            assert!(error.unknown.as_ref().is_none_or(is_its_name), "{text:?}: {error:?}");
        }
        Ok(expression) => {
            *parsed += 1;
            assert!(expression.operations.len() <= OPERATIONS_MAX && expression.height <= OPERATIONS_MAX);
            assert_eq!(expression.variables().count() == 0, names.is_empty(), "{text:?}");
            let value = value(&expression);
            *valued += u32::from(value.is_some());
            assert!(value.is_none_or(f64::is_finite), "{text:?}");
        }
    }
}

/// A random expression in as few brackets as the table of precedence allows, beside the same with all of them.
fn bare_and_bracketed(random: &mut fastrand::Rng, depth: u32) -> (String, String, u8) {
    // From loose to tight, as the documentation numbers them from 12 down.
    const OPERATORS: [(&str, u8); 10] = [
        ("or", 1),
        ("and", 2),
        ("== <", 4),
        ("|", 5),
        ("xor", 6),
        ("&", 7),
        ("<< >>", 8),
        ("+ -", 9),
        ("* / // %", 10),
        ("^", 12),
    ];
    const ALONE: u8 = 13;
    if depth == 0 || random.u8(..5) == 0 {
        let operand = ["1", "2", "x", "half", "negative", "missing", "has(x)"][random.usize(..7)];
        return (operand.to_owned(), operand.to_owned(), ALONE);
    }
    let within = |bare: String, holds: bool| if holds { bare } else { format!("({bare})") };
    if random.u8(..5) == 0 {
        let (sign, tightness) = [("-", 11), ("~", 11), ("not ", 3)][random.usize(..3)];
        let (bare, bracketed, inner) = bare_and_bracketed(random, depth - 1);
        return (format!("{sign}{}", within(bare, inner >= tightness)), format!("({sign}{bracketed})"), tightness);
    }
    let (operators, tightness) = OPERATORS[random.usize(..OPERATORS.len())];
    let operators: Vec<&str> = operators.split(' ').collect();
    let operator = operators[random.usize(..operators.len())];
    let (left, left_bracketed, left_tightness) = bare_and_bracketed(random, depth - 1);
    let (right, right_bracketed, right_tightness) = bare_and_bracketed(random, depth - 1);
    let (left_holds, right_holds) = match operator {
        "^" => (left_tightness > tightness, right_tightness >= 11),
        "==" | "<" => (left_tightness > tightness, right_tightness > tightness),
        _ => (left_tightness >= tightness, right_tightness > tightness),
    };
    let bare = format!("{} {operator} {}", within(left, left_holds), within(right, right_holds));
    (bare, format!("({left_bracketed} {operator} {right_bracketed})"), tightness)
}

#[test]
fn brackets_that_precedence_makes_needless_change_nothing() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..5_000 {
        let (bare, bracketed, _) = bare_and_bracketed(&mut random, 5);
        if bare.len().max(bracketed.len()) > TEXT_BYTES_MAX {
            continue;
        }
        assert_eq!(parse(&bare), parse(&bracketed).map_err(|error| panic!("{bracketed}: {error}")), "{bare}");
    }
}
