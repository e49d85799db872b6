//! Walks the tree and writes the text.
//!
//! Scopes are Jinja's: loops, macros and blocks open one, `if` does not, and what is set in a loop is gone with its
//! iteration. They live in one vector for the whole rendering and name their parent by index, so that a macro can
//! hold on to the scope it was defined in without a cycle.

use super::args::CallArgs;
use super::ast::{Args, Ast, Expr, ExprKind, FilterCall, For, Stmt, StmtKind, Target};
use super::budget::Budget;
use super::value::{List, Loop, Value};
use super::{Fault, fault, functions, methods, ops};
use crate::chat::Date;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The most evaluations in each other: nesting of the template times that of its macro calls.
const MAX_CALL_DEPTH: usize = 200;
/// What a scope counts for in the budget.
const SCOPE_BYTES: usize = 128;

pub(super) fn render(
    ast: &Ast,
    variables: Vec<(Arc<str>, Value)>,
    now: Option<Date>,
    budget: &mut Budget,
) -> Result<String, Fault> {
    let scopes = vec![Scope { parent: None, variables }];
    let mut r = Renderer { ast, scopes, scope: 0, pinned: 1, out: String::new(), depth: 0, now, budget };
    r.body(&ast.body)?;
    Ok(r.out)
}

struct Scope {
    parent: Option<usize>,
    variables: Vec<(Arc<str>, Value)>,
}

/// What comes after a statement.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Renderer<'t, 'b> {
    ast: &'t Ast,
    scopes: Vec<Scope>,
    /// The current one.
    scope: usize,
    /// Scopes below this index may be held by a macro and stay.
    pinned: usize,
    out: String,
    depth: usize,
    now: Option<Date>,
    budget: &'b mut Budget,
}

impl<'t> Renderer<'t, '_> {
    // --- scopes ---

    fn lookup(&self, name: &str) -> Option<&Value> {
        let mut scope = Some(self.scope);
        while let Some(index) = scope {
            let s = &self.scopes[index];
            if let Some((_, value)) = s.variables.iter().find(|(n, _)| **n == *name) {
                return Some(value);
            }
            scope = s.parent;
        }
        None
    }

    fn assign(&mut self, name: &Arc<str>, value: Value) {
        let variables = &mut self.scopes[self.scope].variables;
        match variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => variables.push((name.clone(), value)),
        }
    }

    /// Runs `f` in a new scope under `parent`.
    fn scoped<T>(
        &mut self,
        parent: usize,
        f: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.budget.bytes(SCOPE_BYTES)?;
        let caller = self.scope;
        self.scope = self.scopes.len();
        self.scopes.push(Scope { parent: Some(parent), variables: Vec::new() });
        let result = f(self)?;
        if self.scope + 1 == self.scopes.len() && self.scope >= self.pinned {
            self.scopes.pop();
        }
        self.scope = caller;
        Ok(result)
    }

    /// What `f` writes, as a string.
    fn captured(&mut self, f: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<Value, Fault> {
        let outer = std::mem::take(&mut self.out);
        f(self)?;
        Ok(Value::str(std::mem::replace(&mut self.out, outer)))
    }

    fn enter<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.budget.steps(1)?;
        if self.depth >= MAX_CALL_DEPTH {
            return Err(fault(format!("more than {MAX_CALL_DEPTH} evaluations in each other")));
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    // --- statements ---

    fn body(&mut self, body: &'t [Stmt]) -> Result<Flow, Fault> {
        for stmt in body {
            let flow = self.enter(|r| r.statement(stmt)).map_err(|e| e.at(stmt.line))?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, stmt: &'t Stmt) -> Result<Flow, Fault> {
        match &stmt.kind {
            StmtKind::Text(text) => {
                self.budget.bytes(text.len())?;
                self.out.push_str(text);
            }
            StmtKind::Emit(value) => {
                let value = self.eval(value)?;
                value.write(&mut self.out, self.budget)?;
            }
            StmtKind::If(arms, otherwise) => {
                for (condition, body) in arms {
                    if self.eval(condition)?.is_true() {
                        return self.body(body);
                    }
                }
                return self.body(otherwise);
            }
            StmtKind::For(f) => return self.for_loop(f),
            StmtKind::Set(target, value) => {
                let value = self.eval(value)?;
                self.set(target, value)?;
            }
            StmtKind::SetBlock(target, filters, body) => {
                let value = self.block(filters, body)?;
                self.set(target, value)?;
            }
            StmtKind::Macro(index) => {
                let value = self.closure(*index);
                self.assign(&self.ast.macros[*index].name, value);
            }
            StmtKind::Call(call, index) => {
                let caller = self.closure(*index);
                let ExprKind::Call(callee, args) = &call.kind else { return Err(fault("not a call")) };
                let value = self.call(callee, args, Some(caller))?;
                value.write(&mut self.out, self.budget)?;
            }
            StmtKind::Filter(filters, body) => {
                let value = self.block(filters, body)?;
                value.write(&mut self.out, self.budget)?;
            }
            StmtKind::With(assignments, body) => {
                let values =
                    assignments.iter().map(|(_, value)| self.eval(value)).collect::<Result<Vec<_>, _>>()?;
                return self.scoped(self.scope, |r| {
                    for ((target, _), value) in assignments.iter().zip(values) {
                        r.set(target, value)?;
                    }
                    r.body(body)
                });
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// The text of `body` through `filters`.
    fn block(&mut self, filters: &'t [FilterCall], body: &'t [Stmt]) -> Result<Value, Fault> {
        let mut value = self.captured(|r| r.scoped(r.scope, |r| r.body(body)).map(drop))?;
        for call in filters {
            value = self.filter(value, call)?;
        }
        Ok(value)
    }

    fn closure(&mut self, index: usize) -> Value {
        self.pinned = self.pinned.max(self.scope + 1);
        Value::Macro { index, scope: self.scope }
    }

    fn set(&mut self, target: &'t Target, value: Value) -> Result<(), Fault> {
        match target {
            Target::Name(name) => self.assign(name, value),
            Target::Attribute(name, attribute) => {
                value.storable()?;
                let Some(Value::Namespace(ns)) = self.lookup(name) else {
                    return Err(fault(format!("'{name}' is not a namespace")));
                };
                let mut ns = ns.borrow_mut();
                match ns.iter_mut().find(|(n, _)| n == attribute) {
                    Some((_, old)) => *old = value,
                    None => ns.push((attribute.clone(), value)),
                }
            }
            Target::Tuple(targets) => {
                let items = value.items(self.budget)?;
                if items.items.len() != targets.len() {
                    let message = format!("{} values for {} names", items.items.len(), targets.len());
                    return Err(fault(message));
                }
                for (target, item) in targets.iter().zip(&items.items) {
                    self.set(target, item.clone())?;
                }
            }
        }
        Ok(())
    }

    fn for_loop(&mut self, f: &'t For) -> Result<Flow, Fault> {
        let mut items = self.eval(&f.iter)?.items(self.budget)?;
        self.budget.steps(items.items.len())?;
        if let Some(condition) = &f.condition {
            items = self.chosen(&f.target, condition, &items)?;
        }
        if items.items.is_empty() {
            return self.body(&f.otherwise);
        }
        let name: Arc<str> = "loop".into();
        let last = Rc::new(RefCell::new(None));
        self.scoped(self.scope, |r| {
            for (index, item) in items.items.iter().enumerate() {
                r.scopes[r.scope].variables.clear();
                let state = Loop { items: items.clone(), index, last: last.clone() };
                r.assign(&name, Value::Loop(Rc::new(state)));
                r.set(&f.target, item.clone())?;
                if r.body(&f.body)? == Flow::Break {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(Flow::Next)
    }

    /// The items for which the loop's condition holds.
    fn chosen(&mut self, target: &'t Target, condition: &'t Expr, items: &List) -> Result<Rc<List>, Fault> {
        let kept = self.scoped(self.scope, |r| {
            let mut kept = Vec::new();
            for item in &items.items {
                r.set(target, item.clone())?;
                if r.eval(condition)?.is_true() {
                    kept.push(item.clone());
                }
            }
            Ok(kept)
        })?;
        Value::list(kept, self.budget)?.items(self.budget)
    }

    // --- expressions ---

    fn eval(&mut self, expr: &'t Expr) -> Result<Value, Fault> {
        self.enter(|r| r.expression(expr)).map_err(|e| e.at(expr.line))
    }

    fn expression(&mut self, expr: &'t Expr) -> Result<Value, Fault> {
        Ok(match &expr.kind {
            ExprKind::None => Value::None,
            ExprKind::Bool(b) => Value::Bool(*b),
            ExprKind::Int(i) => Value::Int(*i),
            ExprKind::Float(f) => Value::Float(*f),
            ExprKind::Str(s) => Value::Str(s.clone()),
            ExprKind::Name(name) => match self.lookup(name) {
                Some(value) => value.clone(),
                None => functions::find(name, self.now),
            },
            ExprKind::List(items) => {
                let items = items.iter().map(|i| self.eval(i)).collect::<Result<_, _>>()?;
                Value::list(items, self.budget)?
            }
            ExprKind::Tuple(items) => {
                let items = items.iter().map(|i| self.eval(i)).collect::<Result<_, _>>()?;
                Value::tuple(items, self.budget)?
            }
            ExprKind::Dict(entries) => {
                let mut map = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    map.push((self.eval(key)?, self.eval(value)?));
                }
                Value::map(map, self.budget)?
            }
            ExprKind::Not(value) => Value::Bool(!self.eval(value)?.is_true()),
            ExprKind::Negate(value) => ops::negate(&self.eval(value)?)?,
            ExprKind::Plus(value) => {
                let value = self.eval(value)?;
                if value.as_float().is_none() {
                    return Err(fault(format!("a {} is not a number", value.kind())));
                }
                value
            }
            ExprKind::And(a, b) => {
                let a = self.eval(a)?;
                if a.is_true() { self.eval(b)? } else { a }
            }
            ExprKind::Or(a, b) => {
                let a = self.eval(a)?;
                if a.is_true() { a } else { self.eval(b)? }
            }
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                ops::binary(*op, &a, &b, self.budget)?
            }
            ExprKind::Compare(first, rest) => {
                let mut left = self.eval(first)?;
                for (op, right) in rest {
                    let right = self.eval(right)?;
                    if !ops::compare(*op, &left, &right, self.budget)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            ExprKind::Conditional(condition, then, otherwise) => {
                if self.eval(condition)?.is_true() {
                    self.eval(then)?
                } else {
                    otherwise.as_ref().map_or(Ok(Value::Undefined), |e| self.eval(e))?
                }
            }
            ExprKind::Attribute(value, name) => {
                let object = self.eval(value)?;
                if matches!(object, Value::Undefined) {
                    return Err(undefined(value));
                }
                methods::attribute(&object, name)
            }
            ExprKind::Index(value, index) => {
                let object = self.eval(value)?;
                if matches!(object, Value::Undefined) {
                    return Err(undefined(value));
                }
                let index = self.eval(index)?;
                ops::index(&object, &index, self.budget)?
            }
            ExprKind::Slice(value, parts) => {
                let value = self.eval(value)?;
                let mut bounds = [const { Value::None }; 3];
                for (bound, part) in bounds.iter_mut().zip(parts) {
                    if let Some(part) = part {
                        *bound = self.eval(part)?;
                    }
                }
                let [start, stop, step] = &bounds;
                ops::slice(&value, [start, stop, step], self.budget)?
            }
            ExprKind::Call(callee, args) => self.call(callee, args, None)?,
            ExprKind::Filter(value, call) => {
                let value = self.eval(value)?;
                self.filter(value, call)?
            }
            ExprKind::Test { value, name, test, args, negated } => {
                let Some(test) = test else { return Err(fault(format!("unknown test '{name}'"))) };
                let value = self.eval(value)?;
                let args = self.args(args)?;
                Value::Bool(test(&value, &args, self.budget)? != *negated)
            }
        })
    }

    fn args(&mut self, args: &'t Args) -> Result<CallArgs, Fault> {
        let positional = args.positional.iter().map(|a| self.eval(a)).collect::<Result<_, _>>()?;
        let named =
            args.named.iter().map(|(n, a)| Ok((n.clone(), self.eval(a)?))).collect::<Result<_, _>>()?;
        Ok(CallArgs { positional, named })
    }

    fn filter(&mut self, value: Value, call: &'t FilterCall) -> Result<Value, Fault> {
        let Some(filter) = call.filter else {
            return Err(fault(format!("unknown filter '{}'", call.name)).at(call.line));
        };
        let args = self.args(&call.args)?;
        filter(&value, &args, self.budget).map_err(|e| e.at(call.line))
    }

    fn call(&mut self, callee: &'t Expr, args: &'t Args, caller: Option<Value>) -> Result<Value, Fault> {
        let function = if let ExprKind::Attribute(value, name) = &callee.kind {
            let object = self.eval(value)?;
            if matches!(object, Value::Undefined) {
                return Err(undefined(value));
            }
            match methods::attribute(&object, name) {
                function @ Value::Macro { .. } => function,
                _ => {
                    let args = self.args(args)?;
                    return methods::call(&object, name, &args, self.budget);
                }
            }
        } else {
            self.eval(callee)?
        };
        let args = self.args(args)?;
        match function {
            Value::Macro { index, scope } => self.call_macro(index, scope, args, caller),
            Value::Function(name) => functions::call(name, &args, self.now, self.budget),
            Value::Undefined => Err(undefined(callee)),
            other => Err(fault(format!("a {} cannot be called", other.kind()))),
        }
    }

    fn call_macro(
        &mut self,
        index: usize,
        scope: usize,
        args: CallArgs,
        caller: Option<Value>,
    ) -> Result<Value, Fault> {
        let definition = &self.ast.macros[index];
        if args.positional.len() > definition.params.len() {
            return Err(fault(format!("too many arguments for '{}'", definition.name)));
        }
        if let Some((name, _)) = args.named.iter().find(|(n, _)| !definition.params.iter().any(|p| p.0 == *n))
        {
            return Err(fault(format!("'{}' has no argument '{name}'", definition.name)));
        }
        self.captured(|r| {
            r.scoped(scope, |r| {
                let mut positional = args.positional.into_iter();
                for (name, default) in &definition.params {
                    let given = positional
                        .next()
                        .or_else(|| args.named.iter().find(|(n, _)| n == name).map(|a| a.1.clone()));
                    let value = match (given, default) {
                        (Some(value), _) => value,
                        (None, Some(default)) => r.eval(default)?,
                        (None, None) => Value::Undefined,
                    };
                    r.assign(name, value);
                }
                if let Some(caller) = caller {
                    r.assign(&"caller".into(), caller);
                }
                r.body(&definition.body).map(drop)
            })
        })
    }
}

fn undefined(expr: &Expr) -> Fault {
    match &expr.kind {
        ExprKind::Name(name) => fault(format!("'{name}' is undefined")),
        ExprKind::Attribute(_, name) => fault(format!("the attribute '{name}' is undefined")),
        _ => fault("the value is undefined"),
    }
}
