//! Photographs every scene of the app's gallery, compares it with the pictures in `tests/pictures`,
//! and checks it with axe.
//!
//! `cargo xtask gallery --accept` calls these tests with `GALLERY=accept`: they then replace the
//! pictures.

mod comparison;
mod photographer;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use comparison::Difference;
use photographer::{DESKTOP, NARROW, PHONE, Photographer, Shot, TABLET, Window};
use serde_json::Value;

/// Where the pictures are that were accepted: a folder for each window.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pictures")
}

/// Where what differs is put.
fn found(window: &Window) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/gallery").join(window.name)
}

#[tokio::test]
async fn every_scene_looks_as_it_did_on_a_phone() {
    look(&PHONE).await;
}

#[tokio::test]
async fn every_scene_looks_as_it_did_on_a_narrow_phone() {
    look(&NARROW).await;
}

#[tokio::test]
async fn every_scene_looks_as_it_did_on_a_tablet() {
    look(&TABLET).await;
}

#[tokio::test]
async fn every_scene_looks_as_it_did_on_a_desktop() {
    look(&DESKTOP).await;
}

/// Photographs each scene in that window, and compares; or keeps the pictures.
async fn look(window: &Window) {
    let accepts = std::env::var_os("GALLERY").is_some_and(|value| value == "accept");
    let album = Album::open(window, accepts);
    let photographer = Photographer::open().await;
    let mut names = Vec::new();
    let mut wrong = Vec::new();
    let scenes = photographer.scenes().await;
    for (at, scene) in scenes.iter().enumerate() {
        eprintln!("{} {}/{}: {}", window.name, at + 1, scenes.len(), scene.name);
        for Shot { name, picture } in photographer.photograph(scene, window).await {
            if let Err(difference) = album.judge(&name, &picture) {
                eprintln!("  {name}: {difference}");
                wrong.push(format!("{name}: {difference}"));
            }
            names.push(name);
        }
    }
    wrong.extend(album.leftovers(&names));
    assert!(
        wrong.is_empty(),
        "{} pictures are not what they were:\n{}\nThey are in {}. Where that is as it should be: \
         cargo xtask gallery --accept",
        wrong.len(),
        wrong.join("\n"),
        album.found.display(),
    );
}

/// The pictures of one window.
struct Album {
    kept: PathBuf,
    found: PathBuf,
    accepts: bool,
}

impl Album {
    fn open(window: &Window, accepts: bool) -> Self {
        let (kept, found) = (kept().join(window.name), found(window));
        // What an earlier run has found.
        let _ = fs::remove_dir_all(&found);
        fs::create_dir_all(&kept).unwrap();
        Self { kept, found, accepts }
    }

    /// Compares a picture with the one that was kept, or keeps it.
    fn judge(&self, name: &str, picture: &[u8]) -> Result<(), String> {
        let file = self.kept.join(name).with_added_extension("webp");
        let expected = fs::read(&file).ok();
        if expected.as_deref() == Some(picture) {
            return Ok(());
        }
        let outcome = match &expected {
            None => Err((String::from("is new"), None)),
            Some(expected) => match comparison::compare(expected, picture) {
                None => Ok(()),
                Some(Difference { what, marked }) => Err((what, Some(marked))),
            },
        };
        if self.accepts {
            // A picture that differs by nothing that can be seen stays: the repository need not grow.
            if outcome.is_err() {
                fs::write(&file, picture).unwrap();
            }
            return Ok(());
        }
        let Err((what, marked)) = outcome else { return Ok(()) };
        fs::create_dir_all(&self.found).unwrap();
        let file = |ending: &str| self.found.join(format!("{name}.{ending}"));
        fs::write(file("actual.webp"), picture).unwrap();
        if let Some(expected) = expected {
            fs::write(file("expected.webp"), expected).unwrap();
        }
        if let Some(marked) = marked {
            marked.save(file("difference.webp")).unwrap();
        }
        Err(what)
    }

    /// Pictures of scenes that are gone.
    fn leftovers(&self, names: &[String]) -> Vec<String> {
        let files = fs::read_dir(&self.kept).unwrap().map(|file| file.unwrap().path());
        let is_gone = |file: &PathBuf| {
            file.file_stem().is_none_or(|stem| !names.iter().any(|name| stem == name.as_str()))
        };
        let gone: Vec<_> = files.filter(is_gone).collect();
        if self.accepts {
            for file in gone {
                fs::remove_file(file).unwrap();
            }
            return Vec::new();
        }
        gone.iter().map(|file| format!("{}: there is no such scene", file.display())).collect()
    }
}

#[tokio::test]
async fn the_comparison_finds_what_a_person_sees() {
    let photographer = Photographer::open().await;
    let scenes = photographer.scenes().await;
    let live = scenes.iter().find(|scene| scene.name == "live").unwrap();
    for window in [&PHONE, &DESKTOP] {
        photographer.show(live, window).await;
        let before = photographer.capture(live, window).await;
        for (what, element, style) in [
            ("a card 6 px to the right", "[data-testid=quick-actions-card]", "left = '6px'"),
            ("a card 6 px lower", "[data-testid=recent-mocs-card]", "top = '6px'"),
            ("a line of pale text less", "[data-testid=recent-moc] time", "visibility = 'hidden'"),
            ("a title less", "[data-testid=partial-parts-row] span", "visibility = 'hidden'"),
            ("a heading less", "[data-testid=theme-breakdown-card] h2", "visibility = 'hidden'"),
            (
                "another dot",
                "[data-testid=connection-status] span",
                "background = 'var(--warning)'",
            ),
            (
                "another button",
                "[data-testid=quick-actions-card] a",
                "background = 'var(--chart-2)'",
            ),
            (
                "another card",
                "[data-testid=collection-summary-card]",
                "background = 'var(--muted)'",
            ),
            ("a longer bar", "[data-testid=partial-parts-row] .bar-fill", "width = '14%'"),
        ] {
            let element = format!("document.querySelector('{element}').style");
            let browser = &photographer.browser;
            let (property, _) = style.split_once(' ').unwrap();
            let was = browser.evaluate(&format!("{element}.{property}")).await.unwrap();
            browser.evaluate(&format!("{element}.{style}")).await.unwrap();
            photographer.still().await;
            let after = photographer.capture(live, window).await;
            let difference = comparison::compare(&before, &after);
            let told = difference.map(|difference| difference.what);
            eprintln!("{}: {what}: {told:?}", window.name);
            assert!(told.is_some(), "{what} was not found on a {}", window.name);
            browser.evaluate(&format!("{element}.{property} = {was}")).await.unwrap();
        }
        photographer.still().await;
        let after = photographer.capture(live, window).await;
        assert!(comparison::compare(&before, &after).is_none(), "a change was not undone");
    }
}

#[tokio::test]
async fn the_comparison_overlooks_how_letters_and_edges_are_drawn() {
    let usual = Photographer::open().await;
    let scenes = usual.scenes().await;
    let live = scenes.iter().find(|scene| scene.name == "live").unwrap();
    let mut wrong = Vec::new();
    for window in [&PHONE, &DESKTOP] {
        usual.show(live, window).await;
        let before = usual.capture(live, window).await;
        let mut drawn = BTreeSet::from([before.clone()]);
        for flag in ["--font-render-hinting=none", "--disable-lcd-text"] {
            let other = Photographer::open_with(&[flag]).await;
            other.show(live, window).await;
            drawn.insert(other.capture(live, window).await);
        }
        // Edges that lie elsewhere between two pixels, and softer ones.
        for style in ["transform = 'translate(0.3px, 0.2px)'", "filter = 'blur(1px)'"] {
            usual.browser.evaluate(&format!("document.body.style.{style}")).await.unwrap();
            drawn.insert(usual.capture(live, window).await);
        }
        eprintln!("{}: {} ways to draw it", window.name, drawn.len());
        assert!(drawn.len() > 3, "what is to be overlooked is not there");
        for after in drawn {
            let told = comparison::compare(&before, &after).map(|found| found.what);
            wrong.extend(told.map(|what| format!("{}: {what}", window.name)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn no_scene_has_accessibility_faults() {
    let photographer = Photographer::open().await;
    let mut faults = Vec::new();
    let scenes = photographer.scenes().await;
    for (at, scene) in scenes.iter().enumerate() {
        eprintln!("axe {}/{}: {}", at + 1, scenes.len(), scene.name);
        for (scheme, found) in photographer.faults(scene, &DESKTOP).await {
            let Value::Array(found) = found else { panic!("{}: axe said {found}", scene.name) };
            faults.extend(found.iter().map(|fault| format!("{} ({scheme}): {fault}", scene.name)));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
