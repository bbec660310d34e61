//! Measures snapshots: many at once, one after the other, only news, and the user with most.

use std::time::{Duration, Instant};

use anyhow::ensure;
use dashboard_server::dashboard::query;
use http::{HeaderValue, StatusCode};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use crate::contender::{Contender, Kind};
use crate::database::{Database, giant, typical};
use crate::figures::{Figure, Promise, figure, median, quantile};
use crate::rest::Rest;
use crate::socket::Target;
use crate::tokens;

const CONNECTIONS: usize = 16;
/// Users who ask.
const ASKING: usize = 500;
const DURATION: Duration = Duration::from_secs(6);
/// What the product's requirements promise of the 95th percentile, in milliseconds.
const D_NFR_1: f64 = 600.0;
/// Repetitions of what is measured one at a time.
const TIMES: usize = 1_000;
const GIANT_TIMES: usize = 100;

/// Measures one contender.
pub(super) async fn run(kind: Kind, database: &Database) -> anyhow::Result<Vec<Figure>> {
    let contender = Contender::start(kind, &database.url).await?;
    let target = Target::plain(&contender.address);
    let tokens: Vec<_> =
        (0..ASKING).map(|number| tokens::access(&typical(number))).collect::<Result<_, _>>()?;
    // What compiles or connects at first use has done so.
    flood(&contender, &target, &tokens, Duration::from_secs(2), false).await?;
    let full = flood(&contender, &target, &tokens, DURATION, false).await?;
    let news = flood(&contender, &target, &tokens, DURATION, true).await?;

    let mut rest = Rest::open(&target).await?;
    let one = one_by_one(&mut rest, &tokens, TIMES).await?;
    let giant = one_by_one(&mut rest, &[tokens::access(&giant())?], GIANT_TIMES).await?;
    contender.stop().await?;

    let mut figures = vec![
        figure("snapshots", "1/s", full.per_s()),
        figure("p50 at 16 connections", "ms", quantile(&full.ms, 0.5)),
        figure("p95 at 16 connections", "ms", quantile(&full.ms, 0.95))
            .promised(Promise::AtMost(D_NFR_1)),
        figure("p99 at 16 connections", "ms", quantile(&full.ms, 0.99)),
        figure("CPU per 1,000", "s", full.cpu_s_per_1000()).promised(Promise::RatioAtMost(0.3)),
        figure("304 answers", "1/s", news.per_s()),
        figure("304 answers, of snapshots", "x", news.per_s() / full.per_s())
            .promised(Promise::AtLeast(3.0)),
        figure("one at a time, p50", "ms", median(&one)),
        figure("10,000 MOCs, p50", "ms", median(&giant)),
        figure("10,000 MOCs, p95", "ms", quantile(&giant, 0.95)).promised(Promise::AtMost(60.0)),
    ];
    if kind == Kind::Server {
        let (lookup, statement) = on_its_own(database).await?;
        figures.extend([
            figure("primary-key lookup", "ms", lookup),
            figure("the statement", "ms", statement),
            figure("one at a time, of the statement", "x", median(&one) / statement)
                .promised(Promise::AtMost(3.0)),
            figure("the statement, of the lookup", "x", statement / lookup)
                .promised(Promise::AtMost(10.0)),
        ]);
    }
    Ok(figures)
}

/// What a flood of requests came to.
struct Flood {
    ms: Vec<f64>,
    cpu_ms: f64,
    took: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "numbers of requests")]
impl Flood {
    fn per_s(&self) -> f64 {
        self.ms.len() as f64 / self.took.as_secs_f64()
    }

    fn cpu_s_per_1000(&self) -> f64 {
        self.cpu_ms / self.ms.len() as f64
    }
}

/// Asks over all connections without a pause. Asks for news only, if `news` is set.
async fn flood(
    contender: &Contender,
    target: &Target,
    tokens: &[String],
    duration: Duration,
    news: bool,
) -> anyhow::Result<Flood> {
    let mut known: Vec<HeaderValue> = Vec::new();
    if news {
        let mut rest = Rest::open(target).await?;
        for token in tokens {
            known.extend(rest.snapshot(token, None).await?.tag);
        }
        ensure!(known.len() == tokens.len(), "a snapshot without a tag");
    }
    let (cpu, begun) = (contender.cpu_ms()?, Instant::now());
    let mut asking = JoinSet::new();
    for first in 0..CONNECTIONS {
        let (target, tokens, known) = (target.clone(), tokens.to_vec(), known.clone());
        asking.spawn(async move {
            let mut rest = Rest::open(&target).await?;
            let mut ms = Vec::new();
            for number in (first * 31).. {
                if begun.elapsed() >= duration {
                    break;
                }
                let place = number % tokens.len();
                let sent = Instant::now();
                let answer = rest.snapshot(&tokens[place], known.get(place)).await?;
                ms.push(sent.elapsed().as_secs_f64() * 1e3);
                let expected = if news { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
                ensure!(answer.status == expected, "answered {}", answer.status);
            }
            Ok(ms)
        });
    }
    let mut ms = Vec::new();
    while let Some(asked) = asking.join_next().await {
        ms.extend(asked??);
    }
    Ok(Flood { ms, cpu_ms: contender.cpu_ms()? - cpu, took: begun.elapsed() })
}

async fn one_by_one(rest: &mut Rest, tokens: &[String], times: usize) -> anyhow::Result<Vec<f64>> {
    let mut ms = Vec::new();
    for number in 0..times {
        let sent = Instant::now();
        let answer = rest.snapshot(&tokens[number % tokens.len()], None).await?;
        ms.push(sent.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.status == StatusCode::OK, "answered {}", answer.status);
    }
    Ok(ms)
}

/// A lookup by primary key and the server's statement, in turns, over one connection of the same
/// library: the medians of both.
async fn on_its_own(database: &Database) -> anyhow::Result<(f64, f64)> {
    let pool = PgPoolOptions::new().max_connections(1).connect(&database.url).await?;
    sqlx::raw_sql("set jit = off").execute(&pool).await?;
    let id = "select id from collection.mocs where user_id = $1 limit 1";
    let id: sqlx::types::Uuid = sqlx::query_scalar(id).bind(typical(0)).fetch_one(&pool).await?;
    let (mut lookups, mut statements) = (Vec::new(), Vec::new());
    for number in 0..TIMES {
        lookups.push(lookup(&pool, id).await?);
        let begun = Instant::now();
        query::snapshot(&pool, &typical(number % ASKING)).await?;
        statements.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(&lookups), median(&statements)))
}

async fn lookup(pool: &PgPool, id: sqlx::types::Uuid) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let lookup = sqlx::query("select title from collection.mocs where id = $1").bind(id);
    lookup.fetch_one(pool).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
