//! Parses addresses for native programs, with `url`. The HTTP client uses the same parser.

use reqwest::Url;

use crate::endpoint::{Endpoints, InvalidUrl};

impl Endpoints {
    /// The addresses below `url`, as a native program reads it; see [`Endpoints::new`].
    ///
    /// # Errors
    ///
    /// See [`Endpoints::new`].
    pub fn read(url: &str, base_path: &str) -> Result<Self, InvalidUrl> {
        Self::new(url, base_path, |text| Url::parse(text).ok().map(String::from))
    }
}
