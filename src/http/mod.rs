//! Everything that answers HTTP.

mod assets;
mod views;

#[cfg(feature = "dev")]
pub use self::views::gallery;
