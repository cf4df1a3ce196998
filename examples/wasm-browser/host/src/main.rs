//! Serves the page: `cargo run` in this folder, or `cargo xtask example wasm` anywhere in the repository. Another port than 8000 is an argument.

use wasm_browser::{Site, build};

fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(8000), |port| port.parse())?;
    let site = Site::new(build()?, port)?;
    println!("The page is at {}; Ctrl-C ends it.", site.address());
    site.serve();
    Ok(())
}
