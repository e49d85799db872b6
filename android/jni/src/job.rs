//! Native methods on jobs: answers that are pulled.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jni::Env;
use jni::objects::{JByteArray, JByteBuffer, JFloatArray, JIntArray, JLongArray};
use jni::sys::{jboolean, jint, jlong};
use siskin::{Batch, FimFile, FimRequest, GenerateOptions, Job, Outcome, Prompt};

use crate::events::{MIN_BUFFER, Writer};
use crate::failure::{Failure, argument};
use crate::options::{self, JTexts};
use crate::session::SESSIONS;
use crate::table::Table;
use crate::{native, vision};

static JOBS: Table<Arc<Pulled>> = Table::new(3, "job");

/// A job and what was pulled of it but has not crossed yet.
struct Pulled {
    job: Job,
    reader: Mutex<Reader>,
}

/// The events of `batch` before `event` have crossed, and `skip` bytes of the text of that one.
#[derive(Default)]
struct Reader {
    batch: Batch,
    event: usize,
    skip: usize,
}

impl Reader {
    /// Fills `out` with events that wait, and with the end after the last of them.
    fn fill(&mut self, job: &Job, out: &mut [u8], timeout: Option<Duration>) -> Result<usize, Failure> {
        let mut outcome: Option<Outcome> = None;
        if self.event >= self.batch.len() {
            (self.event, self.skip) = (0, 0);
            outcome = job.next(&mut self.batch, timeout)?;
        }
        let mut writer = Writer::new(out);
        let mut skip = std::mem::take(&mut self.skip);
        for event in self.batch.events().skip(self.event) {
            if let Err(written) = writer.event(event, skip) {
                self.skip = written;
                return Ok(writer.len());
            }
            self.event += 1;
            skip = 0;
        }
        if let Some(outcome) = outcome {
            writer.end(&outcome).ok_or_else(|| argument("the buffer is too small"))?;
        }
        Ok(writer.len())
    }
}

fn new(session: jlong, prompt: Prompt, options: GenerateOptions) -> Result<jlong, Failure> {
    let job = SESSIONS.get(session)?.job(prompt, options)?;
    JOBS.insert(Arc::new(Pulled { job, reader: Mutex::default() }))
}

fn fim_request(texts: &[Option<String>]) -> Result<FimRequest, Failure> {
    let [Some(prefix), Some(suffix), path, repo, files @ ..] = texts else {
        return Err(argument("fill in the middle needs what is before and behind"));
    };
    let file = |texts: &[Option<String>]| match texts {
        [Some(path), Some(text)] => Ok(FimFile { path: path.clone(), text: text.clone() }),
        _ => Err(argument("a file without path or text")),
    };
    let files = files.chunks(2).map(file).collect::<Result<_, _>>()?;
    let (prefix, suffix) = (prefix.clone(), suffix.clone());
    Ok(FimRequest { prefix, suffix, path: path.clone(), repo: repo.clone(), files })
}

/// The bytes of a direct buffer.
fn bytes<'a>(env: &Env<'_>, buffer: &'a mut JByteBuffer<'_>) -> Result<&'a mut [u8], Failure> {
    if buffer.is_null() {
        return Err(argument("there is no buffer"));
    }
    let (start, len) = match (env.get_direct_buffer_address(buffer), env.get_direct_buffer_capacity(buffer)) {
        (Ok(start), Ok(len)) if len >= MIN_BUFFER => (start, len),
        _ => return Err(argument(format!("the buffer must be direct and hold {MIN_BUFFER} bytes"))),
    };
    // SAFETY: the JVM says that the buffer's memory is there, `len` bytes from `start`, and keeps it as long as the
    // reference, whose borrow the result shares. `dev.siskin.Job` makes the buffer, hands it to nobody else, and calls
    // under its lock, so nothing else looks at it meanwhile; every bit pattern is a `u8`.
    #[allow(unsafe_code, reason = "memory of the JVM")]
    Ok(unsafe { std::slice::from_raw_parts_mut(start, len) })
}

native! {
    /// A job on tokens, behind what the session holds. The last arguments of all three: `options::generate`.
    fn "jobTokens" on_tokens<'l>(env, session: jlong, tokens: JIntArray<'l>, counts: JLongArray<'l>, reals: JFloatArray<'l>, stop: JTexts<'l>, bias: JIntArray<'l>, values: JFloatArray<'l>) -> jlong {
        let prompt = Prompt::Tokens(options::tokens(env, &tokens)?);
        let options = options::generate(env, &counts, &reals, &stop, (&bias, &values))?;
        new(session, prompt, options)
    }

    /// A job on text, behind what the session holds.
    fn "jobText" on_text<'l>(env, session: jlong, text: JByteArray<'l>, parse_special: jboolean, pictures: JLongArray<'l>, counts: JLongArray<'l>, reals: JFloatArray<'l>, stop: JTexts<'l>, bias: JIntArray<'l>, values: JFloatArray<'l>) -> jlong {
        let pictures = vision::pictures(env, &pictures)?;
        let prompt = Prompt::Text { text: options::text(env, &text)?, parse_special, pictures };
        let options = options::generate(env, &counts, &reals, &stop, (&bias, &values))?;
        new(session, prompt, options)
    }

    /// A job on a whole conversation.
    fn "jobMessages" on_messages<'l>(env, session: jlong, messages: JTexts<'l>, pictures: JLongArray<'l>, shown: JIntArray<'l>, answer: jboolean, json: JTexts<'l>, now: jlong, counts: JLongArray<'l>, reals: JFloatArray<'l>, stop: JTexts<'l>, bias: JIntArray<'l>, values: JFloatArray<'l>) -> jlong {
        let pictures = vision::pictures(env, &pictures)?;
        let messages = options::messages(env, &messages, &shown)?;
        let prompt = Prompt::Messages { messages, options: options::render(env, answer, &json, now)?, pictures };
        let options = options::generate(env, &counts, &reals, &stop, (&bias, &values))?;
        new(session, prompt, options)
    }

    /// A job that fills in the middle. `texts` holds prefix, suffix, path and project (or null), then path and text of each
    /// other file; `cut` gets the tokens of prefix and suffix and the files that were left out.
    fn "jobFim" fim<'l>(env, session: jlong, texts: JTexts<'l>, cut: JLongArray<'l>, counts: JLongArray<'l>, reals: JFloatArray<'l>, stop: JTexts<'l>, bias: JIntArray<'l>, values: JFloatArray<'l>) -> jlong {
        let session = SESSIONS.get(session)?;
        let request = fim_request(&options::texts(env, &texts)?)?;
        let options = options::generate(env, &counts, &reals, &stop, (&bias, &values))?;
        let (job, left_out) = session.fim(&request, options)?;
        let numbers = [left_out.prefix_tokens, left_out.suffix_tokens, left_out.files];
        cut.set_region(env, 0, &numbers.map(|n| jlong::try_from(n).unwrap_or(jlong::MAX)))?;
        JOBS.insert(Arc::new(Pulled { job, reader: Mutex::default() }))
    }

    /// Starts the work, which `jobNext` would do otherwise.
    fn "jobStart" start<'l>(_env, job: jlong) -> () {
        Ok(JOBS.get(job)?.job.start()?)
    }

    /// Writes events that wait into `buffer` (see `events.rs`), waiting for the first; says how many bytes. 0 after
    /// `timeout` milliseconds without any; a negative timeout waits as long as it takes.
    fn "jobNext" next<'l>(env, job: jlong, mut buffer: JByteBuffer<'l>, timeout: jlong) -> jint {
        let pulled = JOBS.get(job)?;
        let out = bytes(env, &mut buffer)?;
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        let mut reader = pulled.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let written = reader.fill(&pulled.job, out, timeout)?;
        Ok(jint::try_from(written).expect("no longer than a Java buffer"))
    }

    /// Cancels the work; any thread, any time.
    fn "jobCancel" cancel<'l>(_env, job: jlong) -> () {
        JOBS.get(job)?.job.cancel();
        Ok(())
    }

    /// Lets go of a job, which is cancelled if it runs. A thread that waits in `jobNext` gets the end.
    fn "jobFree" free<'l>(_env, job: jlong) -> () {
        JOBS.remove(job)?.job.cancel();
        Ok(())
    }
}
