//! The functions of a program.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use object::{Object as _, ObjectSymbol as _, SymbolKind};

/// The names of the functions of a program by address, counted from where the program is put.
///
/// # Errors
/// When the file is no program, or one without symbols.
pub fn functions(program: &Path) -> anyhow::Result<BTreeMap<u64, String>> {
    let bytes = std::fs::read(program).with_context(|| program.display().to_string())?;
    let file = object::File::parse(bytes.as_slice())?;
    let mut functions = BTreeMap::new();
    for symbol in file.symbols() {
        if symbol.kind() == SymbolKind::Text && symbol.is_definition() && symbol.size() > 0 {
            functions
                .entry(symbol.address())
                .or_insert_with(|| symbol.name().unwrap_or_default().to_owned());
        }
    }
    if functions.is_empty() {
        bail!(
            "{} has no symbols; build it with `cargo rustc --release -p slackwater -- -C strip=none`",
            program.display()
        );
    }
    Ok(functions)
}
