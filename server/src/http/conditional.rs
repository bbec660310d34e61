//! Reads `If-None-Match`: the snapshots that the caller has (RFC 9110, 13.1.2).

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use shared_types::SnapshotTag;

/// What the caller has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Any snapshot at all would be no news (`*`).
    Any,
    /// These.
    Tags(Vec<SnapshotTag>),
}

impl Known {
    /// Reads the header, and skips tags that are not ours and malformed ones. The answer is a snapshot
    /// then, which is never wrong.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines: Vec<&[u8]> =
            headers.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes).collect();
        // Only alone is it more than a malformed tag.
        if matches!(lines[..], [line] if line.trim_ascii() == b"*") {
            return Self::Any;
        }
        Self::Tags(lines.into_iter().flat_map(quoted).filter_map(ours).collect())
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Tags(tags) if tags.is_empty())
    }

    /// Whether the snapshot with this tag is among them.
    pub(crate) fn has(&self, tag: &SnapshotTag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.contains(tag),
        }
    }
}

/// The tags in a line, with their quotes, and without the mark of weak ones: proxies that compress put it
/// there, and it makes no difference here. A comma within quotes separates nothing.
fn quoted(line: &[u8]) -> Vec<&[u8]> {
    let mut tags = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let start = rest.trim_ascii_start();
        let tag = start.strip_prefix(b"W/").unwrap_or(start);
        let length = tag.strip_prefix(b"\"").and_then(|text| text.iter().position(|&b| b == b'"'));
        let (found, after) = match length {
            Some(length) => (Some(&tag[..length + 2]), &tag[length + 2..]),
            None => (None, start),
        };
        let end = after.iter().position(|&byte| byte == b',').unwrap_or(after.len());
        // Something between a tag and the next comma: it is no tag.
        tags.extend(found.filter(|_| after[..end].trim_ascii().is_empty()));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    tags
}

/// The tag, if it is one of this server's. The caller may have it in the form that a proxy has written.
fn ours(quoted: &[u8]) -> Option<SnapshotTag> {
    SnapshotTag::from_header(str::from_utf8(quoted).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(lines: &[&[u8]]) -> Known {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_NONE_MATCH, HeaderValue::from_bytes(line).unwrap());
        }
        Known::of(&headers)
    }

    #[test]
    fn a_star_by_itself_is_any_snapshot() {
        let tag: SnapshotTag = "e-7".parse().unwrap();
        assert!(known(&[b"*"]).has(&tag) && known(&[b" * "]) == Known::Any);
        for lines in [&[&b"*"[..], b"*"][..], &[b"*, \"x\""], &[b"\"*\""], &[b"**"], &[b"W/*"]] {
            assert!(known(lines).is_nothing(), "{lines:?}");
        }
        assert!(known(&[]).is_nothing());
    }

    #[test]
    fn our_tag_is_found_wherever_it_is() {
        let tag: SnapshotTag = "e-7".parse().unwrap();
        for lines in [
            &[&b"\"e-7\""[..]][..],
            &[b"W/\"e-7\""],
            &[b"\"e-6\", \"e-7\""],
            &[b"\"e-6\",W/\"e-7\",\"e-8\""],
            &[b"\"x\"", b"\"e-7\""],
            &[b" , ,\"e-7\" ,"],
            &[b"\"a,b\", \"\", \"e-7\""],
            &[b"\"a, \xe9\", \"e-7\""],
            &[b"e-7, *, \"e-7\""],
            &[b"\"x\"y, \"e-7\""],
            &[b"\"unfinished", b"\"e-7\""],
            // Apache writes its own suffix, and takes it back from nothing.
            &[b"\"e-7-gzip\""],
            &[b"W/\"e-7--gzip\", \"x\""],
        ] {
            assert!(known(lines).has(&tag), "{lines:?}");
        }
    }

    #[test]
    fn what_only_looks_like_our_tag_is_not() {
        for line in [
            &b""[..],
            b"e-7",
            b"'e-7'",
            b"\"e-7",
            b"e-7\"",
            b"w/\"e-7\"",
            b"W/ \"e-7\"",
            b"W/W/\"e-7\"",
            b"\"e-07\"",
            b"\"e-7x\"",
            b"\"e-70\"",
            b"\"E-7\"",
            b"\" e-7\"",
            b"\"e-7\"x",
            b"x\"e-7\"",
            b"\"x,\"e-7\"",
            b"\"a, W/\"e-7\"",
        ] {
            let tag: SnapshotTag = "e-7".parse().unwrap();
            assert!(!known(&[line]).has(&tag), "{}", String::from_utf8_lossy(line));
        }
    }
}
