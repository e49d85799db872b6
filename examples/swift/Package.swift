// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "chat",
    platforms: [.macOS(.v12)],
    dependencies: [.package(path: "../../ios")],
    targets: [.executableTarget(name: "chat", dependencies: [.product(name: "Siskin", package: "ios")])]
)
