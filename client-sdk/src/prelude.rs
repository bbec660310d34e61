//! Re-exports what the prelude of `std` has and that of `core` lacks: in a browser there is no
//! `std`.

pub(crate) use alloc::borrow::ToOwned;
pub(crate) use alloc::boxed::Box;
pub(crate) use alloc::string::{String, ToString};
pub(crate) use alloc::vec::Vec;
