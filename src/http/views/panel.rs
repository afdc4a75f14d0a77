//! One state as a piece of page: shown at once, or kept in a `<template>` until the script needs it.

use askama::Template;

use crate::domain;

use super::{
    Chrome, Needs,
    state::{Note, VerifyState},
    words,
};

/// The card that says one state.
#[derive(Debug, Template)]
#[template(path = "panel.html", whitespace = "minimize")]
pub(super) struct Panel<'a> {
    pub(super) chrome: &'a Chrome,
    pub(super) state: &'a VerifyState,
    pub(super) needs: &'a Needs,
}
