//! Routes as a table: a configuration, a topic, and what comes of it.

use std::path::Path;

use super::*;

const PROFILES: [&str; 6] =
    ["cjt188", "citywire-elevator", "foxcodenine-nb-parking", "jiade-nb-smoke", "zhongxing-lamp63", "acme-wm100"];

fn routes(configuration: &str) -> Routes {
    let config = config::read(Path::new("citywire.toml"), configuration, []).expect("a valid configuration");
    Routes::compile(&config.routes, PROFILES).expect("known profiles")
}

/// The device, the tags as `name=value`, and the profile or why there is none.
fn shown(routes: &Routes, topic: &str) -> Result<(Option<String>, String, String), &'static str> {
    let route = routes.route(topic.as_bytes()).map_err(|error| error.reason)?;
    let tags: Vec<String> = route.tags().map(|(name, value)| format!("{name}={value}")).collect();
    let profile = route.profile(None, None).unwrap_or_else(|error| error.reason);
    Ok((route.device.map(str::to_owned), tags.join(" "), profile.to_owned()))
}

fn expected(device: &str, tags: &str, profile: &str) -> Result<(Option<String>, String, String), &'static str> {
    Ok((Some(device.into()), tags.into(), profile.into()))
}

#[test]
fn without_routes_a_city_topic_gives_device_pilot_and_the_class_s_profile() {
    let routes = routes("");
    let f = |topic, expected| assert_eq!(shown(&routes, topic), expected, "{topic}");
    f("city/harbour/parking/P-17/up", expected("P-17", "pilot=harbour", "foxcodenine-nb-parking"));
    f("city/harbour/streetlight/L-1/up", expected("L-1", "pilot=harbour", "zhongxing-lamp63"));
    f("city/harbour/smoke_detector/S-1/up", expected("S-1", "pilot=harbour", "jiade-nb-smoke"));
    f("city/harbour/elevator/E-1/up", expected("E-1", "pilot=harbour", "citywire-elevator"));
    f("city/harbour/water_meter/W-1/up", expected("W-1", "pilot=harbour", "cjt188"));
    f("city/harbour/acme-wm100/W-2/up", expected("W-2", "pilot=harbour", "acme-wm100"));
    f("city/harbour/gas_meter/G-1/up", expected("G-1", "pilot=harbour", "no_profile"));
    f("city//parking/P-17/up", expected("P-17", "", "foxcodenine-nb-parking"));
    f("city/harbour/parking//up", Err("no_device"));
    f("city/harbour/parking/P-17", Err("no_route"));
    f("city/harbour/parking/P-17/up/", Err("no_route"));
    f("City/harbour/parking/P-17/up", Err("no_route"));
    f("", Err("topic_invalid"));
    f("city/harbour/parking/+/up", Err("topic_invalid"));
    f("city/harbour/parking/\0/up", Err("topic_invalid"));
    f("city/harbour/parking/\n/up", Err("device_invalid"));
    f(&format!("city/harbour/parking/{}/up", "x".repeat(129)), Err("device_invalid"));
}

#[test]
fn the_first_route_that_matches_takes_the_message() {
    let routes = routes(
        r#"
        [[route]]
        topic = "a/{device}/special"
        profile = "cjt188"
        tags = { way = "first" }
        [[route]]
        topic = "$share/group/a/{device}/#"
        profile = "acme-wm100"
        tags = { way = "second" }
        [[route]]
        topic = "b/{profile}/{site}/{device}"
        [[route]]
        topic = "gateway"
        profile = "cjt188"
        device = "gateway-1"
        "#,
    );
    let f = |topic, expected| assert_eq!(shown(&routes, topic), expected, "{topic}");
    f("a/1/special", expected("1", "way=first", "cjt188"));
    f("a/1/other", expected("1", "way=second", "acme-wm100"));
    f("a/1", expected("1", "way=second", "acme-wm100"));
    f("b/cjt188/north/2", expected("2", "site=north", "cjt188"));
    f("b/unheard-of/north/2", expected("2", "site=north", "no_profile"));
    f("gateway", expected("gateway-1", "", "cjt188"));
    assert_eq!(routes.subscriptions(), ["a/+/special", "$share/group/a/+/#", "b/+/+/+", "gateway"]);
}

#[test]
fn what_the_registry_says_goes_before_the_route() {
    let routes = routes("");
    let route = routes.route(b"city/harbour/parking/P-17/up").unwrap();
    assert_eq!(route.profile(Some("acme-wm100"), None).unwrap(), "acme-wm100");
    // The class of the topic does not become a tag: the measurement is the class of the profile.
    assert_eq!(route.tags().collect::<Vec<_>>(), [("pilot", "harbour")]);
}

#[test]
fn a_profile_may_be_named_by_a_json_member() {
    let routes = routes(
        r#"
        [[route]]
        topic = "up/{device}"
        envelope = { json = { payload = "/data" } }
        profile = { json = "/product", map = { 7 = "cjt188" } }
        "#,
    );
    let route = routes.route(b"up/1").unwrap();
    assert_eq!(route.profile_pointer().unwrap().as_str(), "/product");
    let f = |member, expected| assert_eq!(route.profile(None, member).map_err(|error| error.reason), expected);
    f(Some("7"), Ok("cjt188"));
    f(Some("acme-wm100"), Ok("acme-wm100"));
    f(Some("8"), Err("no_profile"));
    f(None, Err("no_profile"));
}

#[test]
fn a_route_to_a_profile_that_does_not_exist_is_a_mistake_with_a_place() {
    let source = "[[route]]\ntopic = \"a/{device}\"\nprofile = { level = \"device\", map = { x = \"cjt186\" } }\n";
    let config = config::read(Path::new("citywire.toml"), source, []).unwrap();
    let problems = Routes::compile(&config.routes, PROFILES).unwrap_err();
    let expected = "\
error: there is no profile `cjt186`
 --> citywire.toml:3:11
  |
3 | profile = { level = \"device\", map = { x = \"cjt186\" } }
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: did you mean `cjt188`?
";
    assert_eq!(crate::problem::render(&problems, false), expected);
}

#[test]
fn a_refusal_says_what_to_do() {
    let routes =
        routes("[[route]]\ntopic = \"a/{device}\"\nprofile = { level = \"device\", map = { x = \"cjt188\" } }\n");
    let f = |topic: &[u8], reason: &str, detail: &str| {
        let error = match routes.route(topic) {
            Ok(route) => route.profile(None, None).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!((error.reason, error.to_string().as_str()), (reason, detail));
        assert!(RouteError::REASONS.contains(&error.reason));
    };
    f(
        b"b/1",
        "no_route",
        "no route takes the topic `b/1`; add a [[route]] whose topic filter matches it, or mend the topic. The routes \
         are: a/{device}",
    );
    f(
        b"a/\xff",
        "topic_not_utf8",
        "the topic `a/\u{fffd}` is not UTF-8 from its byte 2 on; MQTT requires it (5.0, clause 1.5.4): mend the device or \
         gateway that published it",
    );
    f(
        b"a/y",
        "no_profile",
        "the level {device} of the topic `a/y` is `y`, which is no profile and not in the route's map (x); add it to the \
         route's `map`, or the device to the registry",
    );
}
