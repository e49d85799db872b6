//! Writes the inputs that fuzzing starts from.

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/gguf_open");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("model.gguf"), &*siskin_fuzz::MODEL)
}
