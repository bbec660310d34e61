//! Refuses tokens in the query of an address.

use http::StatusCode;

use crate::http::error::ApiError;

/// What tokens are called where they are put into addresses.
const TOKENS: [&str; 6] =
    ["token", "access_token", "id_token", "auth_token", "jwt", "authorization"];

/// Refuses a query that carries a token, in any encoding of its name.
///
/// Addresses end up in histories, in `Referer` and in the logs of every proxy on the way. The server
/// refuses the query instead of ignoring it, so that its sender learns that the token has leaked. It
/// neither reads nor logs the value here.
///
/// # Errors
/// 400.
pub(crate) fn refuse_tokens(query: Option<&str>) -> Result<(), ApiError> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    if pairs.any(|(name, _)| TOKENS.iter().any(|token| name.eq_ignore_ascii_case(token))) {
        let message = "Tokens do not belong in addresses; send them in Authorization, or in the \
                       socket's handshake";
        return Err(ApiError::Invalid(StatusCode::BAD_REQUEST, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_refused_however_they_are_written() {
        for bad in [
            "token=x",
            "token",
            "a=b&token=x",
            "Access_Token=x",
            "id_token=x",
            "auth_token=x",
            "JWT=x",
            "authorization=Bearer+x",
            "%74oken=x",
            "%74%6F%6b%65%6E=x",
            "access%5Ftoken=x",
        ] {
            let refused = refuse_tokens(Some(bad));
            assert!(matches!(refused, Err(ApiError::Invalid(..))), "{bad}");
        }
        for fine in [None, Some(""), Some("t=token"), Some("tokens=1"), Some("a=1&b=jwt%26token=x")]
        {
            assert!(refuse_tokens(fine).is_ok(), "{fine:?}");
        }
    }
}
