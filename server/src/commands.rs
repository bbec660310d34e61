//! Implements the commands besides serving: [`check`] an installation, and install or maintain a [`source`].

pub mod check;
pub mod source;
