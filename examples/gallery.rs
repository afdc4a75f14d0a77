//! Writes every page in every state, and the files they ask for, to a folder: `cargo run --example gallery -- FOLDER`.

use std::{env, fs, io, path::Path};

use verigate::http::gallery;

fn main() -> anyhow::Result<()> {
    let folder = env::args()
        .nth(1)
        .ok_or_else(|| anyhow::anyhow!("name a folder to write to"))?;
    let folder = Path::new(&folder);
    for (name, html) in gallery::pages()? {
        write(folder, &format!("{name}.html"), html.as_bytes())?;
    }
    for (address, body) in gallery::files() {
        write(folder, address.trim_start_matches('/'), body)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, body: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, body)
}
