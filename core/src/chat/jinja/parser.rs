//! Tokens into the tree: statements here, expressions in `expressions`. Recursive descent with Jinja2's grammar.
//!
//! The tree's depth is bounded (left-deep chains such as `a ~ b ~ c` count too), so that neither parsing, rendering
//! nor dropping it can exhaust the stack.

use super::ast::{Ast, Expr, ExprKind, For, Macro, Params, Stmt, StmtKind, Target};
use super::lexer::{Spanned, Token, tokenize};
use super::{Fault, MAX_NESTING, fault};
use std::sync::Arc;

pub(super) fn parse(source: &str) -> Result<Ast, Fault> {
    let tokens = tokenize(source)?;
    let mut parser = Parser { tokens, at: 0, depth: 0, loops: 0, macros: Vec::new() };
    let body = parser.body(&[])?;
    Ok(Ast { body, macros: parser.macros })
}

pub(super) struct Parser {
    pub(super) tokens: Vec<Spanned>,
    pub(super) at: usize,
    /// Nested statements and expressions around the current one.
    depth: usize,
    /// Nested loops around the current statement, within its macro.
    loops: usize,
    macros: Vec<Macro>,
}

/// Words that can't be variables.
pub(super) const RESERVED: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "elif"];

impl Parser {
    // --- tokens ---

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.0)
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |t| t.1)
    }

    pub(super) fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(fault(message).at(self.line()))
    }

    pub(super) fn unexpected<T>(&self, wanted: &str) -> Result<T, Fault> {
        let found = match self.peek() {
            None => "the end of the template".to_owned(),
            Some(Token::Data(_)) => "text".to_owned(),
            Some(Token::BlockBegin) => "'{%'".to_owned(),
            Some(Token::BlockEnd) => "'%}'".to_owned(),
            Some(Token::VariableBegin) => "'{{'".to_owned(),
            Some(Token::VariableEnd) => "'}}'".to_owned(),
            Some(Token::Name(name)) => format!("'{}'", short(name)),
            Some(Token::Str(_)) => "a string".to_owned(),
            Some(Token::Int(i)) => i.to_string(),
            Some(Token::Float(f)) => f.to_string(),
            Some(Token::Op(op)) => format!("'{op}'"),
        };
        self.fault(format!("expected {wanted}, found {found}"))
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(o)) if *o == op)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(n)) if **n == *word)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn op(&mut self, op: &str) -> Result<(), Fault> {
        if self.skip_op(op) { Ok(()) } else { self.unexpected(&format!("'{op}'")) }
    }

    pub(super) fn word(&mut self, word: &str) -> Result<(), Fault> {
        if self.skip_word(word) { Ok(()) } else { self.unexpected(&format!("'{word}'")) }
    }

    pub(super) fn token(&mut self, token: &Token, wanted: &str) -> Result<(), Fault> {
        if self.peek() == Some(token) {
            self.at += 1;
            return Ok(());
        }
        self.unexpected(wanted)
    }

    pub(super) fn block_end(&mut self) -> Result<(), Fault> {
        self.token(&Token::BlockEnd, "'%}'")
    }

    pub(super) fn name(&mut self) -> Result<Arc<str>, Fault> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    pub(super) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth >= MAX_NESTING {
            return self.fault(format!("more than {MAX_NESTING} levels of nesting"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// A node, unless the tree below it is too deep.
    pub(super) fn node(&self, line: u32, kind: ExprKind) -> Result<Expr, Fault> {
        let depth = kind.depth() + 1;
        if depth > MAX_NESTING {
            return Err(fault(format!("more than {MAX_NESTING} levels of nesting")).at(line));
        }
        Ok(Expr { line, depth, kind })
    }

    // --- statements ---

    /// Statements up to one of the tags in `ends`, which is left at its name; without `ends`, up to the end.
    pub(super) fn body(&mut self, ends: &[&str]) -> Result<Vec<Stmt>, Fault> {
        self.nested(|p| {
            let mut body = Vec::new();
            loop {
                let line = p.line();
                let kind = match p.tokens.get_mut(p.at) {
                    None if ends.is_empty() => return Ok(body),
                    None => return p.fault(format!("the template ends before {}", ends.join(" or "))),
                    Some((Token::Data(text), _)) => {
                        let text = std::mem::take(text);
                        p.at += 1;
                        StmtKind::Text(text)
                    }
                    Some((Token::VariableBegin, _)) => {
                        p.at += 1;
                        let value = p.tuple()?;
                        p.token(&Token::VariableEnd, "'}}'")?;
                        StmtKind::Emit(value)
                    }
                    Some(_) => {
                        p.token(&Token::BlockBegin, "a tag")?;
                        if ends.iter().any(|end| p.is_word(end)) {
                            return Ok(body);
                        }
                        match p.statement(&mut body)? {
                            Some(kind) => kind,
                            None => continue,
                        }
                    }
                };
                body.push(Stmt { line, kind });
            }
        })
    }

    /// A body and its end tag, up to and with `%}`.
    pub(super) fn body_to(&mut self, end: &str) -> Result<Vec<Stmt>, Fault> {
        let body = self.body(&[end])?;
        self.word(end)?;
        if end == "endblock" && !matches!(self.peek(), Some(Token::BlockEnd)) {
            self.name()?;
        }
        self.block_end()?;
        Ok(body)
    }

    /// A statement after `{%`. Transparent blocks put their body into `body`.
    pub(super) fn statement(&mut self, body: &mut Vec<Stmt>) -> Result<Option<StmtKind>, Fault> {
        let line = self.line();
        let word = self.name()?;
        let kind = match &*word {
            "if" => self.if_statement()?,
            "for" => self.for_statement()?,
            "set" => self.set_statement()?,
            "macro" => {
                let name = self.name()?;
                let params = self.params()?;
                self.block_end()?;
                StmtKind::Macro(self.macro_body(name, params, "endmacro")?)
            }
            "call" => {
                let params = if self.is_op("(") { self.params()? } else { Vec::new() };
                let call = self.expr()?;
                if !matches!(call.kind, ExprKind::Call(..)) {
                    return Err(fault("expected a call after 'call'").at(line));
                }
                self.block_end()?;
                StmtKind::Call(call, self.macro_body("caller".into(), params, "endcall")?)
            }
            "filter" => {
                let mut filters = vec![self.filter_call()?];
                filters.extend(self.filter_chain()?);
                self.block_end()?;
                StmtKind::Filter(filters, self.body_to("endfilter")?)
            }
            "with" => {
                let mut assignments = Vec::new();
                while !matches!(self.peek(), Some(Token::BlockEnd)) {
                    if !assignments.is_empty() {
                        self.op(",")?;
                    }
                    let target = self.target()?;
                    self.op("=")?;
                    assignments.push((target, self.expr()?));
                }
                self.block_end()?;
                StmtKind::With(assignments, self.body_to("endwith")?)
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(fault(format!("'{word}' outside of a loop")).at(line));
                }
                self.block_end()?;
                if &*word == "break" { StmtKind::Break } else { StmtKind::Continue }
            }
            // transformers' mark around the assistant's words, and inheritance that nothing inherits from.
            "generation" => {
                self.block_end()?;
                body.extend(self.body_to("endgeneration")?);
                return Ok(None);
            }
            "block" => {
                self.name()?;
                self.block_end()?;
                body.extend(self.body_to("endblock")?);
                return Ok(None);
            }
            "include" | "import" | "extends" | "from" => {
                return Err(fault(format!("'{word}': a chat template cannot use other files")).at(line));
            }
            _ => return Err(fault(format!("unknown tag '{}'", short(&word))).at(line)),
        };
        Ok(Some(kind))
    }

    pub(super) fn macro_body(&mut self, name: Arc<str>, params: Params, end: &str) -> Result<usize, Fault> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.body_to(end)?;
        self.loops = loops;
        self.macros.push(Macro { name, params, body });
        Ok(self.macros.len() - 1)
    }

    pub(super) fn if_statement(&mut self) -> Result<StmtKind, Fault> {
        let mut arms = Vec::new();
        loop {
            let condition = self.tuple()?;
            self.block_end()?;
            let body = self.body(&["elif", "else", "endif"])?;
            arms.push((condition, body));
            if self.skip_word("elif") {
                continue;
            }
            let otherwise = if self.skip_word("else") {
                self.block_end()?;
                self.body(&["endif"])?
            } else {
                Vec::new()
            };
            self.word("endif")?;
            self.block_end()?;
            return Ok(StmtKind::If(arms, otherwise));
        }
    }

    pub(super) fn for_statement(&mut self) -> Result<StmtKind, Fault> {
        let target = self.target()?;
        self.word("in")?;
        let iter = self.tuple_without_condition()?;
        let condition = if self.skip_word("if") { Some(self.expr()?) } else { None };
        if self.is_word("recursive") {
            return self.fault("recursive loops are not supported");
        }
        self.block_end()?;
        self.loops += 1;
        let body = self.body(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = if self.skip_word("else") {
            self.block_end()?;
            self.body(&["endfor"])?
        } else {
            Vec::new()
        };
        self.word("endfor")?;
        self.block_end()?;
        Ok(StmtKind::For(Box::new(For { target, iter, condition, body, otherwise })))
    }

    pub(super) fn set_statement(&mut self) -> Result<StmtKind, Fault> {
        let target = self.target()?;
        if self.skip_op("=") {
            let value = self.tuple()?;
            self.block_end()?;
            return Ok(StmtKind::Set(target, value));
        }
        let filters = self.filter_chain()?;
        self.block_end()?;
        Ok(StmtKind::SetBlock(target, filters, self.body_to("endset")?))
    }

    pub(super) fn target(&mut self) -> Result<Target, Fault> {
        let mut targets = vec![self.single_target()?];
        let mut tuple = false;
        while self.skip_op(",") {
            tuple = true;
            if matches!(self.peek(), Some(Token::Name(n)) if &**n != "in") || self.is_op("(") {
                targets.push(self.single_target()?);
            }
        }
        match targets.pop() {
            Some(only) if !tuple => Ok(only),
            last => Ok(Target::Tuple(targets.into_iter().chain(last).collect())),
        }
    }

    pub(super) fn single_target(&mut self) -> Result<Target, Fault> {
        if self.skip_op("(") {
            let inner = self.nested(Self::target)?;
            self.op(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        if RESERVED.contains(&&*name) {
            self.at -= 1;
            return self.unexpected("a name to assign to");
        }
        Ok(if self.skip_op(".") { Target::Attribute(name, self.name()?) } else { Target::Name(name) })
    }

    pub(super) fn params(&mut self) -> Result<Params, Fault> {
        self.op("(")?;
        let mut params = Vec::new();
        while !self.skip_op(")") {
            if !params.is_empty() {
                self.op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            let name = self.name()?;
            params.push((name, if self.skip_op("=") { Some(self.expr()?) } else { None }));
        }
        Ok(params)
    }
}

/// A name for an error message.
fn short(name: &str) -> &str {
    let end = name.char_indices().nth(40).map_or(name.len(), |(at, _)| at);
    &name[..end]
}
