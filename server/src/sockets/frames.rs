//! Scans the WebSocket frames that a client sends (RFC 6455), before the WebSocket library sees them.
//!
//! The library bounds the size of a message, but not the rate of frames, and shows none of a message's
//! fragments before the last. [`FrameScanner`] reads only the headers, from the bytes as they come off the
//! stream in chunks of any size. It reports a client over its limits at the first header that goes too
//! far: before the payload is read or kept.
//!
//! It does no I/O, has no clock and holds no payload: a few bytes for each connection.

use std::time::{Duration, Instant};

/// What one client may send.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// The payload of one message, all of its fragments together, in bytes.
    pub max_message_bytes: u32,
    /// Frames per second in the long run: fragments and control frames count like any other. Two
    /// seconds' worth, and five frames at least, may come at once. Zero counts as one.
    pub messages_per_s: u32,
}

/// How a client went too far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message, as far as its headers have come, is larger than allowed.
    #[error("the message is too large")]
    MessageSize,
    /// Frames come faster than allowed.
    #[error("too many messages")]
    MessageRate,
    /// These bytes are not what a WebSocket client sends.
    #[error("the frame is malformed")]
    Malformed,
}

impl Violation {
    /// The name in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::MessageSize => "message_size",
            Self::MessageRate => "message_rate",
            Self::Malformed => "malformed_frame",
        }
    }
}

/// How much of its rate a client has used up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MessageRate {
    /// When the messages that have come would all have been due, had they come evenly. How far this
    /// lies ahead is how much of the burst is used up.
    paid_until: Option<Instant>,
}

impl MessageRate {
    /// Counts a message, or a frame of one.
    pub(crate) fn pay(&mut self, limits: FrameLimits, now: Instant) -> Result<(), Violation> {
        let rate = limits.messages_per_s.max(1);
        let each = Duration::from_secs(1) / rate;
        let burst = each * rate.saturating_mul(2).max(MIN_BURST);
        let paid_until = self.paid_until.map_or(now, |until| until.max(now)) + each;
        self.paid_until = Some(paid_until);
        if paid_until.duration_since(now) > burst { Err(Violation::MessageRate) } else { Ok(()) }
    }
}

/// Follows one client's frames.
#[derive(Debug)]
pub struct FrameScanner {
    limits: FrameLimits,
    step: Step,
    rate: MessageRate,
    /// The payload of the message that is under way. `None` between messages.
    message: Option<u32>,
    violation: Option<Violation>,
}

impl FrameScanner {
    /// A scanner for a connection that has just been upgraded.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            step: Step::Start,
            rate: MessageRate::default(),
            message: None,
            violation: None,
        }
    }

    /// Takes the next bytes of the stream, which came at `now`. How the stream is cut into chunks
    /// makes no difference.
    ///
    /// # Errors
    /// The first violation, at the header's byte that shows it. Returns it again at every later call,
    /// because nothing that follows can be trusted to be a frame.
    pub fn scan(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Step::Skip { left } = self.step {
                let skipped =
                    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                bytes = &bytes[skipped..];
                // A slice is never longer than 64 bits can say.
                let left = left - skipped as u64;
                self.step = if left == 0 { Step::Start } else { Step::Skip { left } };
                continue;
            }
            bytes = rest;
            self.step = self.header(byte, now).inspect_err(|&violation| {
                self.violation = Some(violation);
            })?;
        }
        Ok(())
    }

    fn header(&mut self, byte: u8, now: Instant) -> Result<Step, Violation> {
        match self.step {
            Step::Start | Step::Skip { .. } => {
                let head = self.head(byte)?;
                self.rate.pay(self.limits, now)?;
                Ok(Step::Second(head))
            }
            Step::Second(head) => {
                if byte & MASKED == 0 {
                    return Err(Violation::Malformed);
                }
                match byte & !MASKED {
                    _ if head.control && byte & !MASKED > MAX_SHORT => Err(Violation::Malformed),
                    126 => Ok(Step::Length { head, wide: false, left: 2, length: 0 }),
                    127 => Ok(Step::Length { head, wide: true, left: 8, length: 0 }),
                    short => self.payload(head, short.into()),
                }
            }
            Step::Length { head, wide, left, length } => {
                // The first of eight bytes says whether the rest can be added up.
                if wide && left == 8 && byte & TOP_BIT != 0 {
                    return Err(Violation::Malformed);
                }
                let (left, length) = (left - 1, length << 8 | u64::from(byte));
                if left > 0 {
                    return Ok(Step::Length { head, wide, left, length });
                }
                let least = if wide { u64::from(u16::MAX) + 1 } else { u64::from(MAX_SHORT) + 1 };
                if length < least { Err(Violation::Malformed) } else { self.payload(head, length) }
            }
        }
    }

    /// The first byte: what kind of frame, and whether such a frame may come now.
    fn head(&self, byte: u8) -> Result<Head, Violation> {
        let last = byte & FINAL != 0;
        let is_allowed = match byte & OPCODE {
            CONTINUATION => self.message.is_some(),
            TEXT | BINARY => self.message.is_none(),
            CLOSE | PING | PONG => last,
            _ => false,
        };
        if byte & RESERVED != 0 || !is_allowed {
            return Err(Violation::Malformed);
        }
        Ok(Head { last, control: byte & OPCODE >= CLOSE })
    }

    /// Adds a frame's payload to its message, and goes on behind it.
    fn payload(&mut self, head: Head, length: u64) -> Result<Step, Violation> {
        if !head.control {
            let total = u64::from(self.message.unwrap_or(0)).saturating_add(length);
            let total = u32::try_from(total).map_err(|_| Violation::MessageSize)?;
            if total > self.limits.max_message_bytes {
                return Err(Violation::MessageSize);
            }
            self.message = if head.last { None } else { Some(total) };
        }
        // Without its top bit a length leaves room for the mask.
        Ok(Step::Skip { left: MASK_BYTES + length })
    }
}

/// Where in a frame the next byte lies.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// At a frame's first byte.
    Start,
    /// At the second: the mask's bit and the short length.
    Second(Head),
    /// Within a length of two bytes, or of eight (`wide`).
    Length { head: Head, wide: bool, left: u8, length: u64 },
    /// In the mask's key or the payload.
    Skip { left: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Head {
    last: bool,
    control: bool,
}

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const MASKED: u8 = 0x80;
const MASK_BYTES: u64 = 4;
/// The longest payload whose length stands in the second byte, and of any control frame.
const MAX_SHORT: u8 = 125;
const TOP_BIT: u8 = 0x80;
/// A client may answer a few pings at once, however low its rate is set.
const MIN_BURST: u32 = 5;

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    const LIMITS: FrameLimits = FrameLimits { max_message_bytes: 70_000, messages_per_s: 1_000 };
    const TEXT_FRAME: OpCode = OpCode::Data(Data::Text);
    const MORE: OpCode = OpCode::Data(Data::Continue);

    /// A frame as a real client encodes it.
    fn frame(opcode: OpCode, last: bool, length: usize) -> Vec<u8> {
        masked(Frame::message(vec![b'x'; length], opcode, last))
    }

    fn pong(length: usize) -> Vec<u8> {
        masked(Frame::pong(vec![b'x'; length]))
    }

    fn masked(mut frame: Frame) -> Vec<u8> {
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    /// What whole bytes are found to be. Each way to cut them must give the same: at every single
    /// place, and into chunks of each small size.
    fn verdict(limits: FrameLimits, bytes: &[u8]) -> Result<(), Violation> {
        let now = Instant::now();
        let whole = FrameScanner::new(limits).scan(bytes, now);
        // Long payloads are all alike inside: cut at their ends.
        let near = |at: &usize| *at < 600 || *at + 600 > bytes.len();
        for at in (0..=bytes.len()).filter(near) {
            let mut scanner = FrameScanner::new(limits);
            let first = scanner.scan(&bytes[..at], now);
            let second = scanner.scan(&bytes[at..], now);
            assert_eq!(first.and(second), whole, "cut at {at}");
            assert!(first.is_ok() || second == first, "a violation was forgotten at {at}");
        }
        for size in 1..20 {
            let mut scanner = FrameScanner::new(limits);
            let pieces = bytes.chunks(size).try_for_each(|chunk| scanner.scan(chunk, now));
            assert_eq!(pieces, whole, "in chunks of {size}");
        }
        whole
    }

    #[test]
    fn what_clients_send_passes() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            assert_eq!(verdict(LIMITS, &frame(TEXT_FRAME, true, length)), Ok(()), "{length}");
        }
        let binary = frame(OpCode::Data(Data::Binary), true, 300);
        let pings = [masked(Frame::ping(Vec::new())), pong(125)].concat();
        // Control frames may come between the fragments of a message.
        let fragments = [
            frame(TEXT_FRAME, false, 200),
            pings.clone(),
            frame(MORE, false, 0),
            pings.clone(),
            frame(MORE, true, 7),
        ];
        let all = [binary, pings, fragments.concat(), masked(Frame::close(None))].concat();
        assert_eq!(verdict(LIMITS, &all), Ok(()));
    }

    #[test]
    fn a_message_is_as_large_as_its_fragments_together() {
        let large = frame(TEXT_FRAME, true, 70_001);
        assert_eq!(verdict(LIMITS, &large), Err(Violation::MessageSize));
        let mut fragments = frame(TEXT_FRAME, false, 70);
        for _ in 1..1_000 {
            fragments.extend(frame(MORE, false, 70));
        }
        let ended = [fragments.clone(), frame(MORE, true, 0), frame(TEXT_FRAME, true, 70_000)];
        assert_eq!(verdict(LIMITS, &ended.concat()), Ok(()));
        let one_more = [fragments, frame(MORE, true, 1)].concat();
        assert_eq!(verdict(LIMITS, &one_more), Err(Violation::MessageSize));
    }

    #[test]
    fn a_violation_shows_in_the_header() {
        let header = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x71];
        assert_eq!(verdict(LIMITS, &header), Err(Violation::MessageSize));
        assert_eq!(verdict(LIMITS, &header[..9]), Ok(()));
        let absurd = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(verdict(LIMITS, &absurd), Err(Violation::MessageSize));
        // In one fragment after another it does not overflow either.
        let most = FrameLimits { max_message_bytes: u32::MAX, ..LIMITS };
        let mut second = frame(TEXT_FRAME, false, 5);
        second.extend(absurd);
        second[11] = 0x80;
        assert_eq!(verdict(most, &second), Err(Violation::MessageSize));
    }

    #[test]
    fn what_no_client_sends_is_malformed() {
        let bad: [&[u8]; 16] = [
            b"GET / HTTP/1.1\r\n",
            &[0xc1],
            &[0xa1],
            &[0x91],
            &[0x83],
            &[0x8f],
            // Not masked.
            &[0x81, 0x05],
            // A ping of 126 bytes, of more, and in fragments.
            &[0x89, 0xfe],
            &[0x89, 0xff],
            &[0x09],
            // Nothing to continue, first and after a whole message.
            &[0x80],
            &[0x81, 0x80, 0, 0, 0, 0, 0x80],
            // A new message within another.
            &[0x01, 0x80, 0, 0, 0, 0, 0x81],
            // Lengths in more bytes than they take, and one with the top bit.
            &[0x81, 0xfe, 0, 125],
            &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x81, 0xff, 0x80],
        ];
        for bytes in bad {
            assert_eq!(verdict(LIMITS, bytes), Err(Violation::Malformed), "{bytes:x?}");
            let before = [frame(TEXT_FRAME, true, 9), bytes.to_vec()].concat();
            assert_eq!(verdict(LIMITS, &before), Err(Violation::Malformed), "{bytes:x?}");
        }
        // Any first two bytes are judged without a panic, and alike.
        for first in 0..=u8::MAX {
            for second in [0, 5, 0x80, 0xfd, 0xfe, 0xff] {
                let found = verdict(LIMITS, &[first, second, 0, 0, 0, 0]);
                let masked = second & MASKED != 0;
                let data = [0x01, 0x02, 0x81, 0x82].contains(&first);
                let control = [0x88, 0x89, 0x8a].contains(&first) && second <= 0xfd;
                let minimal = second < 0xfe || second == 0xff;
                let expected = masked && minimal && (data || control);
                assert_eq!(found.is_ok(), expected, "{first:x} {second:x}");
            }
        }
    }

    #[test]
    fn frames_of_any_kind_are_paid_for() {
        let limits = FrameLimits { messages_per_s: 4, ..LIMITS };
        for eight in [
            frame(TEXT_FRAME, true, 1).repeat(8),
            pong(0).repeat(8),
            [frame(TEXT_FRAME, false, 1), frame(MORE, false, 0).repeat(7)].concat(),
        ] {
            assert_eq!(verdict(limits, &eight), Ok(()));
            let ninth = [eight.clone(), pong(0)].concat();
            assert_eq!(verdict(limits, &ninth), Err(Violation::MessageRate));
            // Its first byte is enough.
            let ninth = [eight, vec![0x8a]].concat();
            assert_eq!(verdict(limits, &ninth), Err(Violation::MessageRate));
        }
    }

    #[test]
    fn a_burst_comes_back_with_time() {
        let pong = pong(0);
        let limits = FrameLimits { messages_per_s: 4, ..LIMITS };
        let (mut scanner, start) = (FrameScanner::new(limits), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(scanner.scan(&pong.repeat(8), at(0)), Ok(()));
        // At its rate a client may go on for ever.
        for count in 1..100 {
            assert_eq!(scanner.scan(&pong, at(250 * count)), Ok(()));
        }
        // After a long silence there is one burst, not more.
        assert_eq!(scanner.scan(&pong.repeat(8), at(3_600_000)), Ok(()));
        assert_eq!(scanner.scan(&pong, at(3_600_249)), Err(Violation::MessageRate));
        assert_eq!(scanner.scan(&[], at(7_200_000)), Err(Violation::MessageRate));
        // The lowest rates leave room for five. The highest overflow nowhere.
        for messages_per_s in [0, 1, 2] {
            let limits = FrameLimits { messages_per_s, ..LIMITS };
            assert_eq!(verdict(limits, &pong.repeat(5)), Ok(()));
            assert_eq!(verdict(limits, &pong.repeat(6)), Err(Violation::MessageRate));
        }
        let limits = FrameLimits { messages_per_s: u32::MAX, ..LIMITS };
        assert_eq!(verdict(limits, &pong.repeat(1_000)), Ok(()));
    }

    #[test]
    fn a_clock_that_seems_to_stand_or_go_back_does_no_harm() {
        let limits = FrameLimits { messages_per_s: 4, ..LIMITS };
        let (mut scanner, now) = (FrameScanner::new(limits), Instant::now());
        let pong = pong(0);
        assert_eq!(scanner.scan(&pong, now + Duration::from_secs(1)), Ok(()));
        assert_eq!(scanner.scan(&pong, now), Ok(()));
        let mut refused = 0;
        for _ in 0..20 {
            refused += usize::from(scanner.scan(&pong, now).is_err());
        }
        assert!(refused > 10);
    }

    #[test]
    fn a_connection_pays_a_few_bytes_for_it() {
        assert!(size_of::<FrameScanner>() <= 64, "{}", size_of::<FrameScanner>());
    }
}
