//! What scripts may give, by chance.

use super::*;

/// A value by chance, as a script would write it: what is usual, and what a hostile one could think of.
fn hostile(random: &mut fastrand::Rng, depth: u32) -> String {
    const LEAVES: &[&str] = &[
        "1",
        "-0",
        "NaN",
        "-Infinity",
        "1e308",
        "5e-324",
        "12n",
        "2n ** 70n",
        "true",
        "null",
        "undefined",
        "'21.5 °C'",
        "'\\ud800'",
        "'\\0\\u2028\"'",
        "Symbol('x')",
        "new Date(NaN)",
        "new Date(8.64e15)",
        "input.bytes",
        "globalThis",
        "new Array(1e6)",
        "new Map([[1, 2]])",
        "new Uint8Array(3)",
        "Buffer.from([1])",
        "/x/g",
        "input",
        "console",
        "Object.create(null)",
        "decodeUplink",
        "(function () { return arguments })(1)",
        "new Error('x')",
        "module",
    ];
    if depth == 0 || random.u8(..3) == 0 {
        return LEAVES[random.usize(..LEAVES.len())].to_owned();
    }
    let inner = hostile(random, depth - 1);
    let other = hostile(random, depth - 1);
    match random.u8(..12) {
        0 => format!("[{inner}, {other}]"),
        1 => format!("{{ a: {inner}, b: {other} }}"),
        2 => format!("{{ toJSON() {{ return {inner} }} }}"),
        3 => format!("{{ get a() {{ return {inner} }}, get b() {{ throw {other} }} }}"),
        4 => format!("new Proxy({{ a: {inner} }}, {{ get() {{ return {other} }} }})"),
        5 => format!(
            "new Proxy([], {{ ownKeys() {{ return ['a', 'a'] }}, get(t, k) {{ return k === 'length' ? 1e7 : {inner} }} }})"
        ),
        6 => format!("(function () {{ var o = {{ a: {inner} }}; o.o = o; return o }})()"),
        7 => format!("(function () {{ throw {inner} }})()"),
        8 => format!("Object.assign({{ errors: {inner} }}, {{ data: {other} }})"),
        9 => format!("(globalThis[{inner}] = {other})"),
        10 => {
            format!("Object.defineProperty({{}}, 'a', {{ enumerable: true, get: function () {{ return {inner} }} }})")
        }
        _ => format!("Array.from({{ length: 50 }}, () => ({inner}))"),
    }
}

#[test]
fn whatever_a_script_gives_is_json_or_a_reason_and_the_same_each_time() {
    let seed = std::env::var("CITYWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CITYWIRE_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let plain = load("function decodeUplink() { return { data: { ok: [] .concat([1]), d: '' + Date.now() } } }");
    let mut decoded = 0;
    for round in 0..20 {
        let value = hostile(&mut random, 3);
        let source = format!("function decodeUplink(input) {{ var x = {value}; return {{ data: x }} }}");
        let Ok(codec) = Codec::load("codec.js", &source, None) else { continue };
        let first = given(&codec, &[1, 2]);
        assert_eq!(given(&codec, &[1, 2]), first, "round {round}: {source}");
        let call = Call { bytes: &[1, 2], port: Some(10), received: Some(RECEIVED) };
        let (fresh, _) =
            Engine::new("codec.js", &source, None).expect("a codec").run(call, TICKS_MAX, &mut String::new());
        let mut json = String::new();
        let lasting = codec.run(call, &mut json);
        assert_eq!(lasting.is_ok(), fresh.is_ok(), "round {round}: {source}");
        if lasting.is_ok() {
            decoded += 1;
            assert!(json.len() <= OUTPUT_BYTES_MAX);
            serde_json::from_str::<serde::de::IgnoredAny>(&json)
                .unwrap_or_else(|error| panic!("{error}: {source}: {json}"));
        }
        assert_eq!(given(&plain, &[]), r#"{"ok":[1],"d":"1700000000000"}"#, "behind round {round}: {source}");
    }
    assert!(decoded >= 2, "{decoded} gave data");
}
