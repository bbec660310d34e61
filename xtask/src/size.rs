//! Measures what a browser downloads for the SDK's core, and holds it to its limit.

mod areas;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, bail};

use crate::steps::shown;
use crate::wasm;
use crate::workspace::{self, command};

/// 45 KB, compressed: module and glue together.
const LIMIT: usize = 46_080;
/// What a browser loads of `npm-package/dist`, besides the scripts around it.
const SHIPPED: [&str; 2] = ["dashboard_core_bg.wasm", "glue.js"];

/// Prints the sizes.
///
/// # Errors
///
/// Where the sum is above the limit, or a file is missing.
pub(crate) fn gate() -> anyhow::Result<()> {
    println!("{:<40} {:>9} {:>9}", "", "bytes", "gzip");
    let mut sums = (0, 0);
    for name in SHIPPED {
        let path = workspace::path("npm-package/dist/wasm").join(name);
        let bytes = fs::read(&path).with_context(|| shown(&path))?;
        let small = gzip(&bytes)?;
        println!("{:<40} {:>9} {small:>9}", shown(&path), bytes.len());
        sums = (sums.0 + bytes.len(), sums.1 + small);
    }
    println!("{:<40} {:>9} {:>9}   limit {LIMIT}", "together", sums.0, sums.1);

    let named = wasm::named();
    let module = fs::read(&named).with_context(|| shown(&named))?;
    println!("\nThe module before its names were shortened, by area, in bytes:");
    let mut areas: Vec<_> = areas::of(&module)?.into_iter().collect();
    areas.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
    for (area, size) in areas {
        println!("{area:<40} {size:>9}");
    }
    if sums.1 > LIMIT {
        bail!("the WASM module and its glue are {} bytes over the limit", sums.1 - LIMIT);
    }
    Ok(())
}

/// Compressed by Node's zlib at the level of web servers that compress ahead of time.
fn gzip(bytes: &[u8]) -> anyhow::Result<usize> {
    let script = "process.stdout.write(String(require('zlib').gzipSync(require('fs')\
                  .readFileSync(0), { level: 9 }).length))";
    let mut node = command("node");
    node.args(["--eval", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = node.spawn().context("cannot run node")?;
    let mut input = child.stdin.take().context("node has no standard input")?;
    input.write_all(bytes)?;
    drop(input);
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("node printed {text:?}"))
}
