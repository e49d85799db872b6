//! `cargo xtask header`: makes the C header from the sources of `ffi`, and checks what the compiler does not: that every
//! function stands in the boundary.

use std::fs;
use std::path::Path;

use crate::scan::code_only;
use crate::{Failure, workspace_root};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say whether the committed header is up to date
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let ffi = workspace_root().join("ffi");
    let functions = check_boundaries(&ffi.join("src"))?;
    let header = generate(&ffi)?;
    check_enums(&ffi.join("src"), &header)?;
    let path = ffi.join("include/siskin.h");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if header == committed {
        println!("header: {functions} functions, up to date");
        return Ok(());
    }
    if args.check {
        return Err("ffi/include/siskin.h is not what the sources say; run `cargo xtask header`".into());
    }
    fs::create_dir_all(ffi.join("include"))?;
    fs::write(&path, header)?;
    println!("header: {functions} functions, written");
    Ok(())
}

/// Refuses a header that lacks an enum of the sources: one that no function names has to be listed in cbindgen.toml.
fn check_enums(src: &Path, header: &str) -> Result<(), Failure> {
    for entry in fs::read_dir(src)? {
        let text = code_only(&fs::read_to_string(entry?.path())?);
        let names = text.split("pub enum ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        if let Some(name) = names.into_iter().find(|name| !header.contains(&format!("enum {name}\n"))) {
            return Err(format!("the header lacks enum {name}: list it in ffi/cbindgen.toml").into());
        }
    }
    Ok(())
}

fn generate(ffi: &Path) -> Result<String, Failure> {
    let mut config = cbindgen::Config::from_file(ffi.join("cbindgen.toml"))?;
    config.header = Some(fs::read_to_string(ffi.join("walkthrough.h"))?);
    let bindings = cbindgen::generate_with_config(ffi, config)?;
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.split('.');
    let mut part = || parts.next().unwrap_or("0").to_owned();
    let (major, minor, patch) = (part(), part(), part());
    Ok(String::from_utf8(bytes)?
        .replace("@VERSION@", version)
        .replace("@MAJOR@", &major)
        .replace("@MINOR@", &minor)
        .replace("@PATCH@", &patch)
        .replace("@ABI@", &abi(&fs::read_to_string(ffi.join("build.rs"))?)?))
}

/// The number in `const ABI: u32 = 1;`.
fn abi(build_script: &str) -> Result<String, Failure> {
    let number = build_script.split_once("const ABI: u32 = ").and_then(|(_, rest)| rest.split_once(';'));
    number
        .map(|(number, _)| number.trim().to_owned())
        .ok_or_else(|| "ffi/build.rs names no ABI version".into())
}

/// Refuses an exported function whose body is anything but one `boundary!` or `infallible!`. Counts them.
fn check_boundaries(src: &Path) -> Result<usize, Failure> {
    let mut functions = 0;
    for entry in fs::read_dir(src)? {
        let path = entry?.path();
        let text = code_only(&fs::read_to_string(&path)?);
        functions += text.matches("extern \" \" fn siskin_").count();
        if let Some(name) = outside(&text) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(format!(
                "ffi/src/{file}: the body of {name} does not stand in boundary! or infallible!"
            )
            .into());
        }
        let exported = text.matches("#[unsafe(no_mangle)]").count();
        if exported != text.matches("extern \" \" fn siskin_").count() {
            return Err(
                format!("{}: a function is exported that is not called siskin_", path.display()).into()
            );
        }
    }
    if functions == 0 { Err("no function found in ffi/src".into()) } else { Ok(functions) }
}

/// The first exported function of a file (its text without comments and strings) that stands outside.
fn outside(text: &str) -> Option<&str> {
    text.split("extern \" \" fn ").skip(1).find_map(|function| {
        let name = function.split('(').next().unwrap_or(function);
        if !name.starts_with("siskin_") {
            return None; // a type of function, or one that is not exported
        }
        let (_, body) = function.split_once('{')?;
        let body = body.trim_start();
        let inside = body.starts_with("boundary!(") || body.starts_with("infallible!(");
        // Nothing may follow the macro: the next brace that closes ends the function.
        let end = inside.then(|| closing(body)).flatten().map(|end| body[end..].trim_start());
        (!end.is_some_and(|rest| rest.starts_with('}'))).then_some(name)
    })
}

/// The byte behind the parenthesis that closes the first one that opens.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at + 1),
            ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_outside_the_boundary_are_found() {
        let inside = "pub extern \" \" fn siskin_a(x: u32) -> u32 {\n    boundary!(e, { f(x) })\n}\n";
        assert_eq!(outside(inside), None);
        assert_eq!(outside("extern \" \" fn siskin_b() { f() }"), Some("siskin_b"));
        assert_eq!(outside("extern \" \" fn siskin_c() { boundary!({ f() }); g() }"), Some("siskin_c"));
        assert_eq!(outside("extern \" \" fn siskin_d() { let x = f(); boundary!({ x }) }"), Some("siskin_d"));
        assert_eq!(outside(&format!("{inside}extern \" \" fn siskin_e() {{ f() }}")), Some("siskin_e"));
    }

    #[test]
    fn the_abi_version_is_found() {
        assert_eq!(abi("/// x\nconst ABI: u32 = 12;\n").expect("there"), "12");
        assert!(abi("const X: u32 = 1;").is_err());
    }
}
