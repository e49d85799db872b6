//! What arrives as arrays and numbers, as the library's options.

use jni::Env;
use jni::objects::{JByteArray, JFloatArray, JIntArray, JLongArray, JObjectArray, JString};
use jni::sys::{jint, jlong};
use siskin::chat::{Date, Message, RenderOptions};
use siskin::tokenizer::TokenId;
use siskin::vision::mark_images;
use siskin::{GenerateOptions, KvType, SamplerConfig, SessionOptions};

use crate::failure::{Failure, argument};

/// An array of byte arrays.
pub(crate) type JTexts<'l> = JObjectArray<'l, JByteArray<'l>>;

/// UTF-8 from Kotlin, which makes it from its own strings.
pub(crate) fn text(env: &Env<'_>, bytes: &JByteArray<'_>) -> Result<String, Failure> {
    if bytes.is_null() {
        return Err(argument("a text is missing"));
    }
    String::from_utf8(env.convert_byte_array(bytes)?).map_err(|_| argument("a text is not UTF-8"))
}

pub(crate) fn optional_text(env: &Env<'_>, bytes: &JByteArray<'_>) -> Result<Option<String>, Failure> {
    if bytes.is_null() { Ok(None) } else { text(env, bytes).map(Some) }
}

pub(crate) fn texts(env: &mut Env<'_>, array: &JTexts<'_>) -> Result<Vec<Option<String>>, Failure> {
    if array.is_null() {
        return Ok(Vec::new());
    }
    let n = array.len(env)?;
    (0..n)
        .map(|i| {
            let element = array.get_element(env, i)?;
            let text = optional_text(env, &element);
            env.delete_local_ref(element); // a long conversation must not fill the frame
            text
        })
        .collect()
}

pub(crate) fn ints(env: &Env<'_>, array: &JIntArray<'_>) -> Result<Vec<jint>, Failure> {
    if array.is_null() {
        return Ok(Vec::new());
    }
    let mut values = vec![0; array.len(env)?];
    array.get_region(env, 0, &mut values)?;
    Ok(values)
}

pub(crate) fn tokens(env: &Env<'_>, array: &JIntArray<'_>) -> Result<Vec<TokenId>, Failure> {
    ints(env, array)?.into_iter().map(token).collect()
}

fn token(id: jint) -> Result<TokenId, Failure> {
    u32::try_from(id).map(TokenId).map_err(|_| argument(format!("{id} is not a token")))
}

fn count(what: &str, n: jlong) -> Result<usize, Failure> {
    usize::try_from(n).map_err(|_| argument(format!("{what} cannot be {n}")))
}

/// A number that is absent when negative.
pub(crate) fn optional_count(n: jlong) -> Option<usize> {
    usize::try_from(n).ok()
}

pub(crate) fn session(context: jint, batch: jint, kv_type: jint) -> Result<SessionOptions, Failure> {
    let mut options = SessionOptions { context: optional_count(context.into()), ..SessionOptions::default() };
    if let Some(batch) = optional_count(batch.into()) {
        options.batch = batch;
    }
    options.kv_type = match kv_type {
        0 => KvType::F16,
        1 => KvType::F32,
        2 => KvType::Q8,
        n => return Err(argument(format!("there is no type {n} of keys and values"))),
    };
    Ok(options)
}

/// `array` holds role, content and further fields (a JSON object, or null) of one message after the other; `shown` the
/// number of the message that shows it for each picture.
pub(crate) fn messages(
    env: &mut Env<'_>,
    array: &JTexts<'_>,
    shown: &JIntArray<'_>,
) -> Result<Vec<Message>, Failure> {
    let texts = texts(env, array)?;
    let shown = ints(env, shown)?;
    let message = |(i, message): (usize, &[Option<String>])| match message {
        [Some(role), Some(content), fields] => {
            let mut message = Message::new(role.clone(), content.clone());
            if let Some(fields) = fields {
                message.fields = json_object("fields of a message", fields)?;
            }
            mark_images(&mut message, shown.iter().filter(|&&n| usize::try_from(n) == Ok(i)).count())?;
            Ok(message)
        }
        _ => Err(argument("a message without role or content")),
    };
    texts.chunks(3).enumerate().map(message).collect()
}

/// `json` holds the tools (a JSON array) and further variables (an object), each or null; `now` is in seconds of local
/// time since 1970, or the smallest long for none.
pub(crate) fn render(
    env: &mut Env<'_>,
    prompt: bool,
    json: &JTexts<'_>,
    now: jlong,
) -> Result<RenderOptions, Failure> {
    let texts = texts(env, json)?;
    let mut options = RenderOptions { add_generation_prompt: prompt, ..RenderOptions::default() };
    if let Some(Some(tools)) = texts.first() {
        options.tools =
            Some(serde_json::from_str(tools).map_err(|e| argument(format!("the tools are not JSON: {e}")))?);
    }
    if let Some(Some(variables)) = texts.get(1) {
        options.variables = json_object("variables of the template", variables)?;
    }
    options.now = (now != jlong::MIN).then(|| Date::from_unix(now));
    Ok(options)
}

fn json_object(what: &str, text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    serde_json::from_str(text).map_err(|e| argument(format!("the {what} are not a JSON object: {e}")))
}

/// `counts`: max tokens (negative for none), top-k, tokens that penalties look back on, seed, then 0 or 1 each: stop at
/// the end of the turn, log-probabilities, special tokens in the text. `reals`: temperature, top-p, min-p, typical-p,
/// penalties for repetition, frequency, presence.
pub(crate) fn generate(
    env: &mut Env<'_>,
    counts: &JLongArray<'_>,
    reals: &JFloatArray<'_>,
    stop: &JTexts<'_>,
    (bias_tokens, bias_values): (&JIntArray<'_>, &JFloatArray<'_>),
) -> Result<GenerateOptions, Failure> {
    let (mut n, mut x) = ([0; 7], [0.0; 7]);
    counts.get_region(env, 0, &mut n)?;
    reals.get_region(env, 0, &mut x)?;
    let biased = tokens(env, bias_tokens)?;
    let mut values = vec![0.0; biased.len()];
    if !biased.is_empty() {
        bias_values.get_region(env, 0, &mut values)?;
    }
    let stop = texts(env, stop)?.into_iter().flatten().collect();
    Ok(GenerateOptions {
        max_tokens: optional_count(n[0]),
        sampler: SamplerConfig {
            temperature: x[0],
            top_k: count("top_k", n[1])?,
            top_p: x[1],
            min_p: x[2],
            typical_p: x[3],
            repeat_penalty: x[4],
            frequency_penalty: x[5],
            presence_penalty: x[6],
            penalty_last_n: count("penalty_last_n", n[2])?,
            logit_bias: biased.into_iter().zip(values).collect(),
            seed: n[3] as u64,
        },
        stop,
        stop_tokens: Vec::new(),
        stop_at_end_of_turn: n[4] != 0,
        logprobs: n[5] != 0,
        show_special: n[6] != 0,
        reasoning: false,
    })
}

/// Token ids for the JVM.
pub(crate) fn to_ints<'l>(env: &mut Env<'l>, ids: &[TokenId]) -> Result<JIntArray<'l>, Failure> {
    let values: Vec<jint> = ids.iter().map(|t| t.0 as jint).collect();
    let array = JIntArray::new(env, values.len())?;
    array.set_region(env, 0, &values)?;
    Ok(array)
}

/// Text for the JVM, as UTF-8; `None` is null.
pub(crate) fn to_bytes<'l>(env: &mut Env<'l>, text: Option<&str>) -> Result<JByteArray<'l>, Failure> {
    Ok(match text {
        Some(text) => env.byte_array_from_slice(text.as_bytes())?,
        None => JByteArray::null(),
    })
}

/// Numbers for the JVM.
pub(crate) fn to_longs<'l>(env: &mut Env<'l>, values: &[u64]) -> Result<JLongArray<'l>, Failure> {
    let values: Vec<jlong> = values.iter().map(|&v| jlong::try_from(v).unwrap_or(jlong::MAX)).collect();
    let array = JLongArray::new(env, values.len())?;
    array.set_region(env, 0, &values)?;
    Ok(array)
}

/// Strings for the JVM: names, not model output.
pub(crate) fn to_strings<'l>(
    env: &mut Env<'l>,
    names: &[&str],
) -> Result<JObjectArray<'l, JString<'l>>, Failure> {
    let array = JObjectArray::<JString<'l>>::new(env, names.len(), JString::null())?;
    for (i, name) in names.iter().enumerate() {
        let name = env.new_string(name)?;
        array.set_element(env, i, &name)?;
        env.delete_local_ref(name);
    }
    Ok(array)
}
