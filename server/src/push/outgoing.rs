//! The WebSocket frames that the Socket.IO library writes (RFC 6455), followed as they go out.
//!
//! To put frames of our own between them, two things have to be known: where one ends, and whether
//! the client has been told that it is accepted, as nothing may reach it before. [`Outgoing`] reads
//! both from the bytes as the stream takes them, in pieces of any size. It holds no payload.

/// How the packet begins that accepts a client into the namespace: `40/dashboard,{"sid":…}`.
const ACCEPTANCE: &[u8] = b"40/dashboard,";

const FINAL_TEXT: u8 = 0x81;
const LENGTH: u8 = 0x7f;

/// Follows the frames of one connection. Servers do not mask theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    step: Step,
    is_accepted: bool,
}

/// Where in a frame the next byte lies.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// At a frame's first byte.
    Start,
    /// At the second, which has the short length.
    Second { is_text: bool },
    /// Within a length of two bytes, or of eight.
    Length { is_text: bool, left: u8, length: u64 },
    /// In the payload, of which so many bytes are those of the acceptance; none if one is not.
    Payload { left: u64, alike: Option<usize> },
}

impl Outgoing {
    /// For a connection that has just been upgraded.
    pub(crate) fn new() -> Self {
        Self { step: Step::Start, is_accepted: false }
    }

    /// Whether another frame may begin here.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.step, Step::Start)
    }

    /// Whether the acceptance has gone out, all of it.
    pub(crate) fn is_accepted(&self) -> bool {
        self.is_accepted
    }

    /// How many of the bytes that are about to go out belong to the frame that is under way: none
    /// between frames.
    pub(crate) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        let mut ahead = *self;
        if ahead.is_between_frames() { 0 } else { ahead.follow_frame(bytes) }
    }

    /// Takes note of bytes that have gone out.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.follow_frame(bytes)..];
        }
    }

    /// Follows one frame to its end, or to that of the bytes. How many they are.
    fn follow_frame(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Step::Payload { left, alike } = self.step {
                let rest = &bytes[at..];
                let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let alike = alike.and_then(|count| compare(count, &rest[..here]));
                at += here;
                // A slice is never longer than 64 bits can say.
                self.payload(left - here as u64, alike);
            } else {
                at += 1;
                self.header(byte);
            }
            if self.is_between_frames() {
                break;
            }
        }
        at
    }

    fn header(&mut self, byte: u8) {
        match self.step {
            Step::Start | Step::Payload { .. } => {
                self.step = Step::Second { is_text: byte == FINAL_TEXT };
            }
            Step::Second { is_text } => match byte & LENGTH {
                126 => self.step = Step::Length { is_text, left: 2, length: 0 },
                127 => self.step = Step::Length { is_text, left: 8, length: 0 },
                short => self.begin(is_text, short.into()),
            },
            Step::Length { is_text, left, length } => {
                let (left, length) = (left - 1, length << 8 | u64::from(byte));
                if left == 0 {
                    self.begin(is_text, length);
                } else {
                    self.step = Step::Length { is_text, left, length };
                }
            }
        }
    }

    /// Goes on to the payload. What it is matters no more once the acceptance has been seen.
    fn begin(&mut self, is_text: bool, length: u64) {
        self.payload(length, (is_text && !self.is_accepted).then_some(0));
    }

    fn payload(&mut self, left: u64, alike: Option<usize>) {
        if left > 0 {
            self.step = Step::Payload { left, alike };
        } else {
            self.is_accepted |= alike == Some(ACCEPTANCE.len());
            self.step = Step::Start;
        }
    }
}

/// Compares the payload's next bytes with those that an acceptance has behind its first `count`.
fn compare(count: usize, bytes: &[u8]) -> Option<usize> {
    let expected = &ACCEPTANCE[count..];
    let length = expected.len().min(bytes.len());
    (expected[..length] == bytes[..length]).then_some(count + length)
}

#[cfg(test)]
mod tests {
    use shared_types::event::NAMESPACE;
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    fn encode(frame: Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    fn text(payload: &str) -> Vec<u8> {
        encode(Frame::message(payload.to_owned(), OpCode::Data(Data::Text), true))
    }

    /// What is known after each byte of these frames, however they are cut.
    fn follow(frames: &[Vec<u8>]) -> Outgoing {
        let bytes = frames.concat();
        let mut ends = Vec::new();
        for frame in frames {
            ends.push(ends.last().unwrap_or(&0) + frame.len());
        }
        let mut by_byte = Outgoing::new();
        for at in 0..bytes.len() {
            let end = ends.iter().find(|&&end| end > at).unwrap();
            let rest = if by_byte.is_between_frames() { 0 } else { end - at };
            assert_eq!(by_byte.rest_of_frame(&bytes[at..]), rest, "before byte {at}");
            by_byte.follow(&bytes[at..=at]);
            assert_eq!(by_byte.is_between_frames(), ends.contains(&(at + 1)), "after byte {at}");
            let (mut first, mut second) = (Outgoing::new(), Outgoing::new());
            first.follow(&bytes[..=at]);
            assert_eq!(first.is_accepted(), by_byte.is_accepted(), "after byte {at}");
            second.follow(&bytes);
            first.follow(&bytes[at + 1..]);
            assert_eq!(first.is_accepted(), second.is_accepted(), "cut after byte {at}");
            assert!(first.is_between_frames() && second.is_between_frames());
        }
        by_byte
    }

    #[test]
    fn frames_of_all_lengths_are_followed_to_their_ends() {
        for length in [0, 1, 125, 126, 127, 400] {
            let ping = encode(Frame::ping(vec![0; length.min(125)]));
            follow(&[text(&"x".repeat(length)), ping, text("2"), encode(Frame::close(None))]);
        }
        let long = text(&"x".repeat(70_000));
        let mut outgoing = Outgoing::new();
        outgoing.follow(&long[..9]);
        assert_eq!(outgoing.rest_of_frame(&[long[9..].to_vec(), text("2")].concat()), 70_001);
        outgoing.follow(&long[9..]);
        assert!(outgoing.is_between_frames());
    }

    #[test]
    fn the_acceptance_is_known_once_it_is_out() {
        let open = text(r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#);
        let accepted = text(&format!(r#"40{NAMESPACE},{{"sid":"a"}}"#));
        assert!(follow(&[open.clone(), text("2"), accepted.clone()]).is_accepted());
        assert!(follow(&[accepted.clone(), text("44/dashboard,"), open.clone()]).is_accepted());
        let mut outgoing = Outgoing::new();
        outgoing.follow(&accepted[..accepted.len() - 1]);
        assert!(!outgoing.is_accepted());
    }

    #[test]
    fn nothing_else_is_taken_for_the_acceptance() {
        let refused = text(&format!(r#"44{NAMESPACE},{{"message":"AUTH_FAILED"}}"#));
        let nested = text(&format!("2{}", r#"40/dashboard,{"sid":"a"}"#));
        let begun = text("40/dashboard");
        let binary = OpCode::Data(Data::Binary);
        let binary = encode(Frame::message(ACCEPTANCE.to_vec(), binary, true));
        assert!(!follow(&[refused, nested, begun, binary, text(",")]).is_accepted());
    }

    #[test]
    fn a_connection_pays_a_few_bytes_for_it() {
        assert!(size_of::<Outgoing>() <= 40, "{}", size_of::<Outgoing>());
    }
}
