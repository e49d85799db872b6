#!/usr/bin/env bash
# On a Mac with Xcode and rustup: builds ios/SiskinFFI.xcframework for devices, simulators and macOS, ready for Package.swift.
#   ios/build-xcframework.sh [--sign "Apple Distribution: …"] [--zip]
# The libraries are static, so there is no dSYM to ship beside them: their debug information (line tables) goes into the
# app's own dSYM when Xcode links the app. --zip prints the checksum that `.binaryTarget(url:checksum:)` wants.
#
# Not run by CI, which has no Mac; it builds the same five libraries with build-linux.sh.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/ios/SiskinFFI.xcframework
sign= zip=
while [ $# -gt 0 ]; do
    case $1 in
    --sign) sign=${2:?an identity of the keychain}; shift ;;
    --zip) zip=yes ;;
    *) echo "usage: $0 [--sign IDENTITY] [--zip]" >&2; exit 2 ;;
    esac
    shift
done
[ "$(uname)" = Darwin ] || { echo "this needs a Mac; see ios/build-linux.sh" >&2; exit 1; }
xcodebuild -version

# Minimum versions: those of Package.swift. They end up in the objects (LC_BUILD_VERSION, minos).
export IPHONEOS_DEPLOYMENT_TARGET=15.0 MACOSX_DEPLOYMENT_TARGET=12.0
targets=(aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin x86_64-apple-darwin)
rustup target add "${targets[@]}"
cd "$root"
for target in "${targets[@]}"; do
    cargo rustc --locked --profile bindings --package siskin-bindings --no-default-features --features fast-kernels-only --lib --crate-type staticlib --target "$target"
done

built=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive() { echo "$built/$1/bindings/libsiskin_bindings.a"; }
mkdir -p "$work"/{device,simulator,mac} "$work/headers/SiskinFFI"
cp bindings/swift/Sources/SiskinFFI/SiskinFFI.h bindings/swift/apple/module.modulemap "$work/headers/SiskinFFI/"
cp "$(archive aarch64-apple-ios)" "$work/device/libsiskin.a"
lipo -create "$(archive aarch64-apple-ios-sim)" "$(archive x86_64-apple-ios)" -output "$work/simulator/libsiskin.a"
lipo -create "$(archive aarch64-apple-darwin)" "$(archive x86_64-apple-darwin)" -output "$work/mac/libsiskin.a"

rm -rf "$out"
arguments=()
for part in device simulator mac; do
    arguments+=(-library "$work/$part/libsiskin.a" -headers "$work/headers")
done
xcodebuild -create-xcframework "${arguments[@]}" -output "$out"
# Xcode takes the privacy manifest from the Swift target's resources; the copies here are for those who link by hand.
for slice in "$out"/*/; do cp bindings/swift/Sources/Siskin/PrivacyInfo.xcprivacy "$slice"; done

# What must hold for the App Store: the minimum versions, and an architecture for each slice.
for slice in "$out"/*/libsiskin.a; do
    lipo -info "$slice"
    otool -l "$slice" | grep -E 'minos|version ' | sort | uniq -c
done
[ -z "$sign" ] || codesign --timestamp --sign "$sign" "$out"
if [ -n "$zip" ]; then
    (cd "$root/ios" && ditto -c -k --sequesterRsrc --keepParent SiskinFFI.xcframework SiskinFFI.xcframework.zip)
    swift package --package-path "$root/ios" compute-checksum "$root/ios/SiskinFFI.xcframework.zip"
fi
du -sh "$out"
