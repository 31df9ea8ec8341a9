//! A batch of messages, and what the broker said of each.

use std::borrow::Cow;

/// Messages in the order in which they go out, in one piece of memory that is used again from batch to batch.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Topic and payload of each, one behind the other.
    bytes: Vec<u8>,
    messages: Vec<Message>,
    /// The messages before this one have their answer.
    settled: usize,
}

#[derive(Debug)]
struct Message {
    start: usize,
    payload: usize,
    end: usize,
    answer: Answer,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has none yet.
    None,
    Taken,
    /// The broker will never take it, for this reason.
    Rejected(String),
}

/// A topic of more bytes than MQTT can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the topic has {0} bytes, and MQTT knows none of more than 65535")]
pub struct TopicTooLong(pub usize);

impl Outgoing {
    /// Adds a message, whose topic and payload are written by these.
    ///
    /// # Errors
    /// When the topic is too long; then nothing is added.
    pub fn push(
        &mut self,
        topic: impl FnOnce(&mut Vec<u8>),
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), TopicTooLong> {
        let start = self.end();
        // A panic over the message before this one, caught around it, may have left half of it.
        self.bytes.truncate(start);
        topic(&mut self.bytes);
        let payload_start = self.bytes.len();
        if payload_start - start > usize::from(u16::MAX) {
            self.bytes.truncate(start);
            return Err(TopicTooLong(payload_start - start));
        }
        payload(&mut self.bytes);
        let end = self.bytes.len();
        self.messages.push(Message { start, payload: payload_start, end, answer: Answer::None });
        Ok(())
    }

    /// How many messages have no answer yet.
    pub fn waiting(&self) -> usize {
        self.messages[self.settled..].iter().filter(|message| message.answer == Answer::None).count()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of all topics and payloads.
    pub fn bytes(&self) -> usize {
        self.end()
    }

    /// The messages with their answers, in order.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.messages.iter().map(|message| &message.answer)
    }

    /// Topic and payload for a person to read.
    pub fn shown(&self, index: usize) -> String {
        let (topic, payload) = self.parts(index);
        format!("{} {}", String::from_utf8_lossy(topic), String::from_utf8_lossy(payload))
    }

    /// Empties the batch, and gives back what memory an unusually large one took.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.messages.clear();
        self.settled = 0;
    }

    /// The first message at or behind this one that has no answer.
    pub(super) fn unanswered_from(&self, index: usize) -> Option<usize> {
        let from = index.max(self.settled);
        let rest = self.messages.get(from..)?;
        rest.iter().position(|message| message.answer == Answer::None).map(|at| from + at)
    }

    pub(super) fn parts(&self, index: usize) -> (&[u8], &[u8]) {
        let message = &self.messages[index];
        (&self.bytes[message.start..message.payload], &self.bytes[message.payload..message.end])
    }

    pub(super) fn topic(&self, index: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.parts(index).0)
    }

    pub(super) fn taken(&mut self, index: usize) {
        self.answer(index, Answer::Taken);
    }

    pub(super) fn rejected(&mut self, index: usize, words: String) {
        self.answer(index, Answer::Rejected(words));
    }

    fn answer(&mut self, index: usize, answer: Answer) {
        self.messages[index].answer = answer;
        while self.messages.get(self.settled).is_some_and(|message| message.answer != Answer::None) {
            self.settled += 1;
        }
    }

    fn end(&self) -> usize {
        self.messages.last().map_or(0, |message| message.end)
    }
}

const KEPT_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(count: u8) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for number in 0..count {
            outgoing.push(|topic| topic.push(b'a' + number), |payload| payload.extend([number; 3])).expect("it fits");
        }
        outgoing
    }

    #[test]
    fn messages_without_an_answer_are_found_in_their_order_whatever_order_the_answers_come_in() {
        let mut outgoing = outgoing(4);
        assert_eq!(outgoing.parts(1), (&b"b"[..], &[1, 1, 1][..]));
        outgoing.taken(2);
        outgoing.taken(0);
        assert_eq!(
            (outgoing.unanswered_from(0), outgoing.unanswered_from(2), outgoing.waiting()),
            (Some(1), Some(3), 2)
        );
        outgoing.rejected(1, "no".into());
        assert_eq!((outgoing.unanswered_from(0), outgoing.unanswered_from(4)), (Some(3), None));
        outgoing.taken(3);
        assert_eq!((outgoing.unanswered_from(0), outgoing.waiting()), (None, 0));
        let expected = [Answer::Taken, Answer::Rejected("no".into()), Answer::Taken, Answer::Taken];
        assert_eq!(outgoing.answers().cloned().collect::<Vec<_>>(), expected);
        outgoing.clear();
        assert_eq!((outgoing.len(), outgoing.bytes(), outgoing.unanswered_from(0)), (0, 0, None));
    }

    #[test]
    fn a_topic_that_mqtt_cannot_name_is_left_out_and_costs_no_other_message() {
        let mut outgoing = outgoing(1);
        let long = outgoing.push(|topic| topic.resize(topic.len() + 65_536, b'x'), |_| {});
        assert_eq!(long, Err(TopicTooLong(65_536)));
        outgoing.push(|topic| topic.push(b'z'), |payload| payload.push(9)).expect("it fits");
        assert_eq!((outgoing.len(), outgoing.parts(1)), (2, (&b"z"[..], &[9][..])));
    }

    #[test]
    fn half_a_message_that_a_panic_left_is_not_sent() {
        let mut outgoing = outgoing(1);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = outgoing.push(|topic| topic.push(b'h'), |_| panic!("as this test wants"));
        }));
        assert!(broken.is_err());
        outgoing.push(|topic| topic.push(b'z'), |payload| payload.push(9)).expect("it fits");
        assert_eq!((outgoing.len(), outgoing.parts(1)), (2, (&b"z"[..], &[9][..])));
    }
}
