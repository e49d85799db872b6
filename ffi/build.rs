//! Gives the shared library its name: `libsiskin.so.<ABI version>`, whatever the file is called.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks")]

/// Raised when something is removed from or changed in `include/siskin.h`; equals `SISKIN_ABI_VERSION`.
const ABI: u32 = 1;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=SISKIN_ABI_VERSION={ABI}");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos" | "ios") => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libsiskin.{ABI}.dylib");
        }
        // Android finds libraries by file name and ships one with each app.
        Ok("android") => println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsiskin.so"),
        Ok("windows") => {}
        _ => println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsiskin.so.{ABI}"),
    }
}
