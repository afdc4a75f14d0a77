//! What stands between strangers and the handlers: allowed hosts, headers on every answer, same-origin requests.

mod headers;
mod host;
mod origin;

pub(crate) use headers::{HeaderPolicy, Origins, Surface, add_headers};
pub(crate) use host::{AllowedHosts, check_host};
pub(crate) use origin::{Provenance, provenance};
