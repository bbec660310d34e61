//! Makes the web root of the demo: the built app, with the addresses of the host's pages.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

/// Copies the app, and sets where it sends people: for a new session, out of it, and to the host's pages.
/// It does not name the signed-in person, because the page is the same for all.
pub(crate) fn prepare(app: &Path, root: &Path, host: &str) -> anyhow::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| root.display().to_string())?;
    }
    copy(app, root)
        .with_context(|| format!("the app in {} cannot be copied; is it built?", app.display()))?;
    let page = root.join("index.html");
    let html = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    fs::write(&page, told(&html, host)?).with_context(|| page.display().to_string())
}

fn told(html: &str, host: &str) -> anyhow::Result<String> {
    let html = with(html, "dashboard-login-url", &format!("{host}/login"))?;
    let html = with(&html, "dashboard-logout-url", &format!("{host}/logout"))?;
    with(&html, "dashboard-host-base", host)
}

/// Sets the content of the `<meta>` element with that name, however the build has written it.
fn with(html: &str, name: &str, value: &str) -> anyhow::Result<String> {
    ensure!(!value.contains(['"', '<', '&']), "{value} does not fit into HTML");
    let attribute = format!("name=\"{name}\"");
    let parts = html.split_once(&attribute).and_then(|(before, rest)| {
        let (tag, after) = rest.split_once('>')?;
        let (start, old) = tag.split_once("content=\"")?;
        let (_, end) = old.split_once('"')?;
        Some((before, start, end, after))
    });
    let (before, start, end, after) =
        parts.with_context(|| format!("the app's page has no place for {name}"))?;
    Ok(format!("{before}{attribute}{start}content=\"{value}\"{end}>{after}"))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_addresses_of_the_host_change() {
        let page = |login: &str, logout: &str, host: &str| {
            format!(
                "<head><meta name=\"dashboard-api-base\" content=\"/api\">\
                 <meta name=\"dashboard-login-url\" content=\"{login}\" />\
                 <meta name=\"dashboard-logout-url\" content=\"{logout}\" />\
                 <meta name=\"dashboard-user-name\" content=\"\" />\
                 <meta name=\"dashboard-host-base\" content=\"{host}\" /><title>x</title>"
            )
        };
        let host = "http://127.0.0.1:9";
        let expected = page(&format!("{host}/login"), &format!("{host}/logout"), host);
        assert_eq!(told(&page("/login", "", ""), host).unwrap(), expected);
        assert!(told("<head></head>", host).is_err());
        assert!(told(&page("/login", "", ""), "http://h/\"><script>").is_err());
    }
}
