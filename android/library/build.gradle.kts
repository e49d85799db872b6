// dev.siskin:siskin, the AAR. `gradle :library:assembleRelease` needs the SDK, the NDK (r27 or later; 16 KB pages), Rust
// with the three Android targets, and cargo-ndk 3.5 or later. Not run where Siskin is developed: docs/adr/0014-android.md.
plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

val repository = rootDir.parentFile
val abis = listOf("arm64-v8a", "x86_64")
val nativeLibraries = layout.buildDirectory.dir("rust/jniLibs")

/** Builds libsiskin.so for each ABI and puts it where the AAR takes native libraries from. */
val cargoNdk = tasks.register<Exec>("cargoNdk") {
    workingDir = repository
    // 16 KB pages; equal functions once make it smaller.
    environment("RUSTFLAGS", "-C link-arg=-Wl,-z,max-page-size=16384,--icf=all")
    commandLine(
        listOf("cargo", "ndk", "--platform", "24", "--output-dir", nativeLibraries.get().asFile.path) +
            abis.flatMap { listOf("--target", it) } +
            listOf("build", "--locked", "--profile", "dist", "--package", "siskin-android", "--features", "fast-kernels-only"),
    )
    doLast { // cargo cannot call it so: docs/adr/0014-android.md
        abis.forEach { abi ->
            val folder = nativeLibraries.get().dir(abi).asFile
            folder.resolve("libsiskin_android.so").renameTo(folder.resolve("libsiskin.so"))
        }
    }
}

/** C++ apps find the header and the library through the AAR: `find_package(siskin)`. */
val prefabHeaders = tasks.register<Sync>("prefabHeaders") {
    from(repository.resolve("ffi/include")) { include("siskin.h", "siskin.hpp") }
    into(layout.buildDirectory.dir("prefab-headers"))
}

android {
    namespace = "dev.siskin"
    compileSdk = 35
    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    sourceSets["main"].apply {
        // The library itself is the same on every JVM; only what names Android's classes stands here.
        kotlin.srcDir(repository.resolve("bindings/kotlin/src/main/kotlin"))
        jniLibs.srcDir(nativeLibraries)
    }
}

kotlin {
    explicitApi()
    compilerOptions {
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_11)
        languageVersion.set(org.jetbrains.kotlin.gradle.dsl.KotlinVersion.KOTLIN_2_1)
        apiVersion.set(org.jetbrains.kotlin.gradle.dsl.KotlinVersion.KOTLIN_2_1)
    }
}

tasks.named("preBuild") { dependsOn(cargoNdk, prefabHeaders) }

dependencies {
    api(libs.coroutines) // Flow stands in the API
}
