#!/usr/bin/env bash
# build.sh ABI [cargo arguments]: libsiskin.so for Android on a machine without the NDK. Debian's Rust compiles std from
# source (its version of std for Android cannot be installed), lld links against names alone. The library that apps
# get from the Gradle build links with the NDK instead; docs/adr/0013-android.md says what differs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
abi=${1:?ABI}
shift
. "$here/abi.sh" "$abi"
target=${CARGO_TARGET_DIR:-$here/../../target}/android
export STUBS=$target/stubs/$abi EMULATION=$emulation
[ -f "$STUBS/libunwind.a" ] && [ "$STUBS/libc.so" -nt "$here/bionic.symbols" ] || "$here/stubs.sh" "$abi" "$STUBS"

unset RUSTUP_TOOLCHAIN RUSTC RUSTFLAGS
export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$target
variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$triple")_LINKER
export "$variable=$here/lld-as-clang"
cargo build --locked --package siskin-android --features own-unwinder,fast-kernels-only -Zbuild-std=std,panic_unwind --target "$triple" "$@"
