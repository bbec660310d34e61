//! The web root of the demo: the built app, told where this host logs in.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

/// Copies the app, and sets the address that it sends people to for a new session.
pub(crate) fn prepare(app: &Path, root: &Path, login: &str) -> anyhow::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| root.display().to_string())?;
    }
    copy(app, root)
        .with_context(|| format!("the app in {} cannot be copied; is it built?", app.display()))?;
    let page = root.join("index.html");
    let html = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    fs::write(&page, with_login(&html, login)?).with_context(|| page.display().to_string())
}

/// Sets the content of `<meta name="dashboard-login-url">`, however the build has written it.
fn with_login(html: &str, login: &str) -> anyhow::Result<String> {
    let name = "name=\"dashboard-login-url\"";
    let (before, rest) = html.split_once(name).context("the app's page has no login address")?;
    let (tag, after) = rest.split_once('>').context("the login address has no end")?;
    let (start, value) = tag.split_once("content=\"").context("the login address is empty")?;
    let (_, end) = value.split_once('"').context("the login address has no end")?;
    ensure!(!login.contains(['"', '<', '&']), "{login} does not fit into HTML");
    Ok(format!("{before}{name}{start}content=\"{login}\"{end}>{after}"))
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
    fn only_the_login_address_changes() {
        let html = "<head><meta name=\"dashboard-api-base\" content=\"/api\">\
                    <meta name=\"dashboard-login-url\" content=\"/login\" /><title>x</title>";
        let expected = html.replace("/login\"", "http://127.0.0.1:9/login\"");
        assert_eq!(with_login(html, "http://127.0.0.1:9/login").unwrap(), expected);
        assert!(with_login("<head></head>", "http://127.0.0.1:9/login").is_err());
    }
}
