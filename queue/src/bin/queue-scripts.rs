//! Writes the queue's scripts, as Redis gets them, into a folder: for linters and profilers.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let Some(folder) = std::env::args().nth(1) else {
        return Err(io::Error::other("usage: queue-scripts FOLDER"));
    };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    for (name, text) in queue::scripts() {
        // The first line is for Redis; a linter would not understand it.
        let text = text.replacen("#!lua", "-- #!lua", 1);
        fs::write(folder.join(name).with_extension("lua"), text)?;
    }
    Ok(())
}
