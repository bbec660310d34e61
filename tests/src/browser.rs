//! Chromium, driven through chromedriver.
//!
//! Waiting happens inside the page: a condition is checked whenever the page changes, so nothing is
//! polled from here and times are the page's own. Errors are returned, because the demo drives a
//! browser too.

#![expect(clippy::missing_errors_doc, reason = "every error is the driver's, and says what failed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// What Chromium needs to run as root, without a screen, and without talking to anyone.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
];
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How often chromedriver may draw its port.
const DRAWS: u32 = 5;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Longer than any wait inside a page.
const SCRIPT_PATIENCE: Duration = Duration::from_mins(5);

/// A browser with one page and a separate profile; ends with this value.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

/// Which colours the page is asked to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `prefers-color-scheme: light`
    Light,
    /// `prefers-color-scheme: dark`
    Dark,
}

/// A condition that came true.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it evaluated to.
    pub value: Value,
    /// When, in milliseconds since 1970 with fractions, by the page's clock.
    pub at: f64,
}

/// A line of the page's console, or a failure that the browser noted there.
#[derive(Clone, Debug)]
pub struct ConsoleLine {
    /// `SEVERE`, `WARNING`, `INFO` or `DEBUG`.
    pub level: String,
    /// The text.
    pub message: String,
}

impl Browser {
    /// Starts a browser with a window of that size.
    pub async fn open(width: u32, height: u32) -> anyhow::Result<Self> {
        Self::open_with(width, height, &[]).await
    }

    /// The same with further flags of Chromium.
    pub async fn open_with(width: u32, height: u32, more: &[&str]) -> anyhow::Result<Self> {
        let (driver, port) = start_driver().await?;
        let name = format!("e2e-chromium-{}", uuid::Uuid::new_v4());
        let profile = std::env::temp_dir().join(name);
        let mut flags: Vec<_> = FLAGS.iter().chain(more).map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.display()));
        flags.push(format!("--window-size={width},{height}"));
        let mut options = json!({ "args": flags });
        if let Some(binary) = chromium() {
            options["binary"] = json!(binary);
        }
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": SCRIPT_PATIENCE.as_millis() },
        });
        let Value::Object(capabilities) = capabilities else { bail!("capabilities are an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("Chromium could not be started")?;
        let session = client.session_id().await?.unwrap_or_default();
        let browser = Self { client, _driver: driver, port, session, profile };
        browser.resize(width, height).await?;
        Ok(browser)
    }

    /// Loads a page.
    pub async fn goto(&self, url: &str) -> anyhow::Result<()> {
        self.client.goto(url).await.with_context(|| format!("{url} could not be loaded"))
    }

    /// Runs a script in every page from now on, before the page's own scripts.
    pub async fn before_load(&self, script: &str) -> anyhow::Result<()> {
        let source = json!({ "source": script });
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source).await.map(drop)
    }

    /// Loads the page again.
    pub async fn reload(&self) -> anyhow::Result<()> {
        self.client.refresh().await.context("the page could not be loaded again")
    }

    /// The page's address now.
    pub async fn address(&self) -> anyhow::Result<String> {
        Ok(self.client.current_url().await?.into())
    }

    /// Sets the viewport to exactly that size in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) -> anyhow::Result<()> {
        self.resize_scaled(width, height, 1.0).await
    }

    /// The same on a screen with `scale` pixels to each CSS pixel.
    pub async fn resize_scaled(&self, width: u32, height: u32, scale: f64) -> anyhow::Result<()> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": false,
        });
        self.cdp("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Asks the page for those colours.
    pub async fn colours(&self, scheme: Scheme) -> anyhow::Result<()> {
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.cdp("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Sets a cookie as the host application does, also before anything was loaded: `HttpOnly`,
    /// `SameSite=Strict`, for the whole site.
    pub async fn set_cookie(&self, url: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let cookie = json!({
            "url": url, "name": name, "value": value, "path": "/",
            "httpOnly": true, "sameSite": "Strict",
        });
        let outcome = self.cdp("Network.setCookie", cookie).await?;
        ensure!(outcome["success"] == true, "the browser refused the cookie {name}: {outcome}");
        Ok(())
    }

    /// Makes the browser behave as if the network were gone, or back.
    pub async fn offline(&self, offline: bool) -> anyhow::Result<()> {
        self.cdp("Network.enable", json!({})).await?;
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.cdp("Network.emulateNetworkConditions", conditions).await.map(drop)
    }

    /// Evaluates an expression in the page.
    pub async fn evaluate(&self, expression: &str) -> anyhow::Result<Value> {
        let script = format!("return ({expression})");
        self.client.execute(&script, vec![]).await.with_context(|| format!("in page: {expression}"))
    }

    /// Runs a script in the page that calls `done(value)`, and returns the value.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        let script = format!("const done = arguments[arguments.length - 1];\n{script}");
        self.client.execute_async(&script, vec![]).await.context("a script in the page failed")
    }

    /// Waits, inside the page, until an expression is truthy; fails with what the page shows. Where
    /// a test holds the page's time, the wait is by `realTimers`.
    pub async fn wait_until(&self, condition: &str, patience: Duration) -> anyhow::Result<Seen> {
        let millis = patience.as_millis();
        let script = format!(
            "const {{ setTimeout, clearTimeout, setInterval, clearInterval }} =
               globalThis.realTimers ?? globalThis
             let last, observer, pulse, timer
             const finish = (outcome) => {{
               observer.disconnect(); clearInterval(pulse); clearTimeout(timer)
               done({{ ...outcome, at: performance.timeOrigin + performance.now() }})
             }}
             const check = () => {{
               try {{ last = ({condition}) }} catch (error) {{ last = null; error }}
               if (last) finish({{ value: last }})
               return Boolean(last)
             }}
             observer = new MutationObserver(check)
             observer.observe(document, {{
               subtree: true, childList: true, attributes: true, characterData: true,
             }})
             pulse = setInterval(check, 50)
             timer = setTimeout(() => finish({{
               failed: true, value: last ?? null, text: document.body?.innerText ?? '',
             }}), {millis})
             check()"
        );
        let outcome = self.run(&script).await?;
        if outcome["failed"] == true {
            let text = outcome["text"].as_str().unwrap_or_default();
            let console = self.console().await.unwrap_or_default();
            bail!(
                "waited {} s in vain for {condition} (last {}); the page shows:\n{text}\n\
                 and its console: {console:#?}",
                patience.as_secs(),
                outcome["value"],
            );
        }
        let at = outcome["at"].as_f64().context("the page has no clock")?;
        Ok(Seen { value: outcome["value"].clone(), at })
    }

    /// The text of an element, found by `data-testid`.
    pub async fn text(&self, test_id: &str) -> anyhow::Result<String> {
        let expression = format!("{}.innerText", by_test_id(test_id));
        Ok(self.evaluate(&expression).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Saves what the page looks like as PNG: the whole page, however long.
    pub async fn screenshot(&self, file: &Path) -> anyhow::Result<()> {
        self.capture(file, json!({ "format": "png", "captureBeyondViewport": true })).await
    }

    /// The same of the viewport alone, with time taken to make the file small.
    pub async fn picture(&self, file: &Path) -> anyhow::Result<()> {
        self.capture(file, json!({ "format": "png", "optimizeForSpeed": false })).await
    }

    async fn capture(&self, file: &Path, how: Value) -> anyhow::Result<()> {
        let picture = self.cdp("Page.captureScreenshot", how).await?;
        let data = picture["data"].as_str().context("no picture came back")?;
        let png = base64::engine::general_purpose::STANDARD.decode(data)?;
        std::fs::write(file, png).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// What the console said since the last call.
    pub async fn console(&self) -> anyhow::Result<Vec<ConsoleLine>> {
        let lines = self.client.issue_cmd(Extension::log()).await?;
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let lines = lines.as_array().cloned().unwrap_or_default();
        Ok(lines
            .iter()
            .map(|line| ConsoleLine { level: text(line, "level"), message: text(line, "message") })
            .collect())
    }

    /// The errors among [`console`](Self::console).
    pub async fn console_errors(&self) -> anyhow::Result<Vec<ConsoleLine>> {
        let lines = self.console().await?.into_iter();
        Ok(lines.filter(|line| line.level == "SEVERE").collect())
    }

    /// Where Linux shows that Chromium's process lives: its number ends the name of the link that
    /// guards the profile.
    fn process(&self) -> Option<PathBuf> {
        let guard = std::fs::read_link(self.profile.join("SingletonLock")).ok()?;
        let (_, number) = guard.to_str()?.rsplit_once('-')?;
        Some(Path::new("/proc").join(number))
    }

    /// Sends a command of the `DevTools` protocol.
    pub async fn cdp(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        let outcome = self.client.issue_cmd(Extension::cdp(command, &parameters)).await;
        outcome.with_context(|| format!("{command} failed"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let process = self.process();
        // Ending the session ends Chromium; without it, killing the driver would leave it behind.
        // Blocking and by hand, because this may run while a failed test unwinds.
        let request = format!(
            "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.session, self.port
        );
        let ended = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(START_PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            // The status line is enough: the driver answers once the browser has ended.
            stream.read(&mut [0; 64])
        });
        if let Err(error) = ended {
            eprintln!("a browser could not be ended: {error}");
        }
        // It may still be writing to its profile.
        let begun = Instant::now();
        while process.as_deref().is_some_and(Path::exists) && begun.elapsed() < END_PATIENCE {
            #[expect(clippy::disallowed_methods, reason = "nothing tells of another's child")]
            std::thread::sleep(LOOK);
        }
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// A JavaScript expression for the element with that `data-testid`.
#[must_use]
pub fn by_test_id(test_id: &str) -> String {
    format!("document.querySelector('[data-testid=\"{test_id}\"]')")
}

/// A command beyond the standard: below the session's address, with a body.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: String,
}

impl Extension {
    fn cdp(command: &str, parameters: &Value) -> Self {
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        Self { path: "goog/cdp/execute", body }
    }

    fn log() -> Self {
        Self { path: "se/log", body: json!({ "type": "browser" }).to_string() }
    }
}

type Address = reqwest::Url;

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base: &Address,
        session: Option<&str>,
    ) -> Result<Address, <Address as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Address) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(self.body.clone()))
    }
}

/// Starts chromedriver at a free port.
///
/// It lets the system draw a port of IPv6 and then wants the same one of IPv4, which any connection on
/// this machine may hold; then it ends, and the next draw is another.
async fn start_driver() -> anyhow::Result<(Child, u16)> {
    for _ in 1..DRAWS {
        match try_start_driver().await {
            Err(error) if error.to_string().contains("Address already in use") => {}
            outcome => return outcome,
        }
    }
    try_start_driver().await
}

async fn try_start_driver() -> anyhow::Result<(Child, u16)> {
    let program = std::env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
    let mut driver = Command::new(&program)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!(
                "{} could not be run; install it (Debian: apt-get install chromium \
                 chromium-driver)",
                program.display()
            )
        })?;
    let stdout = driver.stdout.take().context("chromedriver's output is piped")?;
    let mut stderr = driver.stderr.take().context("chromedriver's errors are piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let port = tokio::time::timeout(START_PATIENCE, async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return Ok(port.trim_end_matches('.').parse::<u16>()?);
            }
        }
        let mut why = String::new();
        stderr.read_to_string(&mut why).await?;
        bail!("chromedriver ended before it listened: {}", why.trim())
    });
    let port = port.await.context("chromedriver did not start in time")??;
    // Its pipes must not fill up.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
    Ok((driver, port))
}

/// Where Debian puts Chromium; elsewhere chromedriver finds it automatically.
fn chromium() -> Option<&'static str> {
    let path = "/usr/bin/chromium";
    Path::new(path).exists().then_some(path)
}
