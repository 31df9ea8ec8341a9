//! The stage between route and decode.

mod pointer;

pub use pointer::JsonPointer;

/// The longest device identity in characters.
pub const DEVICE_CHARS_MAX: usize = 128;

/// Checks that text can be a device's identity: 1 to 128 characters, no control characters.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_device(device: &str) -> Result<(), &'static str> {
    if device.is_empty() {
        Err("it is empty")
    } else if device.chars().any(char::is_control) {
        Err("it contains a control character")
    } else if device.chars().nth(DEVICE_CHARS_MAX).is_some() {
        Err("it is longer than 128 characters")
    } else {
        Ok(())
    }
}
