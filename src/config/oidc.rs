//! The settings of the identity provider that people sign in with.

use secrecy::SecretString;
use url::Url;

use super::{
    parse,
    reader::{Advice, Found, Reader},
};

/// The identity provider, and what we are to it.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// `OIDC_ISSUER`: its name, to the letter; its description is found below.
    pub issuer: String,
    /// `OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `OIDC_CLIENT_SECRET`.
    pub client_secret: SecretString,
}

/// `None` when no setting of the kind is there.
pub(super) fn read(reader: &mut Reader<'_>) -> Found<OidcConfig> {
    let issuer = reader.parsed("OIDC_ISSUER", issuer);
    let client_id = reader.parsed("OIDC_CLIENT_ID", parse::line);
    let client_secret = reader.secret("OIDC_CLIENT_SECRET", |text| Ok(SecretString::from(text)));
    if matches!(
        (&issuer, &client_id, &client_secret),
        (Ok(None), Ok(None), Ok(None))
    ) {
        return Ok(None);
    }
    let advice = "set it to your identity provider's address, without /.well-known/…";
    let issuer = reader.required("OIDC_ISSUER", issuer, None, advice);
    let advice = "copy it from where this server is registered with your identity provider";
    let client_id = reader.required("OIDC_CLIENT_ID", client_id, None, advice);
    let client_secret = reader.required("OIDC_CLIENT_SECRET", client_secret, None, advice);
    Ok(Some(OidcConfig {
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret?,
    }))
}

/// As it was written: issuers are compared to the letter, a slash at the end included.
fn issuer(text: &str) -> Result<String, Advice> {
    let url = parse::page(text)?;
    if url.scheme() != "https" && !parse::is_loopback(&url) {
        return Err("must begin with https://, except on this machine".into());
    }
    if is_more_than_a_path(&url) {
        return Err("is an address with ? or #, which no issuer has".into());
    }
    Ok(text.to_owned())
}

fn is_more_than_a_path(url: &Url) -> bool {
    url.query().is_some() || url.fragment().is_some()
}
