//! Conversations and prompts.

use crate::args::{self, Out, Sized32};
use crate::boundary::{Failure, Result};
use crate::error::siskin_error;
use crate::handles::{self, Object};
use crate::model::siskin_model;
use crate::options::flag;
use crate::owned::{give, give_text, siskin_text, siskin_tokens};
use crate::result::siskin_result;
use crate::vision::{self, siskin_picture};
use serde_json::Value as Json;
use siskin::chat::{Date, Message, RenderOptions};
use siskin::tokenizer::TokenId;
use siskin::vision::mark_images;
use siskin::{Picture, Prompt};
use std::ffi::c_char;

/// One message of a conversation. Texts are UTF-8 and are read during the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_message {
    /// sizeof(siskin_message)
    pub size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// "system", "user", "assistant", "tool", or what else the model's template knows.
    pub role: *const c_char,
    pub role_len: usize,
    /// What is said.
    pub content: *const c_char,
    pub content_len: usize,
    /// A JSON object of further fields that the template reads (`tool_calls`, `name` ...); NULL for none.
    pub fields_json: *const c_char,
    pub fields_json_len: usize,
    /// `picture_count` pictures that the message shows: where its content has "<start_of_image>" for each, else before it.
    /// NULL for none.
    pub pictures: *const *const siskin_picture,
    pub picture_count: usize,
}

/// A conversation and what the model's template is given besides.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_chat {
    /// sizeof(siskin_chat)
    pub size: u32,
    /// Whether the prompt is to end where the assistant's answer begins: 0 or 1.
    pub add_generation_prompt: u32,
    /// `message_count` messages, each of which says its size; all must have the same.
    pub messages: *const siskin_message,
    pub message_count: usize,
    /// A JSON array of the tools that the model may call; NULL for none.
    pub tools_json: *const c_char,
    pub tools_json_len: usize,
    /// A JSON object of further variables (such as `enable_thinking`); NULL for none.
    pub variables_json: *const c_char,
    pub variables_json_len: usize,
    /// Now, in seconds since 1970 in the user's time zone, for templates that tell the date; 0 for none.
    pub now: i64,
}

/// What a job is asked: exactly one of `text`, `tokens` and `chat` is not NULL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_prompt {
    /// sizeof(siskin_prompt)
    pub size: u32,
    /// Whether texts of special tokens in `text` become those tokens: 0 or 1. Not for text from users.
    pub parse_special: u32,
    /// Text behind what the session holds.
    pub text: *const c_char,
    pub text_len: usize,
    /// Tokens behind what the session holds. With a `token_count` of 0 the last answer goes on.
    pub tokens: *const u32,
    pub token_count: usize,
    /// A whole conversation. What the session holds of it already is not computed again.
    pub chat: *const siskin_chat,
    /// `picture_count` pictures that `text` shows: where it has "<start_of_image>" for each, if `parse_special` is 1, else
    /// before it. NULL for none.
    pub pictures: *const *const siskin_picture,
    pub picture_count: usize,
}

// SAFETY: repr(C), `size` first, and only numbers and pointers.
unsafe impl Sized32 for siskin_message {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_chat {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_prompt {}

const NO_MESSAGE: siskin_message = siskin_message {
    size: size_of::<siskin_message>() as u32,
    reserved: 0,
    role: std::ptr::null(),
    role_len: 0,
    content: std::ptr::null(),
    content_len: 0,
    fields_json: std::ptr::null(),
    fields_json_len: 0,
    pictures: std::ptr::null(),
    picture_count: 0,
};

const NO_CHAT: siskin_chat = siskin_chat {
    size: size_of::<siskin_chat>() as u32,
    add_generation_prompt: 0,
    messages: std::ptr::null(),
    message_count: 0,
    tools_json: std::ptr::null(),
    tools_json_len: 0,
    variables_json: std::ptr::null(),
    variables_json_len: 0,
    now: 0,
};

const NO_PROMPT: siskin_prompt = siskin_prompt {
    size: size_of::<siskin_prompt>() as u32,
    parse_special: 0,
    text: std::ptr::null(),
    text_len: 0,
    tokens: std::ptr::null(),
    token_count: 0,
    chat: std::ptr::null(),
    pictures: std::ptr::null(),
    picture_count: 0,
};

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message)
}

/// JSON at `ptr`, or `None` if that is NULL.
///
/// # Safety
/// As [`args::text`].
unsafe fn json(ptr: *const c_char, len: usize, what: &str) -> Result<Option<Json>> {
    if ptr.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { args::text(ptr, len, what) }?;
    serde_json::from_str(text).map(Some).map_err(|e| invalid(format!("{what}: {e}")))
}

/// The same for an object; NULL is an empty one.
///
/// # Safety
/// As [`args::text`].
unsafe fn object(ptr: *const c_char, len: usize, what: &str) -> Result<serde_json::Map<String, Json>> {
    // SAFETY: the caller's promise.
    match unsafe { json(ptr, len, what) }? {
        None => Ok(serde_json::Map::new()),
        Some(Json::Object(map)) => Ok(map),
        Some(_) => Err(invalid(format!("{what} is not a JSON object"))),
    }
}

/// # Safety
/// As the header says of siskin_message.
unsafe fn message(m: siskin_message, pictures: &mut Vec<Picture>) -> Result<Message> {
    args::reserved(m.reserved, "a message")?;
    // SAFETY: the caller's promise.
    unsafe {
        let role = args::text(m.role, m.role_len, "a role")?;
        let content = args::text(m.content, m.content_len, "the content")?;
        let fields = object(m.fields_json, m.fields_json_len, "fields_json")?;
        let shown = vision::pictures(m.pictures, m.picture_count)?;
        let mut message = Message { fields, ..Message::new(role, content) };
        mark_images(&mut message, shown.len())?;
        pictures.extend(shown);
        Ok(message)
    }
}

/// A conversation: messages, what they show, and what the template is given besides.
pub(crate) type Chat = (Vec<Message>, Vec<Picture>, RenderOptions);

/// # Safety
/// As the header says of siskin_chat.
pub(crate) unsafe fn chat(ptr: *const siskin_chat) -> Result<Chat> {
    // SAFETY: the caller's promise.
    unsafe {
        let c = args::sized(ptr, NO_CHAT, "chat")?;
        let options = RenderOptions {
            add_generation_prompt: flag(c.add_generation_prompt, "add_generation_prompt")?,
            tools: json(c.tools_json, c.tools_json_len, "tools_json")?,
            variables: object(c.variables_json, c.variables_json_len, "variables_json")?,
            now: (c.now != 0).then(|| Date::from_unix(c.now)),
        };
        let mut pictures = Vec::new();
        let messages = args::each(c.messages, c.message_count, NO_MESSAGE, "messages")?;
        let messages = messages.into_iter().map(|m| message(m, &mut pictures)).collect::<Result<_>>()?;
        Ok((messages, pictures, options))
    }
}

/// # Safety
/// As the header says of siskin_prompt.
pub(crate) unsafe fn prompt(ptr: *const siskin_prompt) -> Result<Prompt> {
    if ptr.is_null() {
        return Err(Failure::new(siskin_result::SISKIN_RESULT_NULL_POINTER, "the prompt is NULL"));
    }
    // SAFETY: the caller's promise.
    unsafe {
        let p = args::sized(ptr, NO_PROMPT, "prompt")?;
        let pictures = vision::pictures(p.pictures, p.picture_count)?;
        if p.text.is_null() && !pictures.is_empty() {
            return Err(invalid(
                "a prompt has pictures with its text only; those of a chat are its messages'",
            ));
        }
        match (p.text.is_null(), p.tokens.is_null(), p.chat.is_null()) {
            (false, true, true) => Ok(Prompt::Text {
                text: args::text(p.text, p.text_len, "the prompt's text")?.to_owned(),
                parse_special: flag(p.parse_special, "parse_special")?,
                pictures,
            }),
            (true, false, true) => {
                let tokens = args::slice(p.tokens, p.token_count, "the prompt's tokens")?;
                Ok(Prompt::Tokens(tokens.iter().map(|&t| TokenId(t)).collect()))
            }
            (true, true, false) => {
                let (messages, pictures, options) = chat(p.chat)?;
                Ok(Prompt::Messages { messages, options, pictures })
            }
            _ => Err(invalid("a prompt is exactly one of text, tokens and chat")),
        }
    }
}

/// [`chat`] where it must not be NULL.
///
/// # Safety
/// As the header says of siskin_chat.
unsafe fn given_chat(ptr: *const siskin_chat) -> Result<Chat> {
    if ptr.is_null() {
        return Err(Failure::new(siskin_result::SISKIN_RESULT_NULL_POINTER, "the chat is NULL"));
    }
    // SAFETY: the caller's promise.
    unsafe { chat(ptr) }
}

/// The prompt of a conversation, as the model's template writes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_render(
    model: *const siskin_model,
    chat: *const siskin_chat,
    out_text: *mut *mut siskin_text,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_text, "out_text") }?;
        let model = handles::model(model)?;
        // SAFETY: as the header says of siskin_chat.
        let (messages, _, options) = unsafe { given_chat(chat) }?;
        give_text(model.chat_template()?.render(&messages, &options)?, out)
    })
}

/// The tokens of a conversation's prompt, as a job with this `chat` reads them: the begin token is added unless the template
/// wrote it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_conversation(
    model: *const siskin_model,
    chat: *const siskin_chat,
    out_tokens: *mut *mut siskin_tokens,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_tokens, "out_tokens") }?;
        let model = handles::model(model)?;
        // SAFETY: as the header says of siskin_chat.
        let (messages, _, options) = unsafe { given_chat(chat) }?;
        let tokens = model.conversation(&messages, &options)?;
        give(Object::Tokens(tokens.into_iter().map(|t| t.0).collect()), out)
    })
}

/// The model's chat template itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_chat_template(
    model: *const siskin_model,
    out_text: *mut *mut siskin_text,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_text, "out_text") }?;
        give_text(handles::model(model)?.chat_template()?.source().to_owned(), out)
    })
}
