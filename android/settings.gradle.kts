// The Android library and the sample app. With the SDK, the NDK and cargo-ndk: `gradle :library:assembleRelease`.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}
dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}
rootProject.name = "siskin-android"
include(":library", ":sample")
