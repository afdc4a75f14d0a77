//! Whether a request that changes something was made by a page of ours.

use axum::http::{HeaderMap, header::ORIGIN};
use url::Origin;

/// Where a request says it comes from; a browser says so truthfully and no page can make it lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// A page of ours.
    SameOrigin,
    /// Somebody else's page, a link, or an address typed in.
    Elsewhere,
    /// Nothing said: no browser of the last years, but a program.
    Unsaid,
}

/// What the browser's own headers say; `Sec-Fetch-Site` knows best, `Origin` is for browsers without it.
pub(crate) fn provenance(headers: &HeaderMap, own: &Origin) -> Provenance {
    let said = |name: &str, is_own: &dyn Fn(&str) -> bool| {
        let mut values = headers.get_all(name).iter().peekable();
        values
            .peek()
            .is_some()
            .then(|| values.all(|value| value.to_str().is_ok_and(is_own)))
    };
    let own = own.ascii_serialization();
    let site = said("sec-fetch-site", &|site| site == "same-origin");
    match site.or_else(|| said(ORIGIN.as_str(), &|origin| origin == own)) {
        Some(true) => Provenance::SameOrigin,
        Some(false) => Provenance::Elsewhere,
        None => Provenance::Unsaid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn from(headers: &[(&'static str, &'static str)]) -> Provenance {
        let own = Url::parse("https://verify.example/").unwrap().origin();
        let headers = headers
            .iter()
            .fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(*name, value.parse().unwrap());
                all
            });
        provenance(&headers, &own)
    }

    #[test]
    fn the_site_header_decides_whatever_the_origin_says() {
        let foreign = ("origin", "https://evil.example");
        let own = ("origin", "https://verify.example");
        assert_eq!(
            from(&[("sec-fetch-site", "same-origin"), foreign]),
            Provenance::SameOrigin
        );
        for site in [
            "same-site",
            "cross-site",
            "none",
            "",
            "Same-Origin",
            "same-origin, none",
        ] {
            assert_eq!(
                from(&[("sec-fetch-site", site), own]),
                Provenance::Elsewhere,
                "{site}"
            );
        }
    }

    #[test]
    fn without_the_site_header_the_origin_must_be_ours_to_the_letter() {
        assert_eq!(
            from(&[("origin", "https://verify.example")]),
            Provenance::SameOrigin
        );
        for origin in [
            "null",
            "",
            "http://verify.example",
            "https://verify.example:444",
            "https://verify.example.evil.example",
            "https://verify.example/",
        ] {
            assert_eq!(
                from(&[("origin", origin)]),
                Provenance::Elsewhere,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_header_said_twice_must_be_ours_both_times() {
        let twice = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(from(&twice), Provenance::Elsewhere);
        let twice = [
            ("origin", "https://verify.example"),
            ("origin", "https://evil.example"),
        ];
        assert_eq!(from(&twice), Provenance::Elsewhere);
    }

    #[test]
    fn a_program_says_nothing() {
        assert_eq!(
            from(&[("referer", "https://evil.example/")]),
            Provenance::Unsaid
        );
    }
}
