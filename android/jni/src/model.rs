//! Native methods on models.

use std::os::fd::BorrowedFd;

use jni::Env;
use jni::objects::{JByteArray, JIntArray, JLongArray, JObject, JObjectArray, JString};
use jni::sys::{jboolean, jint, jlong};
use siskin::gguf::GgufFile;
use siskin::tokenizer::{Special, TokenId};
use siskin::{Experts, Model, ModelOptions, Pooling, Pressure, Thermal};

use crate::failure::{Failure, argument};
use crate::options::{self, JTexts};
use crate::table::Table;
use crate::{log, native};

pub(crate) static MODELS: Table<Model> = Table::new(1, "model");

fn model_options(
    env: &mut Env<'_>,
    threads: jint,
    kernels: &JByteArray<'_>,
    experts: jint,
    log: (jint, &JObject<'_>),
) -> Result<ModelOptions, Failure> {
    Ok(ModelOptions {
        threads: options::optional_count(threads.into()),
        kernels: options::optional_text(env, kernels)?,
        log: log::to_sink(env, log.0, log.1)?,
        experts: match experts {
            0 => Experts::Auto,
            1 => Experts::Map,
            2 => Experts::Stream,
            n => return Err(argument(format!("there is no way {n} for experts to come into memory"))),
        },
        chat_template: None,
    })
}

/// `length` bytes of an open file from `offset`.
pub(crate) fn file_from_descriptor(fd: jint, offset: jlong, length: jlong) -> Result<GgufFile, Failure> {
    let (Ok(offset), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else {
        return Err(argument(format!("{length} bytes from byte {offset} are not a range of a file")));
    };
    if fd < 0 {
        return Err(argument(format!("{fd} is not a descriptor")));
    }
    // SAFETY: not -1, looked at above. That it is open, and stays so for the length of this call, is documented at
    // `Model.open`; one that is not open makes the system calls fail with EBADF.
    #[allow(unsafe_code, reason = "a number from the JVM")]
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(GgufFile::from_fd(fd, offset, length)?)
}

native! {
    /// Opens the file at a path.
    fn "openPath" open_path<'l>(env, path: JByteArray<'l>, threads: jint, kernels: JByteArray<'l>, experts: jint, level: jint, sink: JObject<'l>) -> jlong {
        let path = options::text(env, &path)?;
        let options = model_options(env, threads, &kernels, experts, (level, &sink))?;
        MODELS.insert(Model::open(path, &options)?)
    }

    /// Opens `length` bytes of an open file from `offset`. The descriptor stays the caller's, who may close it at once.
    fn "openDescriptor" open_descriptor<'l>(env, fd: jint, offset: jlong, length: jlong, threads: jint, kernels: JByteArray<'l>, experts: jint, level: jint, sink: JObject<'l>) -> jlong {
        let options = model_options(env, threads, &kernels, experts, (level, &sink))?;
        MODELS.insert(Model::from_gguf(file_from_descriptor(fd, offset, length)?, &options)?)
    }

    /// Opens a file that is in memory; copies it once.
    fn "openBytes" open_bytes<'l>(env, bytes: JByteArray<'l>, threads: jint, kernels: JByteArray<'l>, experts: jint, level: jint, sink: JObject<'l>) -> jlong {
        let options = model_options(env, threads, &kernels, experts, (level, &sink))?;
        let bytes = env.convert_byte_array(&bytes)?;
        MODELS.insert(Model::from_gguf(GgufFile::from_bytes(bytes)?, &options)?)
    }

    /// Lets go of a model. Sessions of it go on.
    fn "modelFree" free<'l>(_env, model: jlong) -> () {
        MODELS.remove(model).map(drop)
    }

    /// Names: architecture, name (empty if the file has none), kernels.
    fn "modelNames" names<'l>(env, model: jlong) -> JObjectArray<'l, JString<'l>> {
        let info = MODELS.get(model)?.info();
        options::to_strings(env, &[&info.architecture, info.name.as_deref().unwrap_or_default(), info.kernels])
    }

    /// Numbers: layers, width, tokens of the vocabulary, trained context, parameters, bytes of weights, threads, threads
    /// that work for now, whether there is a chat template, begin token and end token (or the largest long for none),
    /// whether it generates, how it embeds (as `embedderNew`, or the largest long for unknown),
    /// whether it fills in the middle.
    fn "modelNumbers" numbers<'l>(env, model: jlong) -> JLongArray<'l> {
        let model = MODELS.get(model)?;
        let (info, tokenizer) = (model.info(), model.tokenizer());
        let id = |token: Option<TokenId>| token.map_or(u64::MAX, |t| t.0.into());
        options::to_longs(env, &[
            info.layers as u64,
            info.width as u64,
            info.vocab as u64,
            info.context as u64,
            info.parameters,
            info.weight_bytes,
            info.threads as u64,
            model.active_threads() as u64,
            info.has_chat_template.into(),
            id(tokenizer.bos()),
            id(tokenizer.eos()),
            info.generates.into(),
            info.pooling.map_or(u64::MAX, |pooling| match pooling {
                Pooling::Mean => 0,
                Pooling::Cls => 1,
                Pooling::Last => 2,
            }),
            model.fills_in().into(),
        ])
    }

    /// Keys of the file's metadata, in its order.
    fn "metadataKeys" metadata_keys<'l>(env, model: jlong) -> JObjectArray<'l, JString<'l>> {
        let model = MODELS.get(model)?;
        let keys: Vec<&str> = model.file().metadata().iter().map(|(key, _)| key).collect();
        options::to_strings(env, &keys)
    }

    /// A value of the metadata as JSON, or null if there is no such key.
    fn "metadataJson" metadata_json<'l>(env, model: jlong, key: JByteArray<'l>) -> JByteArray<'l> {
        let model = MODELS.get(model)?;
        let key = options::text(env, &key)?;
        let value = model.file().metadata().get(&key).map(|v| v.to_json().to_string());
        options::to_bytes(env, value.as_deref())
    }

    /// What a session would take: context, batch, threads, then bytes: mapped, keys and values, buffers, tables, weights
    /// per token.
    fn "fit" fit<'l>(env, model: jlong, context: jint, batch: jint, kv_type: jint) -> JLongArray<'l> {
        let fit = MODELS.get(model)?.fit(&options::session(context, batch, kv_type)?)?;
        crate::session::fit_numbers(env, &fit)
    }

    /// Text to token ids.
    fn "tokenize" tokenize<'l>(env, model: jlong, text: JByteArray<'l>, add_special: jboolean, parse_special: jboolean) -> JIntArray<'l> {
        let model = MODELS.get(model)?;
        let text = options::text(env, &text)?;
        let ids = model.tokenizer().encode(&text, Special { add: add_special, parse: parse_special })?;
        options::to_ints(env, &ids)
    }

    /// Token ids to text; what is not UTF-8 becomes U+FFFD.
    fn "detokenize" detokenize<'l>(env, model: jlong, tokens: JIntArray<'l>, show_special: jboolean) -> JByteArray<'l> {
        let model = MODELS.get(model)?;
        let text = model.tokenizer().decode(&options::tokens(env, &tokens)?, show_special)?;
        options::to_bytes(env, Some(&text))
    }

    /// Whether a token ends a turn.
    fn "isEnd" is_end<'l>(_env, model: jlong, token: jint) -> jboolean {
        let model = MODELS.get(model)?;
        Ok(u32::try_from(token).is_ok_and(|id| model.tokenizer().is_end(TokenId(id))))
    }

    /// The text that a conversation becomes.
    fn "render" render<'l>(env, model: jlong, messages: JTexts<'l>, shown: JIntArray<'l>, prompt: jboolean, json: JTexts<'l>, now: jlong) -> JByteArray<'l> {
        let model = MODELS.get(model)?;
        let (messages, options) = (options::messages(env, &messages, &shown)?, options::render(env, prompt, &json, now)?);
        let text = model.chat_template()?.render(&messages, &options)?;
        options::to_bytes(env, Some(&text))
    }

    /// The tokens that a conversation becomes.
    fn "conversation" conversation<'l>(env, model: jlong, messages: JTexts<'l>, shown: JIntArray<'l>, prompt: jboolean, json: JTexts<'l>, now: jlong) -> JIntArray<'l> {
        let model = MODELS.get(model)?;
        let (messages, options) = (options::messages(env, &messages, &shown)?, options::render(env, prompt, &json, now)?);
        let ids = model.conversation(&messages, &options)?;
        options::to_ints(env, &ids)
    }

    /// How hot the device is, in the numbers of Android's `PowerManager`.
    fn "setThermal" set_thermal<'l>(_env, model: jlong, status: jint) -> () {
        MODELS.get(model)?.set_thermal(Thermal::from_android(status));
        Ok(())
    }

    /// How short of memory the device is, in the numbers of Android's `onTrimMemory`.
    fn "relieve" relieve<'l>(_env, model: jlong, level: jint) -> () {
        MODELS.get(model)?.relieve(Pressure::from_android(level));
        Ok(())
    }
}
