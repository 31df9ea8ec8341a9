//! Bounds on the messages that the embedded broker retains for later subscribers.

use std::collections::HashMap;
use std::sync::Arc;

/// Beyond these, a message is passed on and not retained.
const MESSAGES_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 << 20;

/// What the broker retains. The crate's own bounds refuse the message, which a 3.1.1 device cannot see.
#[derive(Default)]
pub(super) struct Retained {
    bytes_by_topic: HashMap<Arc<str>, usize>,
    bytes: usize,
}

impl Retained {
    /// Whether a retained message may be kept; counts it if so. An empty one clears its topic (MQTT 5.0, 3.3.1.3).
    pub fn take(&mut self, topic: &Arc<str>, payload_bytes: usize) -> bool {
        let bytes = topic.len() + payload_bytes;
        let before = self.bytes_by_topic.get(topic).copied();
        if payload_bytes > 0 {
            let messages = self.bytes_by_topic.len() + usize::from(before.is_none());
            if messages > MESSAGES_MAX || self.bytes - before.unwrap_or(0) + bytes > BYTES_MAX {
                return false;
            }
            self.bytes_by_topic.insert(topic.clone(), bytes);
            self.bytes += bytes;
        } else {
            self.bytes_by_topic.remove(topic);
        }
        self.bytes -= before.unwrap_or(0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retained_messages_are_bounded_and_their_bytes_counted() {
        let mut retained = Retained::default();
        let topic = |n: usize| Arc::from(format!("{n:05}"));
        assert!(retained.take(&topic(0), BYTES_MAX - 5));
        assert!(!retained.take(&topic(1), 1));
        assert!(!retained.take(&topic(0), BYTES_MAX));
        assert!(retained.take(&topic(0), 1));
        assert_eq!(retained.bytes, 6);
        assert!(retained.take(&topic(0), 0));
        assert_eq!(retained.bytes, 0);
        assert!((0..MESSAGES_MAX).all(|n| retained.take(&topic(n), 1)));
        assert!(!retained.take(&topic(MESSAGES_MAX), 1));
        assert!(retained.take(&topic(0), 2));
    }
}
