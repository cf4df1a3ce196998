//! The page in a headless Chromium: somebody chooses, clicks, waits, and reads the numbers. Screenshots stay in cargo's target folder.

mod visitor;

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, ensure};
use visitor::Visitor;
use wasm_browser::{Site, build};

/// A row of the table, in both columns.
const ROW: &str = "#rows tr:nth-child";

/// Chooses, clicks, and looks at it while it runs and when it is done.
fn run(visitor: &Visitor, megabytes: u32, workers: usize, screenshots: &Path) -> Result<()> {
    visitor.choose("size", &megabytes.to_string())?;
    visitor.choose("workers", &workers.to_string())?;
    visitor.click("#start")?;
    ensure!(visitor.text("#start")? == "Stop", "the click did nothing");
    // On a slow machine the visitor may look up when it is over.
    let is_over = "document.getElementById('start').textContent === 'Start'";
    let is_edited = "document.getElementById('phase').textContent.startsWith('It is edited')";
    visitor.wait_for(&format!("{is_over} || {is_edited} && document.getElementById('progress').value > 0.6"))?;
    visitor.point_into("canvas", 0.4, 0.4)?;
    let detail = visitor.text("#detail")?;
    ensure!(detail.contains(" at 0x"), "a strip under the mouse is described: {detail:?}");
    visitor.save_screenshot(&screenshots.with_extension("running.png"))?;
    visitor.wait_for(is_over)?;
    visitor.save_screenshot(&screenshots.with_extension("done.png"))?;
    ensure!(visitor.text("#phase")? == "Done. Both saved the same document.", "it ended with: {}", visitor.text("#phase")?);
    Ok(())
}

/// What a row of the table says of coreheap and of the default allocator.
fn row(visitor: &Visitor, name: &str) -> Result<[String; 2]> {
    let find =
        format!("[...document.querySelectorAll('#rows tr')].findIndex((row) => row.cells[0].textContent === {name:?}) + 1");
    let number = visitor.value(&find)?;
    ensure!(number != 0, "there is no row for {name}");
    Ok([visitor.text(&format!("{ROW}({number}) td:nth-child(2)"))?, visitor.text(&format!("{ROW}({number}) td:nth-child(3)"))?])
}

/// A number of the page, in the unit it is in.
fn number(text: &str) -> f64 {
    let digits: String = text.split(' ').next().unwrap_or_default().chars().filter(|digit| *digit != ',').collect();
    digits.parse().unwrap_or_else(|_| panic!("{text:?} begins with a number"))
}

fn check_numbers(visitor: &Visitor) -> Result<()> {
    let rates = [visitor.text("#coreheap-rate")?, visitor.text("#default-rate")?];
    println!("edits per second: {} on coreheap, {} on the default allocator", rates[0], rates[1]);
    ensure!(rates.iter().all(|rate| number(rate) > 1000.0), "a rate that cannot be");
    for name in
        ["Memory before", "Memory at the peak", "Memory after", "Time to open", "Time for all edits", "Time to save", "Checksum"]
    {
        let [ours, theirs] = row(visitor, name)?;
        println!("{name}: {ours} on coreheap, {theirs} on the default allocator");
        ensure!(ours != "–" && theirs != "–", "nothing was measured");
    }
    let [ours, theirs] = row(visitor, "Checksum")?;
    ensure!(ours == theirs, "the two saved different documents");
    let ([peak, _], [after, _]) = (row(visitor, "In blocks at the peak")?, row(visitor, "In blocks after")?);
    println!("in blocks: {peak} at the peak, {after} after");
    ensure!(peak.ends_with("MiB") && number(&peak) > 1.0 && !after.ends_with("MiB"), "what was freed is free");
    Ok(())
}

#[test]
fn the_page_compares_two_allocators() -> Result<()> {
    let built = build()?;
    let screenshots: PathBuf = built.join("screenshots");
    let site = Site::new(built, 0)?;
    let address = site.address();
    thread::spawn(move || site.serve());
    let visitor = Visitor::new(&address)?;
    let seen = visit(&visitor, &screenshots);
    let complaints = visitor.complaints();
    ensure!(complaints.is_empty(), "the browser said: {complaints:#?}; {seen:?}");
    seen
}

/// One worker in a wide window in the light; then two, which share a heap, in a narrow one in the dark.
fn visit(visitor: &Visitor, screenshots: &Path) -> Result<()> {
    ensure!(visitor.value("crossOriginIsolated")? == true, "the page could not share memory with workers");
    visitor.set_window(1280, 1800)?;
    visitor.set_scheme("light")?;
    run(visitor, 4, 1, &screenshots.join("wide"))?;
    check_numbers(visitor)?;
    visitor.set_window(360, 2400)?;
    visitor.set_scheme("dark")?;
    run(visitor, 4, 2, &screenshots.join("narrow"))?;
    check_numbers(visitor)?;
    ensure!(
        visitor.value("document.documentElement.scrollWidth <= 360")? == true,
        "a narrow window need not be scrolled sideways"
    );
    Ok(())
}
