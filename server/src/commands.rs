//! What the program does besides serving: [`check`] an installation, and install or look after a [`source`].

pub mod check;
pub mod source;
