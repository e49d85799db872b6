//! A Jinja interpreter for chat templates: the part of Jinja2 that they use, with Python's meaning, and with hard
//! limits on time, memory and stack. Why our own: docs/adr/0010-templates.md.
//!
//! Source → [`lexer`] → [`parser`] → [`ast`] → [`render`]. There is no access to files, to other templates, to the
//! clock or to anything else of the host; values cannot be changed, except for namespaces.

mod args;
mod ast;
mod budget;
mod expressions;
mod filters;
mod format;
mod functions;
mod json;
mod lexer;
mod methods;
mod ops;
mod parser;
mod predicates;
mod render;
mod value;

pub(super) use budget::Budget;
pub(super) use json::from_json;
pub(super) use value::Value;

use super::Date;
use std::sync::Arc;

/// The most levels of statements or expressions in each other in a template.
const MAX_NESTING: usize = 64;

/// What went wrong, and on which line of the template.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: Option<u32>,
    pub(super) message: String,
}

impl Fault {
    /// Adds the line, unless one is named already.
    fn at(mut self, line: u32) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

/// A fault on a line yet to be named.
fn fault(message: impl Into<String>) -> Fault {
    Fault { line: None, message: message.into() }
}

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    ast: ast::Ast,
}

impl Template {
    pub(super) fn parse(source: &str) -> Result<Self, Fault> {
        Ok(Self { ast: parser::parse(source)? })
    }

    /// The text of the template with these variables. `now` is what `strftime_now` tells; without it that function is
    /// not defined.
    pub(super) fn render(
        &self,
        variables: Vec<(Arc<str>, Value)>,
        now: Option<Date>,
        budget: &mut Budget,
    ) -> Result<String, Fault> {
        render::render(&self.ast, variables, now, budget)
    }
}
