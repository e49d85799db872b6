//! Whole files: every way to open one, and files broken in every place.

use std::fs;
use std::path::{Path, PathBuf};

use super::write::GgufWriter;
use super::*;
use crate::quant::QuantType;

/// A folder of its own for a test, removed when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("siskin-gguf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder in the temporary one");
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every kind of value and several tensors, in about two kilobytes.
fn writer() -> GgufWriter {
    let mut w = GgufWriter::new();
    w.set("general.architecture", "x").set("general.alignment", &32u32);
    w.set("u8", &1u8)
        .set("i8", &-1i8)
        .set("u16", &1u16)
        .set("i16", &-1i16)
        .set("i32", &-1i32)
        .set("f32", &0.5f32);
    w.set("u64", &1u64).set("i64", &-1i64).set("f64", &0.5f64).set("bool", &true);
    w.set("words", &["a", "", "日本", "d"][..])
        .set("scores", &[0.5f32, -1.0][..])
        .set("flags", &[true, false][..]);
    for (name, ty, dims) in [
        ("blk.0.a", QuantType::F32, &[4, 3][..]),
        ("blk.0.b", QuantType::Q4_0, &[32, 2]),
        ("blk.1.a", QuantType::F16, &[2, 2, 2]),
        ("blk.1.b", QuantType::Q6K, &[256]),
    ] {
        w.tensor(name, ty, dims).expect("a shape");
    }
    w
}

fn valid() -> Vec<u8> {
    writer().to_bytes(|t| (0..t.bytes).map(|i| i as u8).collect()).expect("written")
}

/// Reads everything that can be read; what is wrong must have been refused before.
fn use_all(file: &GgufFile) -> u64 {
    let mut sum = 0u64;
    for (key, value) in file.metadata().iter() {
        sum += key.len() as u64 + value.to_string().len() as u64;
        assert!(file.metadata().get(key).is_some());
        let _ = file.metadata().optional::<usize>(key);
        let _ = file.metadata().optional::<String>(key);
        let _ = file.metadata().optional::<Vec<bool>>(key);
        let _ = file.metadata().per_layer::<f32>(key, 2);
        if let Some(Array::Strings(a)) = value.as_array() {
            sum += a.iter().map(|s| s.len() as u64).sum::<u64>();
        }
        if let Some(Array::Scalars(a)) = value.as_array() {
            sum += (0..a.len()).filter_map(|i| a.get(i)).count() as u64;
        }
    }
    for tensor in file.tensors() {
        assert!(file.tensors().get(tensor.name()).is_some());
        sum += tensor.bytes().iter().map(|&b| u64::from(b)).sum::<u64>() + tensor.elements() as u64;
        let _ = tensor.quant_type();
    }
    sum
}

fn refused(result: Result<GgufFile>) -> Error {
    result.expect_err("must be refused")
}

#[test]
fn path_descriptor_and_bytes_are_the_same() {
    let bytes = valid();
    let dir = Scratch::new("sources");
    let file = GgufFile::open(dir.write("m.gguf", &bytes)).expect("valid");
    let expected = use_all(&file);
    assert!(expected > 0);
    assert_eq!((file.version(), file.parts(), file.mapped_bytes()), (3, 1, bytes.len() as u64));
    assert!(file.heap_bytes() < 16 << 10 && file.path().is_some_and(|p| p.ends_with("m.gguf")));
    file.check_unchanged().expect("nobody wrote to it");
    file.advise_willneed();
    assert_eq!(use_all(&GgufFile::from_bytes(bytes.clone()).expect("valid")), expected);

    #[cfg(unix)]
    for offset in [0usize, 1, 3, 4095, 4096, 10_007] {
        let mut inside = vec![0xAA; offset];
        inside.extend(&bytes);
        inside.extend([0xAA; 777]);
        let path = dir.write("package", &inside);
        let fd = fs::File::open(path).expect("there");
        let file = GgufFile::from_fd(&fd, offset as u64, bytes.len() as u64).expect("any offset");
        drop(fd);
        assert_eq!(use_all(&file), expected, "at {offset}");
        file.check_unchanged().expect("nobody wrote to it");
        assert_eq!((file.mapped_bytes(), file.path()), (bytes.len() as u64, None));
        let b = file.tensors().get("blk.0.b").expect("there");
        assert_eq!(b.bytes()[..4], [0, 1, 2, 3]);
    }
}

#[test]
#[cfg(unix)]
fn descriptors_that_do_not_fit() {
    let dir = Scratch::new("descriptors");
    let len = valid().len() as u64;
    let fd = fs::File::open(dir.write("m.gguf", &valid())).expect("there");
    for (offset, len) in [(0, 0), (0, len + 1), (len, 1), (u64::MAX, 2), (1, u64::MAX)] {
        assert_eq!(
            refused(GgufFile::from_fd(&fd, offset, len)).kind(),
            ErrorKind::Argument,
            "{offset} {len}"
        );
    }
    assert_eq!(refused(GgufFile::from_fd(&fd, 1, len - 1)).kind(), ErrorKind::Format, "not at its start");
    let folder = fs::File::open(&dir.0).expect("a folder can be opened");
    assert_eq!(refused(GgufFile::from_fd(&folder, 0, 1)).kind(), ErrorKind::Io);
}

#[test]
fn paths_that_are_no_model() {
    let dir = Scratch::new("paths");
    let e = refused(GgufFile::open(dir.0.join("absent.gguf")));
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("absent.gguf") && std::error::Error::source(&e).is_some(), "{e}");
    let e = refused(GgufFile::open(&dir.0));
    assert!(e.kind() == ErrorKind::Io && e.message().contains("directory") && e.file().is_some(), "{e}");
    let e = refused(GgufFile::open(dir.write("empty.gguf", b"")));
    assert!(e.kind() == ErrorKind::Format && e.message().contains("empty") && e.file().is_some(), "{e}");
    let e = refused(GgufFile::open(dir.write("text.gguf", b"hello, world")));
    assert!(e.kind() == ErrorKind::Format && e.offset() == Some(0) && e.file().is_some(), "{e}");
    assert_eq!(refused(GgufFile::from_bytes(Vec::new())).kind(), ErrorKind::Format);
    #[cfg(unix)]
    {
        let pipe = dir.0.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success());
        if made {
            let e = refused(GgufFile::open(&pipe)); // must not wait for a writer
            assert!(e.kind() == ErrorKind::Io && e.message().contains("pipe"), "{e}");
        } else {
            say_skipped("opening a pipe: there is no mkfifo");
        }
        let socket = dir.0.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket in the folder");
        let e = refused(GgufFile::open(&socket));
        assert!(e.kind() == ErrorKind::Io && e.message().contains("socket"), "{e}");
        let e = refused(GgufFile::open("/dev/zero"));
        assert!(e.kind() == ErrorKind::Io && e.message().contains("device"), "{e}");
    }
}

#[test]
#[cfg(unix)]
fn no_permission() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Scratch::new("permission");
    let path = dir.write("m.gguf", &valid());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).expect("ours");
    if fs::File::open(&path).is_ok() {
        say_skipped("no_permission: this user may read every file");
        return;
    }
    let e = refused(GgufFile::open(&path));
    assert!(e.kind() == ErrorKind::Io && e.to_string().contains("ermission") && e.file().is_some(), "{e}");
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn say_skipped(what: &str) {
    eprintln!("skipped: {what}");
}

#[test]
fn a_file_that_changes_is_noticed() {
    let dir = Scratch::new("changes");
    let bytes = valid();
    let open = |name: &str| {
        let path = dir.write(name, &bytes);
        let file = GgufFile::open(&path).expect("valid");
        file.check_unchanged().expect("not yet");
        (path, file)
    };
    let changed = |file: &GgufFile, says: &str| {
        let e = file.check_unchanged().expect_err("changed");
        assert_eq!(e.kind(), ErrorKind::FileChanged);
        assert!(e.file().is_some() && e.message().contains(says), "{e}");
    };
    let (path, file) = open("shorter");
    fs::OpenOptions::new().write(true).open(path).expect("ours").set_len(100).expect("cut");
    changed(&file, "now 100");
    let (path, file) = open("longer");
    fs::OpenOptions::new().write(true).open(path).expect("ours").set_len(1 << 20).expect("grown");
    changed(&file, "now 1048576");
    let (path, file) = open("rewritten");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::OpenOptions::new().write(true).open(path).expect("ours").set_modified(later).expect("touched");
    changed(&file, "written to");
    let (path, file) = open("replaced");
    let expected = use_all(&file);
    fs::rename(dir.write("other", b"another model"), path).expect("replaced");
    file.check_unchanged().expect("the mapping keeps the old file");
    assert_eq!(use_all(&file), expected);
}

/// Part `number`, from 0, with one tensor.
fn split_part(number: u16, count: u16, all: i32, tensor: &str) -> Vec<u8> {
    let mut w = GgufWriter::new();
    if number == 0 {
        w.set("general.architecture", "x");
    }
    w.set("split.no", &number).set("split.count", &count).set("split.tensors.count", &all);
    w.tensor(tensor, QuantType::F32, &[3]).expect("a shape");
    w.to_bytes(|t| vec![number as u8; t.bytes]).expect("written")
}

fn split_name(number: u16, count: u16) -> String {
    format!("m-{:05}-of-{count:05}.gguf", number + 1)
}

fn write_split(dir: &Scratch, count: u16) -> Vec<PathBuf> {
    (0..count)
        .map(|i| dir.write(&split_name(i, count), &split_part(i, count, count.into(), &format!("t{i}"))))
        .collect()
}

#[test]
fn a_split_model_opens_from_any_part() {
    let dir = Scratch::new("split");
    let paths = write_split(&dir, 3);
    for path in &paths {
        let file = GgufFile::open(path).expect("all parts are there");
        assert_eq!((file.parts(), file.tensors().len()), (3, 3));
        assert_eq!(
            file.metadata().require::<String>("general.architecture").expect("of the first part"),
            "x"
        );
        for i in 0..3u32 {
            let t = file.tensors().get(&format!("t{i}")).expect("there");
            assert_eq!((t.part(), &t.bytes()[..]), (i, &[i as u8; 12][..]));
        }
        assert_eq!(file.path(), Some(paths[0].as_path()));
        file.check_unchanged().expect("unchanged");
    }
    let file = GgufFile::open(&paths[0]).expect("all parts are there");
    fs::OpenOptions::new().write(true).open(&paths[2]).expect("ours").set_len(9).expect("cut");
    let e = file.check_unchanged().expect_err("a later part changed");
    assert_eq!(e.file(), Some(paths[2].as_path()));
    // One file that says it is the only part needs no such name.
    let single = GgufFile::open(dir.write("single.gguf", &split_part(0, 1, 1, "t0"))).expect("whole");
    assert_eq!(single.parts(), 1);
}

#[test]
fn split_models_that_do_not_fit_together() {
    let dir = Scratch::new("split-bad");
    let open = |name: &str| refused(GgufFile::open(dir.0.join(name)));
    let fresh = || write_split(&dir, 3);
    let names = |e: &Error, path: &Path| assert_eq!(e.file(), Some(path), "{e}");

    let paths = fresh();
    fs::remove_file(&paths[1]).expect("ours");
    let e = open(&split_name(2, 3));
    assert!(e.kind() == ErrorKind::Missing && e.message().contains("part 2 of 3"), "{e}");
    names(&e, &paths[1]);

    let paths = fresh();
    dir.write(&split_name(1, 3), &split_part(2, 3, 3, "t1"));
    let e = open(&split_name(0, 3));
    assert_eq!((e.kind(), e.key()), (ErrorKind::Format, Some("split.no")));
    names(&e, &paths[1]);

    fresh();
    dir.write(&split_name(1, 3), &split_part(1, 3, 3, "t0"));
    let e = open(&split_name(0, 3));
    assert_eq!((e.kind(), e.tensor()), (ErrorKind::Format, Some("t0")), "the same tensor in two parts");

    fresh();
    dir.write(&split_name(1, 3), &split_part(1, 3, 4, "t1"));
    let e = open(&split_name(0, 3));
    assert_eq!((e.kind(), e.key()), (ErrorKind::Format, Some("split.tensors.count")));

    let paths = fresh();
    let whole = split_part(1, 3, 3, "t1");
    dir.write(&split_name(1, 3), &whole[..whole.len() - 32]);
    let e = open(&split_name(0, 3));
    assert_eq!((e.kind(), e.tensor()), (ErrorKind::Format, Some("t1")), "cut");
    names(&e, &paths[1]);

    dir.write("other-name.gguf", &split_part(0, 2, 2, "t0"));
    let e = open("other-name.gguf");
    assert!(e.message().contains("-00001-of-00002.gguf"), "{e}");
    dir.write("m-00002-of-00002.gguf", &split_part(0, 2, 2, "t0"));
    assert_eq!(open("m-00002-of-00002.gguf").kind(), ErrorKind::Format);
    dir.write("m-00001-of-00002.gguf", &split_part(7, 2, 2, "t0"));
    assert_eq!(open("m-00001-of-00002.gguf").key(), Some("split.no"));
    dir.write("many.gguf", &split_part(0, u16::MAX, 2, "t0"));
    assert_eq!(open("many.gguf").kind(), ErrorKind::Limit);
    assert_eq!(refused(GgufFile::from_bytes(split_part(0, 2, 2, "t0"))).kind(), ErrorKind::Unsupported);
}

#[test]
fn alignments() {
    let with = |set: &dyn Fn(&mut GgufWriter)| {
        let mut w = GgufWriter::new();
        set(&mut w);
        w.tensor("t", QuantType::F32, &[1])
            .expect("a shape")
            .tensor("u", QuantType::F32, &[1])
            .expect("a shape");
        GgufFile::from_bytes(w.to_bytes(|t| vec![0; t.bytes]).expect("written"))
    };
    for a in [1u32, 8, 32, 4096, 65536] {
        let file = with(&|w| _ = w.align(a)).expect("a power of two");
        let offset = |name| file.tensors().get(name).expect("there").offset();
        assert_eq!((offset("t") % u64::from(a), offset("u") - offset("t")), (0, u64::from(a).max(4)), "{a}");
    }
    let refused = |set: &dyn Fn(&mut GgufWriter)| {
        let e = with(set).expect_err("refused");
        (e.kind(), e.key().map(str::to_owned))
    };
    let key = Some("general.alignment".to_owned());
    for a in [0u32, 3, 13, 48] {
        assert_eq!(refused(&|w| _ = w.set("general.alignment", &a)), (ErrorKind::Format, key.clone()), "{a}");
    }
    assert_eq!(refused(&|w| _ = w.set("general.alignment", &(1u32 << 31))), (ErrorKind::Limit, key.clone()));
    assert_eq!(refused(&|w| _ = w.set("general.alignment", &32i32)), (ErrorKind::Format, key.clone()));
    assert_eq!(refused(&|w| _ = w.set("general.alignment", "32")), (ErrorKind::Format, key.clone()));
    assert_eq!(refused(&|w| _ = w.set("general.alignment", &4096u32)).0, ErrorKind::Format, "not kept");
}

#[test]
fn truncated_at_every_byte() {
    let bytes = valid();
    let file = GgufFile::from_bytes(bytes.clone()).expect("valid");
    let last = file.tensors().get("blk.1.b").expect("there");
    let needed = last.offset() as usize + last.bytes().len();
    assert!(needed < bytes.len(), "the last tensor is padded");
    for n in 0..needed {
        let e = refused(GgufFile::from_bytes(bytes[..n].to_vec()));
        assert!(matches!(e.kind(), ErrorKind::Format), "at {n}: {e}");
        assert!(e.offset().is_some(), "at {n}: {e}");
    }
    for n in needed..=bytes.len() {
        GgufFile::from_bytes(bytes[..n].to_vec()).expect("only padding is missing");
    }
}

/// xorshift64*: the same mutations on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[test]
fn mutations_never_panic() {
    let original = valid();
    let head = GgufFile::from_bytes(original.clone())
        .expect("valid")
        .tensors()
        .get("blk.0.a")
        .expect("there")
        .offset();
    let mut rng = Rng(0x5151);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..if cfg!(miri) { 50 } else { 20_000 } {
        let mut bytes = original.clone();
        for _ in 0..1 + rng.below(3) {
            // Mostly in the metadata and the list of tensors: the data has no structure.
            let at = if rng.below(10) == 0 { rng.below(bytes.len()) } else { rng.below(head as usize) };
            match rng.below(4) {
                0 => bytes[at] = rng.next() as u8,
                1 => bytes[at] ^= 1 << rng.below(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.next() as u8),
            }
        }
        match GgufFile::from_bytes(bytes) {
            Ok(file) => {
                use_all(&file);
                opened += 1;
            }
            Err(e) => {
                assert!(!e.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(opened > 10 && refused > 10, "{opened} opened, {refused} refused: the test should reach both");
}

#[test]
fn edge_values_at_every_byte_never_panic() {
    let original = valid();
    let head = GgufFile::from_bytes(original.clone())
        .expect("valid")
        .tensors()
        .get("blk.0.a")
        .expect("there")
        .offset();
    let edges =
        [0, 1, 7, 8, 9, 0xFF, 1 << 31, 1 << 32, (1 << 61) + 1, 1 << 62, 1 << 63, u64::MAX - 31, u64::MAX];
    let step = if cfg!(miri) { 97 } else { 1 };
    for at in (0..head as usize - 8).step_by(step) {
        for edge in edges {
            for width in [4, 8] {
                let mut bytes = original.clone();
                bytes[at..at + width].copy_from_slice(&edge.to_le_bytes()[..width]);
                if let Ok(file) = GgufFile::from_bytes(bytes) {
                    use_all(&file);
                }
            }
        }
    }
}
