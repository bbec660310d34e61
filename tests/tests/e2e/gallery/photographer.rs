//! Plays scenes of the gallery in Chromium, and takes pictures of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use e2e_tests::browser::by_test_id;
use e2e_tests::{Browser, DEADLINE, Site};
use serde::Deserialize;
use serde_json::{Value, json};

/// A window's size in CSS pixels.
pub(super) struct Window {
    pub(super) name: &'static str,
    width: u32,
    height: u32,
    /// No picture is higher.
    highest: u32,
}

pub(super) const NARROW: Window =
    Window { name: "narrow", width: 320, height: 640, highest: 5_000 };
pub(super) const PHONE: Window = Window { name: "phone", width: 360, height: 740, highest: 5_000 };
pub(super) const TABLET: Window =
    Window { name: "tablet", width: 900, height: 1_000, highest: 2_400 };
pub(super) const DESKTOP: Window =
    Window { name: "desktop", width: 1_440, height: 900, highest: 2_400 };

/// Pixels of a picture for one of CSS. Enough to see what has moved; a quarter of the bytes.
const SCALE: f64 = 0.5;
/// Of WebP. What it leaves out is the same in two pictures of the same page.
const QUALITY: u32 = 60;
/// Animations are drawn where the page has put them. By default, Chromium draws them on a separate
/// thread, which may not have heard of it yet.
const IN_STEP: &str = "--disable-threaded-animation";
/// A page is played within a second; the machine may be busy.
const PATIENCE: Duration = DEADLINE;
/// How often a page is photographed until two pictures are the same.
const TRIES: usize = 20;
/// From which row on axe sees nothing of a long table: the others are like those.
const ROWS_FOR_AXE: u32 = 20;

/// A scene, as the gallery tells it.
#[derive(Deserialize)]
pub(super) struct Scene {
    pub(super) name: String,
    picture: String,
    also: Vec<String>,
    /// That something is in the middle of its motion.
    moment: Option<f64>,
}

/// A picture, in WebP.
pub(super) struct Shot {
    pub(super) name: String,
    pub(super) picture: Vec<u8>,
}

/// A browser, and the gallery that it shows.
pub(super) struct Photographer {
    pub(super) browser: Browser,
    site: Site,
}

impl Photographer {
    pub(super) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With further flags of Chromium.
    pub(super) async fn open_with(flags: &[&str]) -> Self {
        let site = Site::of(built()).await;
        let flags = [flags, &[IN_STEP]].concat();
        let browser = Browser::open_with(PHONE.width, PHONE.height, &flags).await.unwrap();
        // Times of day are shown in the reader's time zone.
        let zone = json!({ "timezoneId": "UTC" });
        browser.cdp("Emulation.setTimezoneOverride", zone).await.unwrap();
        Self { browser, site }
    }

    /// Every scene.
    pub(super) async fn scenes(&self) -> Vec<Scene> {
        self.browser.goto(&format!("{}/index.html", self.site.origin())).await.unwrap();
        let scenes = self.browser.evaluate("globalThis.scenes").await.unwrap();
        let scenes: Vec<Scene> = serde_json::from_value(scenes).unwrap();
        assert!(!scenes.is_empty(), "the gallery is empty");
        scenes
    }

    /// The pictures of a scene in that window; none where the scene has none there.
    pub(super) async fn photograph(&self, scene: &Scene, window: &Window) -> Vec<Shot> {
        let is_also = |circumstance: &str| scene.also.iter().any(|other| other == circumstance);
        let mut shots = Vec::new();
        if window.name == NARROW.name {
            if is_also("narrow") {
                self.show(scene, window).await;
                shots.push(self.shot(scene, window, "light").await);
            }
            return shots;
        }
        self.show(scene, window).await;
        for circumstance in ["light", "dark"] {
            shots.push(self.shot(scene, window, circumstance).await);
        }
        if window.name == TABLET.name {
            return shots;
        }
        for circumstance in ["forced-colors", "reduced-motion"] {
            if is_also(circumstance) {
                shots.push(self.shot(scene, window, circumstance).await);
            }
        }
        if is_also("large-text") && window.name == PHONE.name {
            self.show_at(scene, window, "light", "&text=200").await;
            shots.push(self.shot(scene, window, "large-text").await);
        }
        shots
    }

    /// Plays a scene to its end.
    pub(super) async fn show(&self, scene: &Scene, window: &Window) {
        self.show_at(scene, window, "light", "").await;
    }

    async fn show_at(&self, scene: &Scene, window: &Window, circumstance: &str, more: &str) {
        self.browser.resize(window.width, window.height).await.unwrap();
        self.circumstance(circumstance).await;
        let address = format!("{}/scene.html?scene={}{more}", self.site.origin(), scene.name);
        self.browser.goto(&address).await.unwrap();
        let over =
            "document.documentElement.dataset.failed ?? document.documentElement.dataset.ready";
        let outcome = self.browser.wait_until(over, PATIENCE).await.unwrap();
        assert_eq!(outcome.value, "true", "the scene {} failed", scene.name);
    }

    async fn shot(&self, scene: &Scene, window: &Window, circumstance: &str) -> Shot {
        if scene.moment.is_some() {
            // Played anew: what is in motion already follows other rules too late, or not at all.
            self.show_at(scene, window, circumstance, "").await;
        }
        self.circumstance(circumstance).await;
        let name = format!("{}.{circumstance}", scene.name);
        Shot { name, picture: self.capture(scene, window).await }
    }

    /// What the page looks like now, as the scene wants it to be seen. Chromium draws parts of a page
    /// later than it says, so the picture counts that is the same twice.
    pub(super) async fn capture(&self, scene: &Scene, window: &Window) -> Vec<u8> {
        let mut last = self.capture_once(scene, window).await;
        for _ in 0..TRIES {
            let drawn = "requestAnimationFrame(() => requestAnimationFrame(() => done(true)))";
            self.browser.run(drawn).await.unwrap();
            let next = self.capture_once(scene, window).await;
            if next == last {
                return last;
            }
            last = next;
        }
        panic!("the scene {} never looks the same twice", scene.name);
    }

    async fn capture_once(&self, scene: &Scene, window: &Window) -> Vec<u8> {
        let (width, height) = (window.width, window.height);
        if scene.picture != "window" {
            // As high as what is to be seen: where Chromium makes the window so for the picture alone,
            // lengths that depend on the window are none for a while.
            let seen = match scene.picture.as_str() {
                "page" => "document.documentElement".to_owned(),
                card => by_test_id(card),
            };
            let needed = format!("{seen}.offsetHeight + 2 * ({seen} !== document.documentElement)");
            let needed = self.browser.evaluate(&needed).await.unwrap().as_u64().unwrap();
            let needed = u32::try_from(needed).unwrap().clamp(height, window.highest);
            self.browser.resize(width, needed).await.unwrap();
            let laid_out = format!(
                "innerHeight === {needed} && {seen} !== null
                 && getComputedStyle(document.querySelector('h1')).fontSize !== '0px'"
            );
            self.browser.wait_until(&laid_out, PATIENCE).await.unwrap();
            let to_its_start = format!("({seen}.scrollIntoView({{ behavior: 'instant' }}), true)");
            self.browser.evaluate(&to_its_start).await.unwrap();
        }
        let clip = match scene.picture.as_str() {
            "window" => format!("({{ x: 0, y: scrollY, width: {width}, height: {height} }})"),
            "page" => format!(
                "({{ x: 0, y: 0, width: {width}, height: document.documentElement.scrollHeight }})"
            ),
            card => format!(
                "(({{ x, y, width, height }}) => ({{ x, y: y + scrollY, width, height }}))
                 (document.querySelector('[data-testid=\"{card}\"]').getBoundingClientRect())"
            ),
        };
        let mut clip = self.browser.evaluate(&clip).await.unwrap();
        let height = clip["height"].as_f64().unwrap().min(window.highest.into());
        clip["height"] = json!(height);
        clip["scale"] = json!(SCALE);
        let how = json!({
            "format": "webp", "quality": QUALITY, "clip": clip,
            "captureBeyondViewport": false,
        });
        let picture = self.browser.cdp("Page.captureScreenshot", how).await.unwrap();
        let data = picture["data"].as_str().expect("a picture comes back");
        base64::engine::general_purpose::STANDARD.decode(data).unwrap()
    }

    /// Has the page asked for those colours, or for that motion.
    async fn circumstance(&self, circumstance: &str) {
        let scheme = if circumstance == "dark" { "dark" } else { "light" };
        let forced = if circumstance == "forced-colors" { "active" } else { "none" };
        let motion = if circumstance == "reduced-motion" { "reduce" } else { "no-preference" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "forced-colors", "value": forced },
            { "name": "prefers-reduced-motion", "value": motion },
        ] });
        self.browser.cdp("Emulation.setEmulatedMedia", features).await.unwrap();
        // The page learns of it a little later, and animations start again where their rules
        // change.
        let is_so = format!(
            "['(prefers-color-scheme: {scheme})', '(forced-colors: {forced})',
              '(prefers-reduced-motion: {motion})'].every(query => matchMedia(query).matches)"
        );
        self.browser.wait_until(&is_so, PATIENCE).await.unwrap();
        self.still().await;
    }

    /// Brings what moves on the page to its end, or to where the scene wants it.
    pub(super) async fn still(&self) {
        let still = "Promise.resolve(globalThis.still?.()).then(() => done(true))";
        self.browser.run(still).await.unwrap();
    }

    /// What axe finds wrong in a scene, by light and in the dark.
    pub(super) async fn faults(
        &self,
        scene: &Scene,
        window: &Window,
    ) -> Vec<(&'static str, Value)> {
        self.show(scene, window).await;
        let axe = std::fs::read_to_string(at("../node_modules/axe-core/axe.min.js")).unwrap();
        // Its pauses are real ones, though the page's time stands still.
        let script = format!(
            "(function (setTimeout, clearTimeout) {{ {axe}\n }})
               (realTimers.setTimeout, realTimers.clearTimeout)
             done(true)"
        );
        self.browser.run(&script).await.unwrap();
        let fewer = format!(
            "document.querySelectorAll('tr:nth-child(n + {ROWS_FOR_AXE})').forEach(row => row.remove())"
        );
        self.browser.evaluate(&fewer).await.unwrap();
        let mut found = Vec::new();
        // In the dark the page is another one in its colours only.
        for (scheme, rules) in [
            ("light", "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']"),
            ("dark", "{ type: 'rule', values: ['color-contrast'] }"),
        ] {
            self.circumstance(scheme).await;
            let script = format!(
                "axe.run({{
                   runOnly: {rules},
                   resultTypes: ['violations'],
                 }}).then(
                   ({{ violations }}) => done(violations.flatMap(({{ id, nodes }}) =>
                     nodes.map(({{ html, failureSummary }}) => `${{id}}: ${{html}} ${{failureSummary}}`))),
                   (error) => done(String(error)))"
            );
            found.push((scheme, self.browser.run(&script).await.unwrap()));
        }
        found
    }
}

fn at(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The built gallery, which a command of ours builds and a test never does.
fn built() -> PathBuf {
    let folder = at("../dashboard-app/gallery/dist");
    assert!(
        folder.join("index.html").is_file(),
        "the gallery is not built; run `cargo xtask gallery --check`, or, once the npm package is \
         built, npm run build:gallery --workspace dashboard-app"
    );
    folder
}
