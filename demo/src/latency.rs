//! Measures how long it takes from a commit to the screen.
//!
//! Both ends are read on this machine's one clock: this process notes when it sends COMMIT, the page
//! notes when the frame that shows the change is about to be painted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use e2e_tests::Browser;
use serde_json::json;
use sqlx::PgPool;

use crate::random::Random;

const CHANGES: usize = 50;
/// What the demo promises on a machine that does nothing else: 95 of 100 changes are on the screen
/// within this. A slower run is reported and does not fail, because the check also runs on busy machines.
const PROMISED_MS: f64 = 250.0;
const PATIENCE: Duration = Duration::from_mins(1);

/// Watches one element for a text, and notes the frame in which it appears.
const PROBE: &str = "
    window.__probe = {
      seen: {},
      expect(name, selector, text, whole) {
        const shows = () => {
          const shown = document.querySelector(selector)?.textContent ?? ''
          return whole ? shown.trim() === text : shown.includes(text)
        }
        const note = () => {
          if (!shows()) return false
          observer.disconnect()
          requestAnimationFrame(() => {
            this.seen[name] = performance.timeOrigin + performance.now()
          })
          return true
        }
        const observer = new MutationObserver(note)
        observer.observe(document.body, {
          subtree: true, childList: true, characterData: true, attributes: true,
        })
        return shows()
      },
    }
    done(true)";

/// What was measured, in milliseconds.
#[derive(Debug, PartialEq)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) max: f64,
}

impl Latencies {
    /// The figures of a sample that is not empty. A percentile is the smallest value that this share of the
    /// sample does not exceed.
    fn of(mut sample: Vec<f64>) -> Option<Self> {
        sample.sort_by(f64::total_cmp);
        let at = |percent: usize| sample.get((sample.len() * percent).div_ceil(100).max(1) - 1);
        Some(Self { p50: *at(50)?, p95: *at(95)?, max: *at(100)? })
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p95, max } = self;
        write!(
            f,
            "commit → screen over {CHANGES} changes: p50 {p50:.0} ms, p95 {p95:.0} ms (promised on an \
             idle machine: {PROMISED_MS} ms), max {max:.0} ms"
        )
    }
}

/// Commits changes of three kinds and watches for each on the page. Leaves the collection as it was.
pub(crate) async fn measure(
    browser: &Browser,
    database: &PgPool,
    user: &str,
) -> anyhow::Result<Latencies> {
    browser.run(PROBE).await?;
    let moc: uuid::Uuid = sqlx::query_scalar(
        "insert into collection.mocs (user_id, title, theme) values ($1, 'Stopwatch 0', 'Town')
         returning id",
    )
    .bind(user)
    .fetch_one(database)
    .await?;
    let mut random = Random::seeded(0x57a7);
    let mut sample = Vec::new();
    for number in 1..=CHANGES {
        let change = Change::prepare(number, database, user).await?;
        ensure!(!change.expect(browser).await?, "{} is on the page already", change.text);
        pause(&mut random).await;

        let mut transaction = database.begin().await?;
        match change.kind {
            Kind::Title => {
                sqlx::query("update collection.mocs set title = $2 where id = $1")
                    .bind(moc)
                    .bind(&change.text)
                    .execute(&mut *transaction)
                    .await?;
            }
            Kind::Moc => {
                sqlx::query(
                    "insert into collection.mocs (user_id, title, theme) values ($1, $2, 'Town')",
                )
                .bind(user)
                .bind(&change.text)
                .execute(&mut *transaction)
                .await?;
            }
            Kind::Wish => {
                sqlx::query(
                    "insert into collection.wishlist_items (user_id, title) values ($1, 'Stopwatch')",
                )
                .bind(user)
                .execute(&mut *transaction)
                .await?;
            }
        }
        let begun = SystemTime::now();
        transaction.commit().await?;
        let seen = browser
            .wait_until(&format!("window.__probe.seen[{number}]"), PATIENCE)
            .await
            .with_context(|| format!("change {number} never came to the screen"))?;
        let seen = seen.value.as_f64().context("the page's clock is odd")?;
        sample.push(seen - begun.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1_000.0);
    }
    clear(database, user).await?;
    Latencies::of(sample).context("nothing was measured")
}

/// What a person would see change.
#[derive(Clone, Copy)]
enum Kind {
    /// A MOC of the recent list has another title.
    Title,
    /// A MOC enters the recent list.
    Moc,
    /// The count of wishes goes up.
    Wish,
}

struct Change {
    number: usize,
    kind: Kind,
    /// What will be on the page.
    text: String,
}

impl Change {
    async fn prepare(number: usize, database: &PgPool, user: &str) -> anyhow::Result<Self> {
        // New MOCs are few, so that the renamed one stays among the ten of the list.
        let kind = match number % 10 {
            0 => Kind::Moc,
            odd if odd % 2 == 1 => Kind::Title,
            _ => Kind::Wish,
        };
        let text = if let Kind::Wish = kind {
            let wishes: i64 = sqlx::query_scalar(
                "select count(*) from collection.wishlist_items where user_id = $1",
            )
            .bind(user)
            .fetch_one(database)
            .await?;
            (wishes + 1).to_string()
        } else {
            // Ends in a full stop, so that no number is the beginning of another.
            format!("Stopwatch {number}.")
        };
        Ok(Self { number, kind, text })
    }

    /// Makes the page watch for it. Returns whether it is there already.
    async fn expect(&self, browser: &Browser) -> anyhow::Result<bool> {
        let (test_id, whole) = match self.kind {
            Kind::Title | Kind::Moc => ("recent-mocs-card", false),
            Kind::Wish => ("wishlist-items-count", true),
        };
        let selector = format!("[data-testid=\"{test_id}\"]");
        let arguments = json!([self.number, selector, self.text, whole]);
        let shown = browser.evaluate(&format!("window.__probe.expect(...{arguments})")).await?;
        Ok(shown.as_bool().unwrap_or(true))
    }
}

/// Up to a fifth of a second, so that changes fall anywhere between two looks at the database, and
/// inside as well as outside the window in which refreshes are gathered.
async fn pause(random: &mut Random) {
    let millis = u64::try_from(random.below(200)).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn clear(database: &PgPool, user: &str) -> anyhow::Result<()> {
    for statement in [
        "delete from collection.mocs where user_id = $1 and title like 'Stopwatch %'",
        "delete from collection.wishlist_items where user_id = $1 and title = 'Stopwatch'",
    ] {
        sqlx::query(statement).bind(user).execute(database).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let sample = (1..=50).rev().map(f64::from).collect();
        let expected = Latencies { p50: 25.0, p95: 48.0, max: 50.0 };
        assert_eq!(Latencies::of(sample), Some(expected));
        assert_eq!(Latencies::of(vec![7.0]), Some(Latencies { p50: 7.0, p95: 7.0, max: 7.0 }));
        assert_eq!(Latencies::of(Vec::new()), None);
    }
}
