//! The library calls itself what it is packed as.
fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsiskin.so");
    println!("cargo::rerun-if-changed=build.rs");
}
