//! Members of downloaded packages: wheels are zip files, sdists and npm packages gzipped tar files.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path};

use crate::Failure;

/// Copies the one member of `zip` whose path contains `pattern` to `target`.
pub(super) fn copy_zip_member(zip: &Path, pattern: &str, target: &Path) -> Result<(), Failure> {
    let mut archive = zip::ZipArchive::new(File::open(zip)?)?;
    let fits = |name: &&str| name.contains(pattern) && !name.ends_with('/') && !name.ends_with(".py");
    let names: Vec<String> = archive.file_names().filter(fits).map(str::to_string).collect();
    let [name] = names.as_slice() else {
        return Err(
            format!("{}: {} members match \"{pattern}\", expected one", zip.display(), names.len()).into()
        );
    };
    io::copy(&mut archive.by_name(name)?, &mut File::create(target)?)?;
    Ok(())
}

/// Unpacks the members that `place` gives a path below `dir`.
pub(super) fn unpack_zip(
    zip: &Path,
    dir: &Path,
    place: impl Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let mut archive = zip::ZipArchive::new(File::open(zip)?)?;
    let mut count = 0;
    for i in 0..archive.len() {
        let mut member = archive.by_index(i)?;
        if member.is_file()
            && let Some(path) = place(member.name())
        {
            write_below(dir, &path, &mut member)?;
            count += 1;
        }
    }
    some(zip, count)
}

/// Unpacks the members that `place` gives a path below `dir`.
pub(crate) fn unpack_tgz(
    tgz: &Path,
    dir: &Path,
    place: impl Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(tgz)?));
    let mut count = 0;
    for member in archive.entries()? {
        let mut member = member?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        if member.header().entry_type().is_file()
            && let Some(path) = place(&name)
        {
            write_below(dir, &path, &mut member)?;
            count += 1;
        }
    }
    some(tgz, count)
}

fn write_below(dir: &Path, path: &str, from: &mut impl io::Read) -> Result<(), Failure> {
    if !Path::new(path).components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(format!("{path}: a package wants to write outside its folder").into());
    }
    let target = dir.join(path);
    fs::create_dir_all(target.parent().unwrap_or(dir))?;
    io::copy(from, &mut File::create(target)?)?;
    Ok(())
}

fn some(archive: &Path, count: usize) -> Result<(), Failure> {
    if count > 0 { Ok(()) } else { Err(format!("{}: nothing in it was wanted", archive.display()).into()) }
}
