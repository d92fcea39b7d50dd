//! Tells the linker to put the functions that are used beside each other, in the order of `functions.txt`.
//!
//! The kernel maps 64 kB around each page of a program that is touched. The five megabytes that `slackwater` calls lie
//! scattered over nineteen, so nearly all of it would become resident.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const LIST: &str = "functions.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LIST}");
    // Other systems have other linkers, and a debug build is to be linked soon.
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" || env::var("PROFILE")? != "release" {
        return Ok(());
    }
    let script = Path::new(&env::var("OUT_DIR")?).join("functions.ld");
    fs::write(&script, linker_script(&fs::read_to_string(LIST)?)?)?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    Ok(())
}

/// Adds to what the linker does by itself; names of functions that are not there do nothing. The list leaves out the
/// numbers of crates, places and copies: `1a2B` in `Cs1a2B_5tokio`, `c` in `Bc_` and what follows a dot at the end.
fn linker_script(list: &str) -> Result<String, std::fmt::Error> {
    let mut script = String::from("SECTIONS {\n  .text.used : {\n");
    for name in list.lines().filter(|line| !line.starts_with('#')) {
        let copies = if name.ends_with('.') { "*" } else { "" };
        let name = name.replace("Cs_", "Cs*_").replace("B_", "B*_") + copies;
        // Functions that are marked as cold lie apart.
        writeln!(script, "    *(.text.{name} .text.unlikely.{name})")?;
    }
    script.push_str("  }\n} INSERT BEFORE .text;\n");
    Ok(script)
}
