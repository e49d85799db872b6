//! Messages of the library to a `dev.siskin.LogSink`.

use std::sync::Arc;

use jni::objects::{JObject, JValue};
use jni::refs::Global;
use jni::sys::jint;
use jni::{Env, JavaVM, jni_sig, jni_str};
use siskin::{Log, LogLevel};

use crate::failure::Failure;

/// The log that a caller asked for: messages up to `level` (0 error to 3 debug) go to `sink`, if there is one.
pub(crate) fn to_sink(env: &mut Env<'_>, level: jint, sink: &JObject<'_>) -> Result<Option<Log>, Failure> {
    if sink.is_null() {
        return Ok(None);
    }
    let level = match level {
        ..=0 => LogLevel::Error,
        1 => LogLevel::Warn,
        2 => LogLevel::Info,
        3.. => LogLevel::Debug,
    };
    let sink: Arc<Global<JObject<'static>>> = Arc::new(env.new_global_ref(sink)?);
    Ok(Some(Log::new(level, move |level, message| {
        // Whatever the sink throws is dropped: a message is not worth an answer.
        let _ = JavaVM::singleton()
            .and_then(|vm| vm.attach_current_thread_for_scope(|env| tell(env, &sink, level, message)));
    })))
}

fn tell(env: &mut Env<'_>, sink: &JObject<'_>, level: LogLevel, message: &str) -> jni::errors::Result<()> {
    let level = match level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
    };
    let message = env.new_string(message)?;
    let result = env.call_method(
        sink,
        jni_str!("log"),
        jni_sig!("(ILjava/lang/String;)V"),
        &[JValue::Int(level), JValue::Object(&message)],
    );
    if env.exception_check() {
        env.exception_clear();
    }
    result.map(drop)
}
