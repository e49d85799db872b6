//! `libsiskin.so` as Android apps load it: the entry points of the JNI beside the C ABI and the uniffi scaffolding.
//!
//! The entry points are the native methods of the Kotlin object `dev.siskin.Native` and translate between the JVM and
//! the crate `siskin`; they hold no logic and know no Android class. Nothing here is an API: `dev.siskin.*` is.
//!
//! - Objects are numbers ([`table`]): a stale or invented one is an exception, never an access.
//! - Text crosses as UTF-8 bytes, so that the JVM makes its own strings of it. `NewStringUTF` never sees model output.
//! - Events cross in a direct byte buffer that the caller keeps ([`events`]): one call takes all that wait.
//! - A failure becomes a `SiskinException` with everything that the library knows ([`failure`]); a panic does, too.
//! - No thread of ours calls into the JVM, except to hand over log messages, if somebody asked for them.
#![deny(missing_docs)]

// Linked for the symbols that they export.
use siskin_bindings as _;
use siskin_ffi as _;
#[cfg(feature = "own-unwinder")]
use unwinding as _;

mod embedder;
mod events;
mod failure;
mod job;
mod log;
mod model;
mod moderator;
mod options;
mod session;
mod table;
mod vision;

/// Defines native methods of `dev.siskin.Native`. Every entry point goes through here, so none can lack the boundary:
/// errors and panics become exceptions, and the value returned then is 0 or null.
macro_rules! native {
    ($($(#[$doc:meta])* fn $name:literal $rust:ident<$l:lifetime>($env:ident $(, $($arg:ident)+: $type:ty)* $(,)?) -> $ret:ty $body:block)+) => {
        $(
            $(#[$doc])*
            // SAFETY: the name is that of a native method of our own class, which no other library has.
            #[allow(unsafe_code, reason = "an exported symbol")]
            #[unsafe(export_name = concat!("Java_dev_siskin_Native_", $name))]
            pub(crate) extern "system" fn $rust<$l>(
                mut unowned: ::jni::EnvUnowned<$l>,
                _class: ::jni::objects::JClass<$l>,
                $($($arg)+: $type),*
            ) -> $ret {
                unowned
                    .with_env(|$env| -> ::std::result::Result<$ret, $crate::failure::Failure> { $body })
                    .resolve::<$crate::failure::Throw>()
            }
        )+
    };
}
use native;
