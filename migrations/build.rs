//! Rebuilds when a migration is added: the migrator is compiled in, and cargo does not watch the folder by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
