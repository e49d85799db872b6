//! Native methods on moderators.

use jni::objects::{JByteArray, JDoubleArray};
use jni::sys::{jboolean, jlong};
use siskin::{ModerateOptions, Policy, SharedModerator};

use crate::failure::argument;
use crate::model::MODELS;
use crate::native;
use crate::options::{self, JTexts};
use crate::table::Table;

static MODERATORS: Table<SharedModerator> = Table::new(7, "moderator");

native! {
    /// A moderator.
    fn "moderatorNew" new<'l>(_env, model: jlong, any_model: jboolean) -> jlong {
        let options = ModerateOptions { any_model, ..ModerateOptions::default() };
        MODERATORS.insert(SharedModerator::new(&MODELS.get(model)?, &options)?)
    }

    /// Lets go of a moderator. A call that runs goes on.
    fn "moderatorFree" free<'l>(_env, moderator: jlong) -> () {
        MODERATORS.remove(moderator).map(drop)
    }

    /// Probabilities for the policies: `policies` holds the name of each, and its words or null.
    fn "moderate" moderate<'l>(env, moderator: jlong, prompt: JByteArray<'l>, response: JByteArray<'l>, policies: JTexts<'l>) -> JDoubleArray<'l> {
        let moderator = MODERATORS.get(moderator)?;
        let (prompt, response) = (options::text(env, &prompt)?, options::optional_text(env, &response)?);
        let texts = options::texts(env, &policies)?;
        let policies = texts.chunks(2).map(|policy| match policy {
            [Some(name), guideline] => Ok(Policy { name: name.clone(), guideline: guideline.clone() }),
            _ => Err(argument("a policy without a name")),
        });
        let policies = policies.collect::<Result<Vec<_>, _>>()?;
        let scores = moderator.moderate(&prompt, response.as_deref(), &policies)?;
        let values: Vec<f64> = scores.iter().map(|score| score.probability).collect();
        let array = JDoubleArray::new(env, values.len())?;
        array.set_region(env, 0, &values)?;
        Ok(array)
    }

    /// Cancels the call that runs.
    fn "moderatorCancel" cancel<'l>(_env, moderator: jlong) -> () {
        MODERATORS.get(moderator)?.cancel();
        Ok(())
    }
}
