//! Output of a command that stays small however much the command prints.

use std::collections::VecDeque;

/// The beginning and the end of a stream of bytes.
#[derive(Clone)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    total: u64,
}

impl Captured {
    /// Keeps at most `limit` bytes: the first half of them from the beginning, the rest from the end.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            half: limit.div_ceil(2),
            total: 0,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len() as u64);
        let (head, rest) = bytes.split_at(bytes.len().min(self.half.saturating_sub(self.head.len())));
        self.head.extend_from_slice(head);
        // Only the last `half` bytes of what is left can survive.
        let (_, rest) = rest.split_at(rest.len().saturating_sub(self.half));
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.half);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend(rest);
    }

    /// How many bytes of the stream are not kept.
    pub fn left_out(&self) -> u64 {
        self.total
            .saturating_sub((self.head.len() + self.tail.len()) as u64)
    }

    /// The whole stream, or `None` if some of it was left out.
    pub fn into_bytes(mut self) -> Option<Vec<u8>> {
        if self.left_out() > 0 {
            return None;
        }
        self.head.extend(self.tail);
        Some(self.head)
    }

    /// The stream as text, with a line in place of what was left out.
    pub fn to_text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        match self.left_out() {
            0 => String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned(),
            left_out => format!(
                "{}\n[... {left_out} bytes left out ...]\n{}",
                String::from_utf8_lossy(&self.head),
                String::from_utf8_lossy(&tail)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_stream_is_kept_whole() {
        let mut captured = Captured::with_limit(8);
        captured.push(b"abcd");
        captured.push("é".as_bytes());
        assert_eq!(captured.to_text(), "abcdé");
        assert_eq!(captured.into_bytes().unwrap(), "abcdé".as_bytes());
    }

    #[test]
    fn of_a_long_stream_both_ends_are_kept() {
        let mut captured = Captured::with_limit(8);
        for _ in 0..1000 {
            captured.push(b"middle ");
        }
        captured.push(b"last");
        assert_eq!(captured.to_text(), "midd\n[... 6996 bytes left out ...]\nlast");
        assert!(captured.into_bytes().is_none());
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_always_both_ends(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            half in 0_usize..40,
        ) {
            let whole = chunks.concat();
            let mut captured = Captured::with_limit(2 * half);
            for chunk in &chunks {
                captured.push(chunk);
            }
            let kept = whole.len().min(2 * half);
            prop_assert_eq!(captured.left_out(), (whole.len() - kept) as u64);
            prop_assert!(whole.starts_with(&captured.head));
            let tail: Vec<u8> = captured.tail.iter().copied().collect();
            prop_assert!(whole.ends_with(&tail));
            prop_assert_eq!(captured.head.len() + tail.len(), kept);
        }
    }
}
