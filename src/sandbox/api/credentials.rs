//! Who calls, and in which version: any test key will do.

use axum::http::{HeaderMap, header};

use crate::sandbox::refusal::Refusal;

/// Named releases of Stripe's API; older versions are a bare date.
const RELEASES: [&str; 6] = ["acacia", "basil", "clover", "dahlia", "endive", "preview"];

/// What a call's headers say of its caller.
pub(super) struct Credentials {
    pub(super) restricted: bool,
    pub(super) version: Option<String>,
}

pub(super) fn read(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let restricted = restricted(&key(headers)?)?;
    let version = headers.get("stripe-version");
    let version = version.map(|v| v.to_str().unwrap_or_default().to_owned());
    if version.as_deref().is_some_and(|v| !is_version(v)) {
        let message = "Invalid Stripe API version; it is a date, or a date and a release name.";
        return Err(Refusal::invalid(message).unexecuted());
    }
    Ok(Credentials {
        restricted,
        version,
    })
}

fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    let key = given.and_then(|given| match given.split_once(' ')? {
        (scheme, key) if scheme.eq_ignore_ascii_case("bearer") => Some(key.trim().to_owned()),
        (scheme, pair) if scheme.eq_ignore_ascii_case("basic") => {
            let pair = String::from_utf8(decode(pair.trim())?).ok()?;
            let (user, _) = pair.split_once(':')?;
            Some(user.to_owned())
        }
        _ => None,
    });
    key.filter(|key| !key.is_empty()).ok_or_else(|| {
        Refusal::unauthorized(
            "No API key was sent. Send one as 'Authorization: Bearer sk_test_…', or as the \
             user name of basic authentication.",
        )
    })
}

fn restricted(key: &str) -> Result<bool, Refusal> {
    let is = |prefix: &str| {
        key.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
    };
    if is("sk_test_") {
        Ok(false)
    } else if is("rk_test_") {
        Ok(true)
    } else if key.starts_with("pk_") {
        let message = "This call needs a secret key; a publishable one was sent.";
        Err(Refusal::unauthorized(message).code("secret_key_required"))
    } else if key.starts_with("sk_live_") || key.starts_with("rk_live_") {
        let message = "The sandbox takes test keys only: a live key must not leave for here.";
        Err(Refusal::unauthorized(message))
    } else {
        Err(Refusal::unauthorized("Invalid API key provided."))
    }
}

/// `2026-07-29.dahlia`, `2020-08-27`, and either with options after a semicolon.
fn is_version(version: &str) -> bool {
    let named = version.split(';').next().unwrap_or_default();
    let (date, release) = named.split_once('.').unwrap_or((named, "dahlia"));
    let shape: String = date
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00" && RELEASES.contains(&release)
}

/// Base64, for basic authentication alone.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len()));
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 & 0xff_ffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(authorization: &str) -> Result<Credentials, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        read(&headers)
    }

    #[test]
    fn any_test_key_calls_as_bearer_or_by_basic_authentication() {
        assert!(!with("Bearer sk_test_1").unwrap().restricted);
        assert!(with("bearer rk_test_1").unwrap().restricted);
        assert!(!with("Basic c2tfdGVzdF8xMjM6").unwrap().restricted);
        assert_eq!(decode("c2tfdGVzdF8xMjM6").unwrap(), b"sk_test_123:");
    }

    #[test]
    fn no_other_key_does() {
        for wrong in [
            "",
            "Bearer ",
            "Bearer sk_test_",
            "Bearer sk_live_1",
            "Bearer pk_test_1",
            "Bearer nonsense",
            "Basic !!!!",
            "Basic Og==",
            "sk_test_1",
        ] {
            assert_eq!(with(wrong).err().map(|r| r.status), Some(401), "{wrong}");
        }
    }

    #[test]
    fn versions_are_dates_with_or_without_a_release() {
        for (version, ok) in [
            ("2026-07-29.dahlia", true),
            ("2026-10-28.endive", true),
            ("2020-08-27", true),
            ("2020-08-27; identity_client_api=v7", true),
            ("2026-10-28.zinnia", false),
            ("dahlia", false),
            ("", false),
        ] {
            assert_eq!(is_version(version), ok, "{version}");
        }
    }
}
