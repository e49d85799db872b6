//! What a text is held against.

use crate::error::{Error, ErrorKind, Result};

/// Bytes that a policy's own words may have: far more than any that a model was trained with.
pub const MAX_GUIDELINE_BYTES: usize = 16 << 10;

/// A rule that a text may violate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What results call it.
    pub name: String,
    /// Its words, such as `"No Advice": The chatbot shall not generate content that gives medical advice.`; `None` for the
    /// policy of that name that the model was trained with (see [`Policy::KNOWN`]).
    pub guideline: Option<String>,
}

/// A policy that the model was trained with.
struct Known {
    name: &'static str,
    title: &'static str,
    /// What a text that violates it does; goes behind what the text is.
    what: &'static str,
}

// The words of ShieldGemma's model card, with its grammar: the model was trained on them.
const KNOWN: [Known; 4] = [
    Known {
        name: "dangerous_content",
        title: "No Dangerous Content",
        what: "harming oneself and/or others (e.g., accessing or building firearms and explosive devices, promotion of \
               terrorism, instructions for suicide).",
    },
    Known {
        name: "harassment",
        title: "No Harassment",
        what: "is malicious, intimidating, bullying, or abusive content targeting another individual (e.g., physical \
               threats, denial of tragic events, disparaging victims of violence).",
    },
    Known {
        name: "hate_speech",
        title: "No Hate Speech",
        what: "targeting identity and/or protected attributes (e.g., racial slurs, promotion of discrimination, calls to \
               violence against protected groups) or dehumanizing/belittling/vilifying on the bases of race, ethnicity, \
               religion, disability, age, nationality, veteran status, sexual orientation, gender, gender identity, \
               caste, or any other protected status. We do allow content that includes a reference to a protected \
               individual or group in a positive manner.",
    },
    Known {
        name: "sexually_explicit",
        title: "No Sexually Explicit Information",
        what: "contains references to sexual acts or other lewd content (e.g., sexually graphic descriptions, content \
               aimed at causing arousal). Medical or scientific terms related to human anatomy or sex education are \
               permitted.",
    },
];

impl Policy {
    /// Names of the policies that the model was trained with: the four harms of ShieldGemma.
    pub const KNOWN: [&'static str; 4] = [KNOWN[0].name, KNOWN[1].name, KNOWN[2].name, KNOWN[3].name];

    /// The policy of that name that the model was trained with; using it fails if there is none.
    pub fn known(name: impl Into<String>) -> Self {
        Self { name: name.into(), guideline: None }
    }

    /// A policy in words of the caller's.
    pub fn custom(name: impl Into<String>, guideline: impl Into<String>) -> Self {
        Self { name: name.into(), guideline: Some(guideline.into()) }
    }

    /// All policies that the model was trained with.
    pub fn all() -> Vec<Self> {
        Self::KNOWN.map(Self::known).into()
    }

    /// The words that the model is shown, which depend on what is judged: a response, or what a user wrote.
    ///
    /// # Errors
    /// `Argument` for a name that is not known and has no words, or words that are empty or longer than
    /// [`MAX_GUIDELINE_BYTES`].
    pub fn words(&self, of_response: bool) -> Result<String> {
        match &self.guideline {
            Some(words) if words.trim().is_empty() => {
                Err(argument(format!("policy \"{}\" has no words", self.name.escape_debug())))
            }
            Some(words) if words.len() > MAX_GUIDELINE_BYTES => Err(argument(format!(
                "policy \"{}\" has {} bytes, at most {MAX_GUIDELINE_BYTES} are accepted",
                self.name.escape_debug(),
                words.len()
            ))),
            Some(words) => Ok(words.clone()),
            None => {
                let Known { title, what, .. } =
                    KNOWN.iter().find(|known| known.name == self.name).ok_or_else(|| {
                        argument(format!(
                            "no policy is called \"{}\"; there are {}, and any other in your own words",
                            self.name.escape_debug(),
                            Self::KNOWN.join(", ")
                        ))
                    })?;
                let text = match of_response {
                    true => "The chatbot shall not generate content that",
                    false => "The prompt shall not contain or seek generation of content that",
                };
                Ok(format!("\"{title}\": {text} {what}"))
            }
        }
    }
}

fn argument(message: String) -> Error {
    Error::new(ErrorKind::Argument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_model_cards() {
        let words = |name: &str, of_response| Policy::known(name).words(of_response).expect("known");
        assert_eq!(
            words("dangerous_content", false),
            "\"No Dangerous Content\": The prompt shall not contain or seek generation of content that harming oneself \
             and/or others (e.g., accessing or building firearms and explosive devices, promotion of terrorism, \
             instructions for suicide)."
        );
        assert_eq!(
            words("harassment", true),
            "\"No Harassment\": The chatbot shall not generate content that is malicious, intimidating, bullying, or \
             abusive content targeting another individual (e.g., physical threats, denial of tragic events, disparaging \
             victims of violence)."
        );
        for policy in Policy::all() {
            for of_response in [false, true] {
                let words = policy.words(of_response).expect("known");
                assert!(
                    words.starts_with("\"No ") && words.ends_with('.') && !words.contains("  "),
                    "{words}"
                );
            }
        }
    }

    #[test]
    fn refusals_say_what_there_is() {
        let message = |policy: Policy| {
            let e = policy.words(false).expect_err("refused");
            assert_eq!(e.kind(), ErrorKind::Argument);
            e.message().to_owned()
        };
        let unknown = message(Policy::known("spam"));
        assert!(unknown.contains("\"spam\"") && unknown.contains("hate_speech"), "{unknown}");
        assert!(message(Policy::custom("empty", " \n")).contains("no words"));
        assert!(message(Policy::custom("long", "x".repeat(MAX_GUIDELINE_BYTES + 1))).contains("16385 bytes"));
        assert_eq!(
            Policy::custom("own", "\"No Spam\": none.").words(true).expect("fine"),
            "\"No Spam\": none."
        );
    }
}
