//! Parses the setting `DASHBOARD_LOG`.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::ConfigError;

/// Reads `DASHBOARD_LOG`.
///
/// A lone word that is no level would be taken for a part of the program, and nothing else would be
/// logged any more: `verbose` is a mistake.
///
/// # Errors
/// If it is not a filter.
pub(super) fn log_filter(directives: &str) -> Result<EnvFilter, ConfigError> {
    let refused = || ConfigError::Log(directives.to_owned());
    let is_lone = |word: &&str| !word.is_empty() && !word.contains(['=', '[', ':']);
    let mut words = directives.split(',').filter(is_lone);
    if !words.all(|word| word.parse::<LevelFilter>().is_ok()) {
        return Err(refused());
    }
    EnvFilter::builder().parse(directives).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_made_of_levels_and_parts_with_theirs() {
        for good in ["info", "WARN", "off", "", "info,dashboard_server::changes=debug"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in [
            "verbose",
            "info,dashboard_server",
            "a=b=c",
            "info,changes=loud",
            "[",
            "debug;info",
            "warn, h2=off",
        ] {
            assert_eq!(log_filter(bad).err(), Some(ConfigError::Log(bad.to_owned())));
        }
    }
}
