//! Answers `?fresh=<nonce>` with a snapshot that was made for this request (D-API-2).
//!
//! A cache between client and server may answer with an old snapshot, no matter what the headers say: a
//! proxy that is set up that way, or a service worker. So a client asks with a nonce that it makes up for
//! each request. The server repeats the nonce in the body, beside the tag, and in the body of an error:
//! proxies rewrite headers, not bodies. An answer with the nonce was made after the request. An answer
//! without it, or with another, is an old copy.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use shared_types::SnapshotTag;

use super::conditional::Known;
use super::dashboard::JSON;
use crate::http::error::ApiError;

/// The longest nonce: enough for 128 bits in hexadecimal digits.
const NONCE_MAX: usize = 32;

/// A request for such an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    nonce: String,
    have: Option<SnapshotTag>,
}

impl Fresh {
    /// Reads `fresh`, 1 to 32 letters and digits, and `have`, the tag of the snapshot that the caller has. A
    /// `have` that is no tag is passed over: the answer is a snapshot then, which is never wrong. None
    /// without `fresh`, when `have` means nothing.
    ///
    /// # Errors
    /// 400 where the nonce is another, or one of the two comes twice.
    pub(crate) fn of(query: Option<&str>) -> Result<Option<Self>, ApiError> {
        let query = query.unwrap_or_default();
        let Some(nonce) = nonce(query)? else {
            return Ok(None);
        };
        let have = member(query, "have", "have must be given once")?;
        Ok(Some(Self { nonce, have: have.and_then(|tag| tag.parse().ok()) }))
    }

    /// What the caller has.
    pub(crate) fn known(&self) -> Known {
        Known::Tags(self.have.iter().cloned().collect())
    }

    /// The answer: `{"fresh":"<nonce>","tag":"<epoch>-<revision>","view":…}`, where the view is `null` if the
    /// caller has it. `view` is JSON.
    pub(crate) fn answer(&self, tag: &SnapshotTag, view: Option<&[u8]>) -> Response {
        // Neither has a character that JSON would write otherwise.
        let head = format!(r#"{{"fresh":"{}","tag":"{tag}","view":"#, self.nonce);
        let body = [head.as_bytes(), view.unwrap_or(b"null"), b"}"].concat();
        ([(CONTENT_TYPE, JSON)], body).into_response()
    }
}

/// The nonce, for the body of an error. None where no nonce could be repeated.
pub(crate) fn nonce_of_error(query: Option<&str>) -> Option<String> {
    nonce(query?).ok().flatten()
}

fn nonce(query: &str) -> Result<Option<String>, ApiError> {
    let nonce = member(query, "fresh", "fresh must be given once")?;
    let is_plain = |nonce: &String| {
        (1..=NONCE_MAX).contains(&nonce.len())
            && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if nonce.as_ref().is_none_or(is_plain) {
        Ok(nonce)
    } else {
        Err(bad("fresh must be 1 to 32 letters and digits (0-9, A-Z, a-z)"))
    }
}

/// The value of a member that may be there once.
fn member(query: &str, name: &str, twice: &'static str) -> Result<Option<String>, ApiError> {
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter_map(|(member, value)| (member == name).then(|| value.into_owned()));
    let value = values.next();
    if values.next().is_some() { Err(bad(twice)) } else { Ok(value) }
}

fn bad(message: &'static str) -> ApiError {
    ApiError::Invalid(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Option<Fresh>, &'static str> {
        Fresh::of(Some(query)).map_err(|error| {
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            error.message()
        })
    }

    fn fresh(nonce: &str, have: Option<&str>) -> Fresh {
        let have = have.map(|tag| tag.parse().unwrap());
        Fresh { nonce: nonce.to_owned(), have }
    }

    #[test]
    fn the_nonce_and_the_tag_are_found_among_other_members() {
        let longest = "aZ09".repeat(8);
        for (query, expected) in [
            ("fresh=1", Some(fresh("1", None))),
            (&*format!("fresh={longest}"), Some(fresh(&longest, None))),
            ("fresh=a1&have=e-17", Some(fresh("a1", Some("e-17")))),
            ("x=1&have=e-17&y&fresh=a1&x=2", Some(fresh("a1", Some("e-17")))),
            ("%66resh=%41&have=e%2D17", Some(fresh("A", Some("e-17")))),
            ("", None),
            ("x=1&have=e-17&have=e-18&Fresh=a&freshen=b", None),
        ] {
            assert_eq!(read(query), Ok(expected), "{query}");
        }
        assert!(matches!(Fresh::of(None), Ok(None)));
    }

    #[test]
    fn what_is_no_tag_is_not_had() {
        for have in ["", "17", "e", "e-017", "%22e-17%22", "e-17-gzip", "*", "e-17%00"] {
            assert_eq!(read(&format!("fresh=a&have={have}")), Ok(Some(fresh("a", None))), "{have}");
        }
    }

    #[test]
    fn a_nonce_that_could_be_anything_is_refused() {
        let too_long = "a".repeat(33);
        for nonce in ["", &too_long, "a-b", "a_b", "a+b", "%22", "%C3%A4", "a%00", "a,b"] {
            let query = format!("fresh={nonce}");
            assert_eq!(nonce_of_error(Some(&query)), None, "{nonce}");
            let refused = read(&query).unwrap_err();
            assert!(refused.contains("1 to 32 letters and digits"), "{nonce}: {refused}");
        }
        for query in ["fresh", "fresh&have=e-17"] {
            assert!(read(query).unwrap_err().contains("1 to 32"), "{query}");
        }
    }

    #[test]
    fn a_nonce_that_is_given_twice_is_refused() {
        for query in ["fresh=a&fresh=b", "fresh=a&fresh=a", "fresh=a&%66resh=a"] {
            assert_eq!(read(query), Err("fresh must be given once"), "{query}");
            assert_eq!(nonce_of_error(Some(query)), None, "{query}");
        }
        for query in ["fresh=a&have=e-17&have=e-17", "have=x&fresh=a&have="] {
            assert_eq!(read(query), Err("have must be given once"), "{query}");
            assert_eq!(nonce_of_error(Some(query)).as_deref(), Some("a"), "{query}");
        }
    }
}
