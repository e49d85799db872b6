//! What goes wrong, as Java exceptions.

use std::any::Any;

use jni::errors::{ErrorPolicy, Result as JniResult};
use jni::objects::{JString, JThrowable, JValue};
use jni::sys::{jint, jlong};
use jni::{Env, jni_sig, jni_str};
use siskin::ErrorKind;

/// Why a native method does not return a value.
pub(crate) enum Failure {
    /// The library refused: `SiskinException`.
    Siskin(siskin::Error),
    /// The object is closed, or a handle is none: `IllegalStateException`.
    State(String),
    /// The JVM refused; usually it has thrown already.
    Jni(jni::errors::Error),
}

impl From<siskin::Error> for Failure {
    fn from(e: siskin::Error) -> Self {
        Self::Siskin(e)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(e: jni::errors::Error) -> Self {
        Self::Jni(e)
    }
}

/// An argument that Kotlin should not have let through.
pub(crate) fn argument(message: impl Into<String>) -> Failure {
    Failure::Siskin(siskin::Error::new(ErrorKind::Argument, message))
}

/// Number of a kind in `dev.siskin.ErrorKind`; 0 is `INTERNAL`, also for kinds that the binding does not know yet.
fn code(kind: ErrorKind) -> jint {
    match kind {
        ErrorKind::Io => 1,
        ErrorKind::Format => 2,
        ErrorKind::Limit => 3,
        ErrorKind::Unsupported => 4,
        ErrorKind::Missing => 5,
        ErrorKind::Shape => 6,
        ErrorKind::Tokenizer => 7,
        ErrorKind::Template => 8,
        ErrorKind::Argument => 9,
        ErrorKind::Busy => 10,
        ErrorKind::ContextFull => 11,
        ErrorKind::Cancelled => 12,
        ErrorKind::FileChanged => 13,
        ErrorKind::Numeric => 14,
        ErrorKind::Poisoned => 15,
        _ => 0,
    }
}

/// Throws, and returns 0 or null.
pub(crate) struct Throw;

impl<T: Default> ErrorPolicy<T, Failure> for Throw {
    type Captures<'outer: 'native, 'native> = ();

    fn on_error<'outer: 'native, 'native>(
        env: &mut Env<'outer>,
        _: &mut (),
        failure: Failure,
    ) -> JniResult<T> {
        if env.exception_check() {
            return Ok(T::default()); // the JVM's own exception says more
        }
        match failure {
            Failure::Siskin(e) => throw(env, code(e.kind()), &Where::of(&e))?,
            Failure::State(message) => {
                let message = jni::strings::JNIString::from(message);
                let _ = env.throw_new(jni_str!("java/lang/IllegalStateException"), message); // says that it has thrown
            }
            Failure::Jni(jni::errors::Error::NullPtr(what)) => {
                throw(env, code(ErrorKind::Argument), &Where::message(&format!("null: {what}")))?;
            }
            Failure::Jni(e) => throw(env, 0, &Where::message(&format!("the JVM refused: {e}")))?,
        }
        Ok(T::default())
    }

    fn on_panic<'outer: 'native, 'native>(
        env: &mut Env<'outer>,
        _: &mut (),
        _: Box<dyn Any + Send + 'static>,
    ) -> JniResult<T> {
        if !env.exception_check() {
            throw(env, 0, &Where::message("internal error: the library panicked"))?;
        }
        Ok(T::default())
    }
}

/// The arguments of the exception besides its kind.
struct Where {
    message: String,
    file: Option<String>,
    key: Option<String>,
    tensor: Option<String>,
    offset: jlong,
}

impl Where {
    fn of(e: &siskin::Error) -> Self {
        Self {
            message: e.to_string(),
            file: e.file().map(|f| f.display().to_string()),
            key: e.key().map(str::to_owned),
            tensor: e.tensor().map(str::to_owned),
            offset: e.offset().and_then(|o| jlong::try_from(o).ok()).unwrap_or(-1),
        }
    }

    fn message(text: &str) -> Self {
        Self { message: text.to_owned(), file: None, key: None, tensor: None, offset: -1 }
    }
}

fn throw(env: &mut Env<'_>, code: jint, at: &Where) -> JniResult<()> {
    let message = env.new_string(&at.message)?;
    let file = optional(env, at.file.as_deref())?;
    let key = optional(env, at.key.as_deref())?;
    let tensor = optional(env, at.tensor.as_deref())?;
    let exception = env.new_object(
        jni_str!("dev/siskin/SiskinException"),
        jni_sig!("(ILjava/lang/String;Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;J)V"),
        &[
            JValue::Int(code),
            JValue::Object(&message),
            JValue::Object(&file),
            JValue::Object(&key),
            JValue::Object(&tensor),
            JValue::Long(at.offset),
        ],
    )?;
    let exception = env.cast_local::<JThrowable<'_>>(exception)?;
    let _ = env.throw(exception); // `Err` says that it has thrown
    Ok(())
}

fn optional<'local>(env: &mut Env<'local>, text: Option<&str>) -> JniResult<JString<'local>> {
    text.map_or(Ok(JString::null()), |text| env.new_string(text))
}
