//! Native methods on embedders.

use jni::objects::{JByteArray, JFloatArray};
use jni::sys::{jboolean, jint, jlong};
use siskin::{EmbedOptions, Pooling, SharedEmbedder};

use crate::failure::argument;
use crate::model::MODELS;
use crate::table::Table;
use crate::{native, options};

static EMBEDDERS: Table<SharedEmbedder> = Table::new(4, "embedder");

native! {
    /// An embedder. `pooling` is negative for what the file says, `dimensions` for all.
    fn "embedderNew" new<'l>(_env, model: jlong, pooling: jint, normalize: jboolean, dimensions: jint, truncate: jboolean) -> jlong {
        let pooling = match pooling {
            0 => Some(Pooling::Mean),
            1 => Some(Pooling::Cls),
            2 => Some(Pooling::Last),
            n if n < 0 => None,
            n => return Err(argument(format!("there is no pooling {n}"))),
        };
        let dimensions = options::optional_count(dimensions.into());
        let options = EmbedOptions { pooling, normalize, dimensions, truncate, ..EmbedOptions::default() };
        EMBEDDERS.insert(SharedEmbedder::new(&MODELS.get(model)?, &options)?)
    }

    /// Lets go of an embedder. A call that runs goes on.
    fn "embedderFree" free<'l>(_env, embedder: jlong) -> () {
        EMBEDDERS.remove(embedder).map(drop)
    }

    /// Numbers of a vector.
    fn "dimensions" dimensions<'l>(_env, embedder: jlong) -> jint {
        let n = EMBEDDERS.get(embedder)?.dimensions();
        Ok(jint::try_from(n).unwrap_or(jint::MAX))
    }

    /// The vector of a text.
    fn "embed" embed<'l>(env, embedder: jlong, text: JByteArray<'l>) -> JFloatArray<'l> {
        let vector = EMBEDDERS.get(embedder)?.embed(&options::text(env, &text)?)?;
        let array = JFloatArray::new(env, vector.len())?;
        array.set_region(env, 0, &vector)?;
        Ok(array)
    }

    /// Cancels the call that runs, if one does.
    fn "embedderCancel" cancel<'l>(_env, embedder: jlong) -> () {
        EMBEDDERS.get(embedder)?.cancel();
        Ok(())
    }
}
