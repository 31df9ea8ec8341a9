//! Whatever a database answers, it is judged: in one line of bounded length, without the token, with a bounded wait.
#![no_main]

use std::time::Duration;

use citywire::fuzzing::database_answer;
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = "s3cret";

// Two bytes for the status, then Retry-After, Location and the body, each up to a zero byte.
fuzz_target!(|data: &[u8]| {
    let Some((status, rest)) = data.split_first_chunk() else { return };
    let status = 100 + u16::from_le_bytes(*status) % 900;
    let mut parts = rest.splitn(3, |&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let headers = [("retry-after", part()), ("location", part())];
    let Some(judgement) = database_answer(TOKEN, status, &headers, part()) else { return };
    let words = &judgement.words;
    assert_eq!(words.is_empty(), judgement.outcome == "taken", "what fails says why: {judgement:?}");
    assert_eq!(judgement.outcome == "taken", (200..300).contains(&status), "{judgement:?}");
    assert!(!words.contains(TOKEN), "{words}");
    assert!(!words.contains(char::is_control), "{words:?}");
    assert!(words.chars().count() < 800, "{words}");
    assert!(judgement.retry_after.is_none_or(|wait| wait <= Duration::from_secs(15 * 60)), "{judgement:?}");
});
