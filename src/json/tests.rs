//! Places in documents, and documents that are none.

use super::*;

fn places(pointers: &[&str]) -> (Places, Vec<Place>) {
    let mut places = Places::new();
    let found =
        pointers.iter().map(|pointer| places.add(&JsonPointer::parse(pointer).unwrap()).expect(pointer)).collect();
    (places, found)
}

/// What stands at each pointer, in the element 0 of lists.
fn found(pointers: &[&str], document: &str) -> Vec<String> {
    let (places, each) = places(pointers);
    let mut finding = Finding::default();
    places.find(document, &mut finding).expect(document);
    each.iter().map(|place| finding.member(&places, *place, document, 0).describe()).collect()
}

#[test]
fn pointers_lead_to_values_of_every_kind() {
    let f = |pointers: &[&str], document: &str, expected: &[&str]| {
        assert_eq!(found(pointers, document), expected, "{document}");
    };
    f(&["/a", "/b/1", "/c"], r#"{"x":[1,{"a":2}],"b":["p","q"],"a":1.50}"#, &["1.5", "\"q\"", "missing"]);
    f(&["", "/a"], r#" {"a": null} "#, &["an object", "null"]);
    f(&["/a", "/a/b", "/a/b/c"], r#"{"a":{"b":{"c":true}}}"#, &["an object", "an object", "true"]);
    f(&["/a~1b", "/m~0n", "/"], r#"{"a/b":-7,"m~n":1e3,"":"\u00e9"}"#, &["-7", "1000.0", "\"é\""]);
    f(&["/device.prop.key"], r#"{"device.prop.key":[]}"#, &["a list"]);
    f(&["/a"], r#"{"a":123456789012345678901234567890}"#, &["123456789012345678901234567890"]);
    f(&["/0"], "[7]", &["7"]);
    f(&["/0"], r#"{"0":7}"#, &["7"]);
    f(&["/a/b"], r#"{"a":7}"#, &["missing"]);
}

#[test]
fn of_members_with_one_name_the_last_counts() {
    let f = |document: &str, expected: &[&str]| {
        assert_eq!(found(&["/a/b", "/a/c", "/l/*"], document), expected, "{document}");
    };
    f(r#"{"a":{"b":1,"c":1},"a":{"b":2}}"#, &["2", "missing", "missing"]);
    f(r#"{"a":{"b":1},"a":7,"l":[1],"l":[]}"#, &["missing", "missing", "missing"]);
    f(r#"{"l":[1,2],"l":[3]}"#, &["missing", "missing", "3"]);
}

#[test]
fn a_star_is_each_element_of_a_list() {
    let (places, each) = places(&["/id", "/list/*/a", "/list/*/b/c", "/list/*"]);
    let mut finding = Finding::default();
    let document = r#"{"list":[{"a":1},7,{"b":{"c":"x"},"a":3},{"b":"{\"c\":[]}"}],"id":9}"#;
    places.find(document, &mut finding).unwrap();
    let row = |index| -> Vec<String> {
        each.iter().map(|place| finding.member(&places, *place, document, index).describe()).collect()
    };
    assert_eq!(finding.count(&places, each[0]), None);
    assert_eq!(finding.count(&places, each[1]), Some(4));
    assert_eq!(row(0), ["9", "1", "missing", "an object"]);
    assert_eq!(row(1), ["9", "missing", "missing", "7"]);
    assert_eq!(row(2), ["9", "3", "\"x\"", "an object"]);
    assert_eq!(row(3), ["9", "missing", "a list", "an object"]);
    assert_eq!(row(4), ["9", "missing", "missing", "missing"]);
    places.find("{}", &mut finding).unwrap();
    assert_eq!(finding.count(&places, each[1]), Some(0));
}

#[test]
fn a_member_with_the_name_of_a_star_is_no_element() {
    for document in [r#"{"l":{"*":1}}"#, r#"{"l":{"*":{"a":1}}}"#] {
        assert_eq!(found(&["/l/*", "/l/*/a"], document), ["missing"; 2], "{document}");
    }
}

#[test]
fn json_in_a_text_is_read_where_pointers_go_on() {
    let f = |pointers: &[&str], document: &str, expected: &[&str]| {
        assert_eq!(found(pointers, document), expected, "{document}");
    };
    f(&["/msg/a", "/msg/b/c"], r#"{"msg":"{\"a\":1,\"b\":\"{\\\"c\\\":\\\"\\u4e2d\\\"}\"}"}"#, &["1", "\"中\""]);
    f(&["/msg/*/v"], r#"{"msg":"[{\"v\":26.4}]"}"#, &["26.4"]);
    f(&["/value/V", "/value/I/1"], r#"{"value":"{'V':232.522,'I':[0,3.319]}"}"#, &["232.522", "3.319"]);
    f(&["/value/V", "/value"], r#"{"value":"no JSON"}"#, &["missing", "\"no JSON\""]);
    f(&["/value/V", "/other/V"], r#"{"value":"{\"V\":1}","other":"{\"V\":2}"}"#, &["1", "2"]);
}

#[test]
fn pointers_that_do_not_go_together_are_refused() {
    let mut places = Places::new();
    let mut add = |pointer: &str| places.add(&JsonPointer::parse(pointer).unwrap());
    assert_eq!(add("/a/*/b/*"), Err(PlacesError::Nested("/a/*/b/*".into())));
    add("/a/*/b").unwrap();
    assert_eq!(add("/a/0/b"), Err(PlacesError::Mixed("/a/0/b".into())));
    assert_eq!(add("/a/*/b"), add("/a/*/b"));
}

#[test]
fn what_is_no_json_is_an_error() {
    let (places, _) = places(&["/a/b"]);
    let mut finding = Finding::default();
    for wrong in ["", "{", "{\"a\":}", "{} x", "{'a':1}", &"[".repeat(100_000)] {
        assert!(places.find(wrong, &mut finding).is_err());
    }
}

#[test]
fn what_is_nearly_json_can_be_mended() {
    let f = |text: &str, expected: Option<&str>| assert_eq!(mend(text).as_deref(), expected, "{text}");
    f("{'T':1577166943,'I':[0,3.319,0]}", Some(r#"{"T":1577166943,"I":[0,3.319,0]}"#));
    f(r#"{"1":{1,4,0,2023/11/15 07:54:30}}"#, Some(r#"{"1":[1,4,0,"2023/11/15 07:54:30"]}"#));
    f("{a: True, b_2: None, 'c': 'say \"no\"'}", Some(r#"{"a":true,"b_2":null,"c":"say \"no\""}"#));
    f(r#"{"a": "it's \u00e9"}"#, Some(r#"{"a":"it's \u00e9"}"#));
    f("{ }", Some("{}"));
    f("[ ]", Some("[]"));
    f("{'a'}", Some(r#"["a"]"#));
    for wrong in ["", "{", "{'a", "[1", "{a:1,}", "{} {}", &"[".repeat(1000)] {
        f(wrong, None);
    }
}

/// Any text gives something or an error, never a panic; what is mended is JSON.
#[test]
fn any_text_is_read_or_refused() {
    let (places, each) = places(&["/a", "/a/b", "/l/*", "/l/*/a", "/l/*/b/0"]);
    let mut finding = Finding::default();
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"l\"",
        "'a'",
        "1",
        "null",
        "\"{\\\"b\\\":1}\"",
        "é",
        "\\",
        " ",
    ];
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let text: String = (0..random.usize(..24)).map(|_| parts[random.usize(..parts.len())]).collect();
        if places.find(&text, &mut finding).is_ok() {
            for (place, index) in each.iter().flat_map(|place| [(place, 0), (place, 1)]) {
                let _ = finding.member(&places, *place, &text, index).describe();
            }
        }
        if let Some(mended) = mend(&text) {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(&mended);
            assert!(read.is_ok(), "seed {seed}: {text} was mended to {mended}");
        }
    }
}
