//! Migrations are compiled in: a changed file must change the binary.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=sources");
}
