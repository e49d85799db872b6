#!/usr/bin/env bash
# Builds SiskinFFI.xcframework without a Mac, as far as that goes: static libraries need no linker and no SDK, only a
# standard library that is built along. CI proves with it that everything compiles and links for Apple's systems, and
# keeps an eye on sizes. What ships is built on a Mac by build-xcframework.sh, which also makes dSYMs and can be signed.
#   ios/build-linux.sh OUT [TARGET..]
# Needs Debian's rustc-web, cargo-web, rust-web-src and llvm-22 (`.ci/ios` installs them) and python3.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?where to put it}
shift
targets=${*:-aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin x86_64-apple-darwin}

export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1 # building the standard library is unstable; the version is pinned by Debian
export IPHONEOS_DEPLOYMENT_TARGET=15.0 MACOSX_DEPLOYMENT_TARGET=12.0
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/apple
unset RUSTUP_TOOLCHAIN RUSTC RUSTFLAGS

cd "$root"
for target in $targets; do
    cargo rustc --quiet --locked --profile bindings --package siskin-bindings --no-default-features --features fast-kernels-only \
        --lib --crate-type staticlib -Zbuild-std=std,panic_unwind --target "$target"
done

# The parts of an XCFramework: folder, platform, variant, targets.
rm -rf "$out"
parts=()
part() { # folder platform variant target..
    local folder=$1 platform=$2 variant=$3 archives=() archs=() target
    shift 3
    for target in "$@"; do
        [[ " $targets " == *" $target "* ]] || continue
        archives+=("$CARGO_TARGET_DIR/$target/bindings/libsiskin_bindings.a")
        archs+=("$(sed 's/aarch64/arm64/; s/-.*//' <<<"$target")")
    done
    [ ${#archives[@]} -gt 0 ] || return 0
    mkdir -p "$out/$folder/Headers/SiskinFFI"
    cp bindings/swift/Sources/SiskinFFI/SiskinFFI.h bindings/swift/apple/module.modulemap "$out/$folder/Headers/SiskinFFI/"
    cp bindings/swift/Sources/Siskin/PrivacyInfo.xcprivacy "$out/$folder/"
    if [ ${#archives[@]} = 1 ]; then
        cp "${archives[0]}" "$out/$folder/libsiskin.a"
    else
        llvm-lipo-22 -create "${archives[@]}" -output "$out/$folder/libsiskin.a"
    fi
    parts+=("$folder:$platform:$variant:$(IFS=,; echo "${archs[*]}")")
}
part ios-arm64 ios "" aarch64-apple-ios
part ios-arm64_x86_64-simulator ios simulator aarch64-apple-ios-sim x86_64-apple-ios
part macos-arm64_x86_64 macos "" aarch64-apple-darwin x86_64-apple-darwin

python3 - "$out" "${parts[@]}" <<'P'
import plistlib, sys
libraries = []
for part in sys.argv[2:]:
    folder, platform, variant, archs = part.split(":")
    library = {"BinaryPath": "libsiskin.a", "HeadersPath": "Headers", "LibraryIdentifier": folder, "LibraryPath": "libsiskin.a",
               "SupportedArchitectures": archs.split(","), "SupportedPlatform": platform}
    if variant:
        library["SupportedPlatformVariant"] = variant
    libraries.append(library)
with open(sys.argv[1] + "/Info.plist", "wb") as file:
    plistlib.dump({"AvailableLibraries": libraries, "CFBundlePackageType": "XFWK", "XCFrameworkFormatVersion": "1.0"}, file)
P
echo "$out: ${parts[*]}"
