// swift-tools-version:5.9
// Siskin for Swift. On Apple platforms the library comes in SiskinFFI.xcframework, which `build-xcframework.sh` makes; on
// Linux it is libsiskin_bindings of the system (or of `-Xlinker -L…`), which is how CI runs these sources and tests.

import PackageDescription

#if os(Linux)
    let library = Target.systemLibrary(name: "SiskinFFI", path: "Sources/SiskinFFI")
#else
    let library = Target.binaryTarget(name: "SiskinFFI", path: "SiskinFFI.xcframework")
#endif

let package = Package(
    name: "Siskin",
    // The oldest with Swift concurrency in the system. Rust itself reaches further back.
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Siskin", targets: ["Siskin"])],
    targets: [
        library,
        .target(
            name: "Siskin", dependencies: ["SiskinFFI"], path: "Sources/Siskin",
            resources: [.copy("PrivacyInfo.xcprivacy")]),
        .testTarget(name: "SiskinTests", dependencies: ["Siskin"], path: "Tests/SiskinTests"),
    ]
)
