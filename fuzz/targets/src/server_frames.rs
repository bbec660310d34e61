//! The raw bytes that a client sends after the upgrade.

use std::io::Cursor;
use std::time::Instant;

use dashboard_server::sockets::frames::{FrameLimits, FrameScanner, Violation};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

const LIMITS: FrameLimits = FrameLimits { max_message_bytes: 300, messages_per_s: 10 };
/// Two seconds' worth.
const BURST: usize = 20;

/// A stream of frames, perhaps.
///
/// # Panics
/// Where the verdict depends on how the stream is cut, or frames pass that should not.
pub fn server_frames(bytes: &[u8]) {
    let now = Instant::now();
    let whole = FrameScanner::new(LIMITS).scan(bytes, now);
    let split = bytes.first().map_or(1, |byte| usize::from(byte % 32) + 1);
    for size in [1, 2, 3, split] {
        let mut scanner = FrameScanner::new(LIMITS);
        let verdict = bytes.chunks(size).try_for_each(|chunk| scanner.scan(chunk, now));
        assert_eq!(verdict, whole, "in chunks of {size}");
        assert_eq!(scanner.scan(&[], now), whole, "forgot it");
    }
    if let Some(expected) = judged_by_headers(bytes) {
        assert_eq!(whole.is_ok(), expected.is_ok(), "{whole:?}, but {expected:?}");
    }
}

/// The same verdict, by the library's own reader of headers and the rules written down flat. None
/// where the stream ends within a header, which that reader does not judge.
fn judged_by_headers(bytes: &[u8]) -> Option<Result<(), Violation>> {
    let (mut rest, mut open, mut count) = (bytes, None, 0);
    while !rest.is_empty() {
        count += 1;
        let (header, length) = match FrameHeader::parse(&mut Cursor::new(rest)) {
            Ok(header) => header?,
            Err(_) => return Some(Err(Violation::Malformed)),
        };
        let verdict = judge(&header, length, &mut open, count);
        let is_minimal = match rest[1] & 0x7f {
            126 => length > 125,
            127 => length > u16::MAX.into(),
            _ => true,
        };
        if verdict.is_err() || !is_minimal {
            return Some(verdict.and(Err(Violation::Malformed)));
        }
        // Beyond the end where the payload has not come yet.
        let behind = header.len(length) + usize::try_from(length).ok()?;
        rest = rest.get(behind..).unwrap_or_default();
    }
    Some(Ok(()))
}

fn judge(
    header: &FrameHeader,
    length: u64,
    open: &mut Option<u64>,
    count: usize,
) -> Result<(), Violation> {
    let is_reserved = header.rsv1 || header.rsv2 || header.rsv3;
    let is_lawful = match header.opcode {
        OpCode::Control(_) => header.is_final && length <= 125,
        OpCode::Data(Data::Continue) => open.is_some(),
        OpCode::Data(_) => open.is_none(),
    };
    if is_reserved || !is_lawful || header.mask.is_none() {
        return Err(Violation::Malformed);
    }
    if count > BURST {
        return Err(Violation::MessageRate);
    }
    if let OpCode::Data(_) = header.opcode {
        let total = open.unwrap_or(0).saturating_add(length);
        if total > LIMITS.max_message_bytes.into() {
            return Err(Violation::MessageSize);
        }
        *open = if header.is_final { None } else { Some(total) };
    }
    Ok(())
}
