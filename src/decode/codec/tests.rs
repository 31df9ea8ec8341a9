//! What a script finds, what it may do, and that nothing of a message is left for the next.

use super::*;

mod hostile;

const RECEIVED: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// What the script makes of these bytes on port 10: its JSON, or why there is none.
fn given(codec: &Codec, bytes: &[u8]) -> String {
    let mut json = String::new();
    let call = Call { bytes, port: Some(10), received: Some(RECEIVED) };
    match codec.run(call, &mut json) {
        Ok(_) => json,
        Err(error) => error.to_string(),
    }
}

fn load(source: &str) -> Codec {
    Codec::load("codec.js", source, None).unwrap_or_else(|error| panic!("{error}: {source}"))
}

/// The script gives this for the bytes 01 02 FF, twice in one engine and once in a new one.
fn f(source: &str, expected: &str) {
    let codec = load(source);
    for _ in 0..2 {
        assert_eq!(given(&codec, &[1, 2, 0xFF]), expected, "{source}");
    }
    let other = std::thread::scope(|scope| scope.spawn(|| given(&codec, &[1, 2, 0xFF])).join().expect("no panic"));
    assert_eq!(other, expected, "in a new engine: {source}");
}

/// The same for the body of a TS013 codec that gives `data`.
fn data(body: &str, expected: &str) {
    f(&format!("function decodeUplink(input) {{ {body}; return {{ data: data }}; }}"), expected);
}

#[test]
fn every_form_is_called_in_its_own_way() {
    f(
        "function decodeUplink(input) { return { data: { b: input.bytes, p: input.fPort, t: input.recvTime }, warnings: ['w'] } }",
        r#"{"b":[1,2,255],"p":10,"t":"2023-11-14T22:13:20.000Z"}"#,
    );
    f("function Decoder(bytes, port) { return { n: bytes.length, port: port } }", r#"{"n":3,"port":10}"#);
    f("function Decode(fPort, bytes, variables) { return { n: bytes.length, p: fPort } }", r#"{"n":3,"p":10}"#);
    f("function milesightDeviceDecode(bytes) { return { n: bytes.length } }", r#"{"n":3}"#);
    f(
        "exports.decodeUplink = function (input) { return { x: input.bytes.readUInt16BE(1), time: input.time } }",
        r#"{"x":767,"time":"2023-11-14T22:13:20.000Z"}"#,
    );
    f("module.exports = { driver: { decodeUplink: (i) => ({ data: { n: i.bytes.length } }) } }", r#"{"n":3}"#);
    f("var driver = { decodeUplink(i) { return { data: { p: i.fPort } } } }", r#"{"p":10}"#);
    f("const decodeUplink = (input) => ({ data: [1] });", "[1]");
}

#[test]
fn a_script_of_several_forms_is_called_in_the_first_or_in_the_one_that_is_wanted() {
    let source = "function Decode(p, b) { return { as: 'v3' } }\nfunction decodeUplink(i) { return { data: { as: 'ts013' } } }";
    f(source, r#"{"as":"ts013"}"#);
    let wanted = Codec::load("codec.js", source, Some(Form::ChirpStackV3)).expect("a codec");
    assert_eq!(given(&wanted, &[]), r#"{"as":"v3"}"#);
    let missing = Codec::load("codec.js", source, Some(Form::TheThingsNetworkV2)).unwrap_err().to_string();
    assert_eq!(missing, "codec.js defines no `Decoder`, which the form the-things-network-v2 needs");
    let none = Codec::load("codec.js", "var x = 1;", None).unwrap_err().to_string();
    assert!(none.starts_with("codec.js defines none of: decodeUplink, Decoder,"), "{none}");
}

#[test]
fn errors_name_the_line() {
    f(
        "// one\nfunction decodeUplink(input) {\n  return input.missing.member;\n}",
        "codec.js, line 3: throws TypeError: cannot read property 'member' of undefined",
    );
    f(
        "function decodeUplink() {\n  throw new Error('no such port') }",
        "codec.js, line 2: throws Error: no such port",
    );
    f("function decodeUplink() { throw 'up' }", "codec.js: throws up");
    f("function decodeUplink() { return { errors: ['a', 'b'] } }", "codec.js: tells an error: a; b");
    f("function decodeUplink() { return { data: { x: 1 }, errors: [] } }", r#"{"x":1}"#);
    f("function Decoder() { return { errors: 'unknown' } }", "codec.js: tells an error: unknown");
    let loading = |source: &str| Codec::load("codec.js", source, None).unwrap_err().to_string();
    assert_eq!(
        loading("function decodeUplink() {\n  return {;\n}"),
        "codec.js, line 2: throws SyntaxError: invalid property name"
    );
    assert_eq!(loading("\nnowhere();"), "codec.js, line 2: throws ReferenceError: nowhere is not defined");
}

#[test]
fn whatever_is_thrown_is_told_as_what_it_is() {
    // Whether its line is known, and its words.
    let cases = [
        // Errors, which know their line.
        ("new Error('no such port')", true, "Error: no such port"),
        ("new RangeError", true, "RangeError"),
        ("new InternalError('own')", true, "InternalError: own"),
        ("Object.assign(new Error('x'), { name: 'Fault' })", true, "Fault: x"),
        ("Object.assign(new Error('x'), { name: null, message: 7 })", true, "7"),
        ("{ message: 'too short', stack: new Error().stack }", true, "too short"),
        ("new (class extends Error { get name() { throw 1 } })('x')", true, "x"),
        // Values, which do not.
        ("'up'", false, "up"),
        ("''", false, "an empty text"),
        ("null", false, "null"),
        ("undefined", false, "undefined"),
        ("false", false, "false"),
        ("0", false, "0"),
        ("12n", false, "12"),
        ("Symbol('s')", false, "Symbol(s)"),
        ("{ message: 'too short' }", false, "too short"),
        ("{ name: 'Fault', message: 'too short' }", false, "Fault: too short"),
        ("{ code: 7 }", false, r#"{"code":7}"#),
        ("{}", false, "{}"),
        ("Object.create(null)", false, "an object that cannot be shown"),
        ("[1, 'two']", false, r#"[1,"two"]"#),
        ("{ toString() { return 'own words' } }", false, "own words"),
        ("function () {}", false, "a function"),
        ("new Date(NaN)", false, "Invalid Date"),
        // Those that throw again when they are asked.
        ("{ toString() { throw 'again' } }", false, "an object that cannot be shown"),
        ("{ toString() { return {} } }", false, "an object that cannot be shown"),
        ("{ get message() { throw new Error('again') } }", false, "an object that cannot be shown"),
        ("{ get stack() { throw 1 }, message: 'x' }", false, "x"),
        ("new Proxy({}, { get() { throw 'again' } })", false, "an object that cannot be shown"),
        ("new Proxy({}, { getPrototypeOf() { throw 'again' } })", false, "{}"),
        ("{ get message() { throw null } }", false, "null"),
    ];
    let lines: Vec<String> =
        (0..).zip(&cases).map(|(n, (value, ..))| format!("case {n}: throw {value};\n")).collect();
    let codec = load(&format!("function decodeUplink(input) {{ switch (input.bytes[0]) {{\n{}}} }}", lines.concat()));
    for (number, (value, has_line, words)) in (0..).zip(cases) {
        let line = |line: u8| if has_line { format!(", line {line}") } else { String::new() };
        assert_eq!(given(&codec, &[number]), format!("codec.js{}: throws {words}", line(number + 2)), "{value}");
        let loading = Codec::load("codec.js", &format!("throw {value}"), None).unwrap_err().to_string();
        assert_eq!(loading, format!("codec.js{}: throws {words}", line(1)), "at the script's top level: {value}");
    }
}

#[test]
fn whatever_is_told_in_a_list_of_errors_is_told() {
    let told = |errors: &str, expected: &str| {
        let source = format!("function decodeUplink() {{ return {{ errors: {errors} }} }}");
        f(&source, &format!("codec.js: tells an error: {expected}"));
    };
    told("['a', 7, null, undefined]", "a; 7; null; undefined");
    told("[{ message: 'short' }, { code: 3 }, new Error('x')]", r#"short; {"code":3}; Error: x"#);
    told("[{ toString() { throw 'again' } }]", "an object that cannot be shown");
}

#[test]
fn a_script_without_memory_is_not_taken_for_one_that_throws_null() {
    // In steps so small that the engine has no room for its own error either.
    let memory = "codec.js needs more than 8388608 bytes of memory";
    f("function decodeUplink() { for (var list = null; ; ) list = { list: list } }", memory);
    f("function decodeUplink() { var list = []; try { for (;;) list.push({}) } catch (e) { throw e } }", memory);
    let loading = Codec::load("codec.js", "for (var list = null; ; ) list = { list: list }", None).unwrap_err();
    assert_eq!(loading.to_string(), memory);
    // Larger steps, that come to the end of four times as much memory as well, and later.
    for values in [8, 12, 16, 20] {
        let step = format!("{{ list: list, more: [{}] }}", "1, ".repeat(values));
        let codec = load(&format!("function decodeUplink() {{ for (var list = null; ; ) list = {step} }}"));
        assert_eq!(given(&codec, &[]), memory, "{step}");
    }
    // Not even when it is near its end.
    f(
        "function decodeUplink() { for (var list = null, n = 0; n < 40000; n++) list = { list: list }; throw null }",
        "codec.js: throws null",
    );
}

#[test]
fn what_json_cannot_say_is_left_out_or_refused() {
    data(
        "var data = { a: NaN, b: Infinity, c: undefined, d: -0, e: Symbol('x'), f: function () {} }",
        r#"{"a":null,"b":null,"d":0}"#,
    );
    data("var data = { n: 12n, big: 12345678901234567890n }", r#"{"n":12,"big":"12345678901234567890"}"#);
    data(
        "var data = { t: new Date(0), nested: { list: [1, [2]] } }",
        r#"{"t":"1970-01-01T00:00:00.000Z","nested":{"list":[1,[2]]}}"#,
    );
    data("var data = undefined", "null");
    f("function Decoder() {}", "null");
    f("function Decoder() { return 7 }", "7");
    data("var data = {}; data.self = data", "codec.js: throws TypeError: circular reference");
    data("var data = { toJSON() { throw new Error('no') } }", "codec.js, line 1: throws Error: no");
    data("var data = { get x() { throw 'no' } }", "codec.js: throws no");
    data("var data = new Proxy({}, { ownKeys() { throw 'no' } })", "codec.js: throws no");
    f(
        "async function decodeUplink() { return { data: 1 } }",
        "codec.js: throws TypeError: the codec gives a promise; it has to give its data at once",
    );
    data("var data = 'x'.repeat(300000)", "codec.js gives 300002 bytes of JSON; that is more than 262144");
}

#[test]
fn a_script_that_runs_wild_is_stopped_and_the_next_message_is_decoded() {
    let codec = load(
        "function decodeUplink(input) {
           var list = [], text = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!';
           function down() { return down() + 1 }
           switch (input.bytes[0]) {
             case 0: for (;;) {}
             case 1: for (;;) { try { for (;;) {} } catch (e) {} }
             case 2: for (;;) list.push(new Array(1000).fill('x'));
             case 3: return { data: 'x'.repeat(1 << 28) };
             case 4: return { data: down() };
             case 5: return { data: /^(a+)+$/.test(text) };
             case 6: return { data: { toJSON() { for (;;) {} } } };
             case 7: return { data: { errors: { length: 1e9 } }, errors: new Array(1e9) };
             case 8: return { data: new Array(4e9) };
             case 9: return { data: [].indexOf.call({ length: 2 ** 53 - 1 }, 1) };
             case 10: throw { get message() { for (;;) {} }, toString() { for (;;) {} } };
             case 11: new Promise(() => {}).then(() => {}); Promise.resolve().then(() => { for (;;) {} }); return { data: 1 };
           }
           return { data: { ok: true } };
         }",
    );
    let steps = "codec.js does not end: it was stopped after 20 × 10,000 calls and jumps";
    let memory = "codec.js needs more than 8388608 bytes of memory";
    let expected = [
        (0, steps),
        (1, steps),
        (2, memory),
        (3, memory),
        (4, "codec.js, line 3: throws RangeError: Maximum call stack size exceeded"),
        (5, steps),
        (6, steps),
        (7, steps),
        (8, memory),
        (9, steps),
        (10, steps),
        (11, "1"),
    ];
    for (case, expected) in expected {
        let told = given(&codec, &[case]);
        assert!(told.starts_with(expected), "case {case}: {told}");
        assert_eq!(given(&codec, &[99]), r#"{"ok":true}"#, "behind case {case}");
    }
}

#[test]
fn steps_are_those_of_the_message_and_the_same_whatever_came_before() {
    let codec =
        load("function decodeUplink(i) { for (var n = 0; n < i.bytes[0] * 1000; n++) {} return { data: n } }");
    let steps = |rounds: u8| {
        let mut json = String::new();
        let call = Call { bytes: &[rounds], port: None, received: None };
        codec.run(call, &mut json).map_err(|error| error.to_string())
    };
    assert_eq!(steps(0), Ok(0));
    let ten = steps(50);
    assert!(ten.as_ref().is_ok_and(|steps| (9 * TICK_STEPS..=11 * TICK_STEPS).contains(steps)), "{ten:?}");
    // Just below the bound and just above it, whatever the engine has done before: that decides by a new engine's count.
    let verdicts = |before: u8| {
        let _ = steps(before);
        [97, 98, 99, 100, 101].map(|rounds| steps(rounds).is_ok())
    };
    let first = verdicts(1);
    assert!(first[0] && !first[4], "{first:?}");
    assert_eq!((verdicts(0), verdicts(3)), (first, first));
}

#[test]
fn nothing_is_left_for_the_next_message() {
    // Declared at the top, not declared at all, a property of the global object, of a function, of a closure.
    f("var n = 0; function Decoder() { n++; return { n: n } }", r#"{"n":1}"#);
    f(
        "function Decoder() { count = typeof count === 'undefined' ? 1 : count + 1; return { n: count } }",
        r#"{"n":1}"#,
    );
    f(
        "function Decoder() { var old = globalThis.kept; globalThis.kept = 1; return { old: old === undefined } }",
        r#"{"old":true}"#,
    );
    f("function Decoder() { Decoder.n = (Decoder.n || 0) + 1; return { n: Decoder.n } }", r#"{"n":1}"#);
    f(
        "var next = (function () { var n = 0; return function () { return ++n } })(); function Decoder() { return { n: next() } }",
        r#"{"n":1}"#,
    );
    // What the language brings.
    f(
        "function Decoder() { Array.prototype.seen = ([].seen || 0) + 1; return { n: [].seen === undefined } }",
        r#"{"n":true}"#,
    );
    f(
        "function Decoder() { Math.seen = (Math.seen || 0) + 1; return { seen: Math.seen === undefined } }",
        r#"{"seen":true}"#,
    );
    f(
        "function Decoder() { JSON.stringify = function () { return '7' }; parseInt = null; return { x: parseInt('5') } }",
        r#"{"x":5}"#,
    );
    f("function Decoder() { Object.setPrototypeOf(globalThis, { kept: 1 }); return { k: 1 } }", r#"{"k":1}"#);
    f(
        "function Decoder() { var was = typeof odd; Object.defineProperty(globalThis, 'odd', { value: 1 }); return { was: was } }",
        r#"{"was":"undefined"}"#,
    );
    f("function Decoder() { module.exports.n = (module.exports.n || 0) + 1; return module.exports }", r#"{"n":1}"#);
    f(
        "function Decoder() { var g = Object.getPrototypeOf(function* () {}); g.n = (g.n || 0) + 1; return { n: g.n === undefined } }",
        r#"{"n":true}"#,
    );
    // Neither clock nor chance.
    f(
        "function Decoder() { return { now: Date.now(), r: [Math.random(), Math.random()] } }",
        r#"{"now":1700000000000,"r":[0.23645552527159452,0.3692706737201661]}"#,
    );
    f(
        "var at = new Date(); function Decoder() { return { at: at, same: Date() === at.toString() } }",
        r#"{"at":"2023-11-14T22:13:20.000Z","same":true}"#,
    );
    f(
        "function Decoder() { return { p: typeof performance, w: typeof WeakRef, m: typeof queueMicrotask, t: typeof setTimeout } }",
        r#"{"p":"undefined","w":"undefined","m":"undefined","t":"undefined"}"#,
    );
}

#[test]
fn scripts_may_add_what_they_miss_and_override_what_they_inherit() {
    f(
        "if (!String.prototype.twice) String.prototype.twice = function () { return this + this };\nfunction Decoder() { return { x: 'ab'.twice() } }",
        r#"{"x":"abab"}"#,
    );
    f(
        "Object.defineProperty(Object, 'assign', { configurable: true, value: function () { return 'own' } });\nfunction Decoder() { return { x: Object.assign() } }",
        r#"{"x":"own"}"#,
    );
    f(
        "'use strict';\nfunction Fault(words) { this.message = words; this.name = 'Fault' }\nFault.prototype = Object.create(Error.prototype);\nFault.prototype.constructor = Fault;\nfunction Decoder() { throw new Fault('odd') }",
        "codec.js: throws Fault: odd",
    );
    f(
        "function P() {} P.prototype.toString = function () { return 'P!' };\nfunction Decoder() { var o = { valueOf: null }; o.valueOf = () => 3; return { p: '' + new P(), o: o + 1 } }",
        r#"{"p":"P!","o":4}"#,
    );
    f(
        "function Decoder() { with ({ x: 1 }) { y = x } return { y: y, octal: 010, arguments: arguments.callee === Decoder } }",
        r#"{"y":1,"octal":8,"arguments":true}"#,
    );
    f(
        "console.log('x'); console.table([1]); var b = require('buffer').Buffer; function Decoder() { return { b: b === Buffer } }",
        r#"{"b":true}"#,
    );
    f(
        "function Decoder() { return require('fs') }",
        "codec.js, line 1: throws Error: there is no module \"fs\": a codec is one file",
    );
}

#[test]
fn buffers_read_numbers_and_text() {
    data(
        "var b = Buffer.from(input.bytes), data = [b.readUInt8(0), b.readInt8(2), b.readUInt16LE(1), b.readInt16BE(1), b.readUIntBE(0, 3), b.readIntLE(0, 3), b.length]",
        "[1,-1,65282,767,66303,-65023,3]",
    );
    data(
        "var b = Buffer.from('3fc000004048f5c3', 'hex'), data = [b.readFloatBE(0), b.readFloatLE(0).toFixed(4), b.readUInt32BE(0), Number(b.readBigUInt64BE(0)) > 0]",
        r#"[1.5,"0.0000",1069547520,true]"#,
    );
    data(
        "var b = Buffer.from('AQL/', 'base64'), data = [b.toString('hex'), b.toString('base64'), b.slice(1).toString('hex'), Buffer.concat([b, b]).length]",
        r#"["0102ff","AQL/","02ff",6]"#,
    );
    data(
        "var data = [Buffer.from('Grün 水').toString('hex'), Buffer.from('4772c3bc6e20e6b0b4', 'hex').toString(), Buffer.from([0xff, 65]).toString(), Buffer.from([200]).toString('latin1')]",
        r#"["4772c3bc6e20e6b0b4","Grün 水","�A","È"]"#,
    );
    data(
        "var b = Buffer.alloc(4), data = [b.writeUInt16BE(513, 1), b.toString('hex'), b.subarray(1, 3).readUInt16BE(), Buffer.isBuffer(b), b.equals(Buffer.from([0, 2, 1, 0]))]",
        r#"[3,"00020100",513,true,true]"#,
    );
    data(
        "var data = Buffer.from(input.bytes).readUInt16LE(2)",
        "codec.js, line 1: throws RangeError: byte 2 to 3 of a Buffer of 3 bytes",
    );
}

#[test]
fn calendar_times_are_utc_wherever_the_process_runs() {
    data(
        "var d = new Date(2024, 1, 29, 13, 5, 9), data = [d, d.getHours(), d.getTimezoneOffset(), d.getDay(), d.getYear()]",
        r#"["2024-02-29T13:05:09.000Z",13,0,4,124]"#,
    );
    data(
        "var d = new Date(0); d.setHours(5); d.setFullYear(2001); var data = [d, d.toString(), d.toLocaleString()]",
        r#"["2001-01-01T05:00:00.000Z","Mon Jan 01 2001 05:00:00 GMT+0000 (Coordinated Universal Time)","1/1/2001, 5:00:00 AM"]"#,
    );
    data(
        "var data = ['2024-01-02T03:04:05', '2024-01-02 03:04:05', '2024-01-02T03:04:05+08:00', '2024-01-02', 'Jan 2 2024 03:04:05 GMT+0200', '2024/1/2'].map((t) => new Date(t).toISOString().substr(5, 11))",
        r#"["01-02T03:04","01-02T03:04","01-01T19:04","01-02T00:00","01-02T01:04","01-02T00:00"]"#,
    );
    data(
        "var data = [new Date(NaN).toString(), new Date(new Date(5)).getTime(), new Date('x').getTime(), Date.UTC(1970, 0, 2), new Date(1e12) instanceof Date, typeof Date()]",
        r#"["Invalid Date",5,null,86400000,true,"string"]"#,
    );
}
