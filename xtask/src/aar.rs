//! `cargo xtask aar`: the Android library's archive from its parts, without Gradle.
//!
//! The same parts in the same order, without times, give the same bytes. What goes in, in the order of the archive:
//! manifest, classes, an empty R.txt (there are no resources), the rules for R8, the native libraries, what says which
//! Android this needs, and `prefab/`, by which C++ code of an app finds the header and the library.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::{Failure, workspace_root};

/// API level that the native libraries are linked for.
const MIN_SDK: u32 = 24;
/// What prefab calls the NDK's C++ library when a package uses none.
const STL: &str = "none";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The compiled Kotlin, as `android/classes` makes it
    #[arg(long)]
    classes: PathBuf,
    /// A stripped library, as ABI=FILE; once for each ABI
    #[arg(long = "library", value_name = "ABI=FILE", required = true)]
    libraries: Vec<String>,
    /// The archive to write
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let parts = parts(args)?;
    let bytes = archive(&parts)?;
    fs::write(&args.out, &bytes)?;
    for (name, content) in &parts {
        println!("{:10}  {name}", content.len());
    }
    println!("{:10}  {} (compressed)", bytes.len(), args.out.display());
    Ok(())
}

type Part = (String, Vec<u8>);

fn parts(args: &Args) -> Result<Vec<Part>, Failure> {
    let root = workspace_root();
    let library = root.join("android/library");
    let mut parts = vec![
        ("AndroidManifest.xml".to_owned(), fs::read(library.join("src/main/AndroidManifest.xml"))?),
        ("classes.jar".to_owned(), again(&fs::read(&args.classes)?)?),
        ("R.txt".to_owned(), Vec::new()),
        ("proguard.txt".to_owned(), fs::read(library.join("consumer-rules.pro"))?),
        ("META-INF/com/android/build/gradle/aar-metadata.properties".to_owned(), metadata().into()),
    ];
    let mut abis = Vec::new();
    for library in &args.libraries {
        let (abi, file) = library.split_once('=').ok_or("--library wants ABI=FILE")?;
        parts.push((format!("jni/{abi}/libsiskin.so"), fs::read(file)?));
        abis.push((abi, PathBuf::from(file)));
    }
    parts.extend(prefab(&root, &abis)?);
    Ok(parts)
}

fn metadata() -> String {
    "aarFormatVersion=1.0\naarMetadataVersion=1.0\nminCompileSdk=24\nminCompileSdkExtension=0\n\
     minAndroidGradlePluginVersion=7.0.0\n"
        .to_owned()
}

/// The package for `find_package(siskin)`: one module, `siskin::siskin`.
fn prefab(root: &Path, abis: &[(&str, PathBuf)]) -> Result<Vec<Part>, Failure> {
    let package = format!(
        "{{\"schema_version\":2,\"name\":\"siskin\",\"version\":\"{}\",\"dependencies\":[]}}\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut parts = vec![
        ("prefab/prefab.json".to_owned(), package.into_bytes()),
        (
            "prefab/modules/siskin/module.json".to_owned(),
            b"{\"export_libraries\":[],\"library_name\":\"libsiskin\"}\n".to_vec(),
        ),
    ];
    for header in ["siskin.h", "siskin.hpp"] {
        let path = root.join("ffi/include").join(header);
        if path.exists() {
            parts.push((format!("prefab/modules/siskin/include/{header}"), fs::read(path)?));
        }
    }
    for (abi, file) in abis {
        let about = format!(
            "{{\"abi\":\"{abi}\",\"api\":{MIN_SDK},\"ndk\":27,\"stl\":\"{STL}\",\"static\":false}}\n"
        );
        parts.push((format!("prefab/modules/siskin/libs/android.{abi}/abi.json"), about.into_bytes()));
        parts.push((format!("prefab/modules/siskin/libs/android.{abi}/libsiskin.so"), fs::read(file)?));
    }
    Ok(parts)
}

/// A jar with the same files, in the order of their names and without times.
fn again(jar: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut jar = zip::ZipArchive::new(Cursor::new(jar))?;
    let mut parts = Vec::new();
    for i in 0..jar.len() {
        let mut file = jar.by_index(i)?;
        if file.is_file() {
            let mut content = Vec::new();
            std::io::copy(&mut file, &mut content)?;
            parts.push((file.name().to_owned(), content));
        }
    }
    parts.sort();
    archive(&parts)
}

fn archive(parts: &[Part]) -> Result<Vec<u8>, Failure> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_bytes() {
        let parts = vec![("b.txt".to_owned(), vec![1; 1000]), ("a/c.txt".to_owned(), Vec::new())];
        let bytes = archive(&parts).expect("writes");
        assert_eq!(bytes, archive(&parts).expect("writes"));
        assert!(bytes.len() < 500, "compressed");
        let mut sorted = parts;
        sorted.sort();
        assert_eq!(again(&bytes).expect("reads"), archive(&sorted).expect("writes"));
    }
}
