// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "overhead",
    platforms: [.macOS(.v12)],
    dependencies: [.package(path: "../../../ios")],
    targets: [.executableTarget(name: "overhead", dependencies: [.product(name: "Siskin", package: "ios")])]
)
