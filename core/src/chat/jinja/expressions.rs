//! The expressions of the grammar, loosest operator first.

use super::ast::{Args, BinaryOp, CompareOp, Expr, ExprKind, FilterCall};
use super::lexer::Token;
use super::parser::{Parser, RESERVED};
use super::{Fault, filters, predicates};

enum Join {
    And,
    Or,
    Op(BinaryOp),
}

impl Parser {
    /// An expression, or several with commas: a tuple.
    pub(super) fn tuple(&mut self) -> Result<Expr, Fault> {
        let first = self.expr()?;
        self.tuple_rest(first, Self::expr)
    }

    /// The same for `for x in …`, where a following `if` belongs to the loop.
    pub(super) fn tuple_without_condition(&mut self) -> Result<Expr, Fault> {
        let first = self.or()?;
        self.tuple_rest(first, Self::or)
    }

    fn tuple_rest(
        &mut self,
        first: Expr,
        parse: impl Fn(&mut Self) -> Result<Expr, Fault>,
    ) -> Result<Expr, Fault> {
        if !self.is_op(",") {
            return Ok(first);
        }
        let line = first.line;
        let mut items = vec![first];
        while self.skip_op(",") {
            let ended = matches!(self.peek(), None | Some(Token::BlockEnd | Token::VariableEnd));
            if ended || self.is_op(")") || self.is_op("]") {
                break;
            }
            items.push(parse(self)?);
        }
        self.node(line, ExprKind::Tuple(items))
    }

    pub(super) fn expr(&mut self) -> Result<Expr, Fault> {
        self.nested(|p| {
            let mut value = p.or()?;
            while p.is_word("if") {
                let line = p.line();
                p.at += 1;
                let condition = Box::new(p.or()?);
                let otherwise = if p.skip_word("else") { Some(Box::new(p.expr()?)) } else { None };
                value = p.node(line, ExprKind::Conditional(condition, Box::new(value), otherwise))?;
            }
            Ok(value)
        })
    }

    /// A left-associative level: operands from `next`, operators from `op`.
    fn left(
        &mut self,
        next: fn(&mut Self) -> Result<Expr, Fault>,
        op: fn(&mut Self) -> Option<Join>,
    ) -> Result<Expr, Fault> {
        let mut left = next(self)?;
        loop {
            let line = self.line();
            let Some(join) = op(self) else { break };
            let right = Box::new(next(self)?);
            let l = Box::new(left);
            let kind = match join {
                Join::And => ExprKind::And(l, right),
                Join::Or => ExprKind::Or(l, right),
                Join::Op(op) => ExprKind::Binary(op, l, right),
            };
            left = self.node(line, kind)?;
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Expr, Fault> {
        self.left(Self::and, |p| p.skip_word("or").then_some(Join::Or))
    }

    fn and(&mut self) -> Result<Expr, Fault> {
        self.left(Self::not, |p| p.skip_word("and").then_some(Join::And))
    }

    fn not(&mut self) -> Result<Expr, Fault> {
        let line = self.line();
        if self.skip_word("not") {
            let value = self.nested(Self::not)?;
            return self.node(line, ExprKind::Not(Box::new(value)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr, Fault> {
        let line = self.line();
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let op = match self.peek() {
                Some(Token::Op("==")) => CompareOp::Eq,
                Some(Token::Op("!=")) => CompareOp::Ne,
                Some(Token::Op("<")) => CompareOp::Lt,
                Some(Token::Op("<=")) => CompareOp::Le,
                Some(Token::Op(">")) => CompareOp::Gt,
                Some(Token::Op(">=")) => CompareOp::Ge,
                Some(Token::Name(n)) if &**n == "in" => CompareOp::In,
                Some(Token::Name(n)) if &**n == "not" => {
                    if !matches!(self.tokens.get(self.at + 1), Some((Token::Name(n), _)) if &**n == "in") {
                        break;
                    }
                    self.at += 1;
                    CompareOp::NotIn
                }
                _ => break,
            };
            self.at += 1;
            rest.push((op, self.sum()?));
        }
        if rest.is_empty() { Ok(first) } else { self.node(line, ExprKind::Compare(Box::new(first), rest)) }
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        self.left(Self::concat, |p| p.skip_binary(&[("+", BinaryOp::Add), ("-", BinaryOp::Sub)]))
    }

    fn concat(&mut self) -> Result<Expr, Fault> {
        self.left(Self::product, |p| p.skip_binary(&[("~", BinaryOp::Concat)]))
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        const OPS: [(&str, BinaryOp); 4] =
            [("*", BinaryOp::Mul), ("/", BinaryOp::Div), ("//", BinaryOp::FloorDiv), ("%", BinaryOp::Rem)];
        self.left(Self::power, |p| p.skip_binary(&OPS))
    }

    fn power(&mut self) -> Result<Expr, Fault> {
        self.left(|p| p.unary(true), |p| p.skip_binary(&[("**", BinaryOp::Pow)]))
    }

    fn skip_binary(&mut self, ops: &[(&str, BinaryOp)]) -> Option<Join> {
        let &(_, op) = ops.iter().find(|(text, _)| self.is_op(text))?;
        self.at += 1;
        Some(Join::Op(op))
    }

    fn unary(&mut self, with_filter: bool) -> Result<Expr, Fault> {
        let line = self.line();
        let mut value = if self.skip_op("-") {
            let inner = self.nested(|p| p.unary(false))?;
            self.node(line, ExprKind::Negate(Box::new(inner)))?
        } else if self.skip_op("+") {
            let inner = self.nested(|p| p.unary(false))?;
            self.node(line, ExprKind::Plus(Box::new(inner)))?
        } else {
            self.primary()?
        };
        value = self.postfix(value)?;
        loop {
            let line = self.line();
            if !with_filter {
                break;
            }
            if self.skip_op("|") {
                let call = self.filter_call()?;
                value = self.node(line, ExprKind::Filter(Box::new(value), call))?;
            } else if self.skip_word("is") {
                value = self.test(value, line)?;
            } else if self.is_op("(") {
                value = self.postfix(value)?;
            } else {
                break;
            }
        }
        Ok(value)
    }

    /// `.name`, `[index]`, `(arguments)` after a value.
    fn postfix(&mut self, mut value: Expr) -> Result<Expr, Fault> {
        loop {
            let line = self.line();
            let kind = if self.skip_op(".") {
                if let Some(&Token::Int(i)) = self.peek() {
                    self.at += 1;
                    let index = self.node(line, ExprKind::Int(i))?;
                    ExprKind::Index(Box::new(value), Box::new(index))
                } else {
                    ExprKind::Attribute(Box::new(value), self.name()?)
                }
            } else if self.skip_op("[") {
                self.subscript(value)?
            } else if self.is_op("(") {
                ExprKind::Call(Box::new(value), self.args()?)
            } else {
                return Ok(value);
            };
            value = self.node(line, kind)?;
        }
    }

    fn subscript(&mut self, value: Expr) -> Result<ExprKind, Fault> {
        let mut parts = [const { None }; 3];
        let mut part = 0;
        loop {
            if self.skip_op("]") {
                break;
            }
            if self.skip_op(":") {
                part += 1;
                if part > 2 {
                    return self.unexpected("']'");
                }
                continue;
            }
            if parts[part].is_some() {
                return self.unexpected("']'");
            }
            parts[part] = Some(Box::new(self.tuple()?));
        }
        let value = Box::new(value);
        match (part, parts) {
            (0, [Some(index), _, _]) => Ok(ExprKind::Index(value, index)),
            (0, _) => self.unexpected("an index"),
            (_, parts) => Ok(ExprKind::Slice(value, parts)),
        }
    }

    fn args(&mut self) -> Result<Args, Fault> {
        self.op("(")?;
        let mut args = Args::default();
        let mut first = true;
        while !self.skip_op(")") {
            if !first {
                self.op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            first = false;
            if self.is_op("*") || self.is_op("**") {
                return self.fault("arguments with '*' are not supported");
            }
            let named = matches!(self.tokens.get(self.at + 1), Some((Token::Op("="), _)));
            match self.peek() {
                Some(Token::Name(name)) if named => {
                    let name = name.clone();
                    self.at += 2;
                    args.named.push((name, self.expr()?));
                }
                _ => args.positional.push(self.expr()?),
            }
        }
        Ok(args)
    }

    pub(super) fn filter_chain(&mut self) -> Result<Vec<FilterCall>, Fault> {
        let mut filters = Vec::new();
        while self.skip_op("|") {
            filters.push(self.filter_call()?);
        }
        Ok(filters)
    }

    pub(super) fn filter_call(&mut self) -> Result<FilterCall, Fault> {
        let line = self.line();
        let name = self.name()?;
        let args = if self.is_op("(") { self.args()? } else { Args::default() };
        Ok(FilterCall { line, filter: filters::find(&name), name, args })
    }

    /// What follows `is`.
    fn test(&mut self, value: Expr, line: u32) -> Result<Expr, Fault> {
        let negated = self.skip_word("not");
        let name = self.name()?;
        let args = match self.peek() {
            Some(Token::Op("(")) => self.args()?,
            Some(Token::Name(n)) if RESERVED.contains(&&**n) => Args::default(),
            Some(Token::Name(_) | Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{")) => {
                let argument = self.nested(Self::primary)?;
                let argument = self.postfix(argument)?;
                Args { positional: vec![argument], named: Vec::new() }
            }
            _ => Args::default(),
        };
        let test = predicates::find(&name);
        self.node(line, ExprKind::Test { value: Box::new(value), name, test, args, negated })
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let line = self.line();
        let Some(token) = self.peek().cloned() else { return self.unexpected("a value") };
        self.at += 1;
        let kind = match token {
            Token::Name(name) => match &*name {
                "true" | "True" => ExprKind::Bool(true),
                "false" | "False" => ExprKind::Bool(false),
                "none" | "None" => ExprKind::None,
                word if RESERVED.contains(&word) => {
                    self.at -= 1;
                    return self.unexpected("a value");
                }
                _ => ExprKind::Name(name),
            },
            Token::Str(text) => {
                let mut text = text;
                while let Some(Token::Str(more)) = self.peek() {
                    text = format!("{text}{more}").into();
                    self.at += 1;
                }
                ExprKind::Str(text)
            }
            Token::Int(i) => ExprKind::Int(i),
            Token::Float(f) => ExprKind::Float(f),
            Token::Op("(") => {
                if self.skip_op(")") {
                    ExprKind::Tuple(Vec::new())
                } else {
                    let inner = self.tuple()?;
                    self.op(")")?;
                    return Ok(inner);
                }
            }
            Token::Op("[") => ExprKind::List(self.items("]", Self::expr)?),
            Token::Op("{") => ExprKind::Dict(self.items("}", |p| {
                let key = p.expr()?;
                p.op(":")?;
                Ok((key, p.expr()?))
            })?),
            _ => {
                self.at -= 1;
                return self.unexpected("a value");
            }
        };
        self.node(line, kind)
    }

    fn items<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let mut items = Vec::new();
        while !self.skip_op(end) {
            if !items.is_empty() {
                self.op(",")?;
                if self.skip_op(end) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }
}
