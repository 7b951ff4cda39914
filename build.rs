//! Tells the linker where libtorch will be at run time.

use std::path::PathBuf;

fn main() {
    // Written anew whenever the link is; the link itself is a folder, which cargo would walk through.
    println!("cargo::rerun-if-changed=.libtorch/source.json");
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    match here.join(".libtorch/lib").canonicalize() {
        Ok(lib) => {
            // --disable-new-dtags: an RPATH also holds for the libraries that libtorch itself needs.
            println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{}", lib.display());
        }
        Err(_) => println!("cargo::warning=there is no .libtorch yet: run `cargo xtask libtorch` first"),
    }
}
