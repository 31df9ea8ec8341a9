//! route

mod filter;

pub use filter::{CAPTURES_MAX, Captures, FilterError, TopicFilter};
