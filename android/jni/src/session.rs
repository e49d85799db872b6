//! Native methods on sessions.

use jni::Env;
use jni::objects::{JFloatArray, JIntArray, JLongArray};
use jni::sys::{jint, jlong};
use siskin::{Fit, SharedSession};

use crate::failure::{Failure, argument};
use crate::model::MODELS;
use crate::table::Table;
use crate::{native, options};

pub(crate) static SESSIONS: Table<SharedSession> = Table::new(2, "session");

/// The fields of `dev.siskin.Fit` in their order.
pub(crate) fn fit_numbers<'l>(env: &mut Env<'l>, fit: &Fit) -> Result<JLongArray<'l>, Failure> {
    let (context, batch, threads) = (fit.context as u64, fit.batch as u64, fit.threads as u64);
    let bytes = [fit.mapped, fit.kv_cache, fit.buffers, fit.tables, fit.bytes_per_token];
    options::to_longs(env, &[&[context, batch, threads], &bytes[..]].concat())
}

fn size(n: usize) -> jint {
    jint::try_from(n).unwrap_or(jint::MAX)
}

native! {
    /// An empty session. `context` and `batch` may be negative for the usual ones.
    fn "sessionNew" new<'l>(_env, model: jlong, context: jint, batch: jint, kv_type: jint) -> jlong {
        let model = MODELS.get(model)?;
        SESSIONS.insert(SharedSession::new(&model, &options::session(context, batch, kv_type)?)?)
    }

    /// Lets go of a session. A job that runs is cancelled; nothing waits for it.
    fn "sessionFree" free<'l>(_env, session: jlong) -> () {
        SESSIONS.remove(session).map(drop)
    }

    /// What the session takes, as the model's `fit`.
    fn "sessionFit" fit<'l>(env, session: jlong) -> JLongArray<'l> {
        let session = SESSIONS.get(session)?;
        fit_numbers(env, session.fit())
    }

    /// Tokens fed so far.
    fn "position" position<'l>(_env, session: jlong) -> jint {
        Ok(size(SESSIONS.get(session)?.position()?))
    }

    /// Tokens that still fit.
    fn "room" room<'l>(_env, session: jlong) -> jint {
        Ok(size(SESSIONS.get(session)?.room()?))
    }

    /// The tokens fed so far.
    fn "tokens" tokens<'l>(env, session: jlong) -> JIntArray<'l> {
        let tokens = SESSIONS.get(session)?.tokens()?;
        options::to_ints(env, &tokens)
    }

    /// Logits of the last token fed; empty if there are none.
    fn "logits" logits<'l>(env, session: jlong) -> JFloatArray<'l> {
        let logits = SESSIONS.get(session)?.logits()?;
        let array = JFloatArray::new(env, logits.len())?;
        array.set_region(env, 0, &logits)?;
        Ok(array)
    }

    /// Forgets every token from `n` on; says how many are left.
    fn "truncate" truncate<'l>(_env, session: jlong, n: jint) -> jint {
        let n = usize::try_from(n).map_err(|_| argument(format!("there are no {n} tokens")))?;
        Ok(size(SESSIONS.get(session)?.truncate(n)?))
    }
}
