//! What a parsed template is. Every node knows its line, for errors.

use super::filters::Filter;
use super::predicates::Predicate;
use std::sync::Arc;

/// A whole template.
#[derive(Debug)]
pub(super) struct Ast {
    pub(super) body: Vec<Stmt>,
    /// Macros and call blocks, wherever they stand; statements name them by index.
    pub(super) macros: Vec<Macro>,
}

#[derive(Debug)]
pub(super) struct Stmt {
    pub(super) line: u32,
    pub(super) kind: StmtKind,
}

#[derive(Debug)]
pub(super) enum StmtKind {
    /// Text outside of tags.
    Text(Box<str>),
    /// `{{ expression }}`
    Emit(Expr),
    /// Conditions with their bodies, then the `else` body.
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    For(Box<For>),
    Set(Target, Expr),
    /// `{% set x | filters %} … {% endset %}`
    SetBlock(Target, Vec<FilterCall>, Vec<Stmt>),
    /// Defines `macros[i]`.
    Macro(usize),
    /// `{% call(args) f(…) %} … {% endcall %}`: the call, and the macro that is its `caller`.
    Call(Expr, usize),
    /// `{% filter f %} … {% endfilter %}`
    Filter(Vec<FilterCall>, Vec<Stmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) iter: Expr,
    pub(super) condition: Option<Expr>,
    pub(super) body: Vec<Stmt>,
    pub(super) otherwise: Vec<Stmt>,
}

/// What an assignment assigns to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    /// `namespace.attribute`
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Arc<str>,
    pub(super) params: Params,
    pub(super) body: Vec<Stmt>,
}

/// Parameters with their defaults.
pub(super) type Params = Vec<(Arc<str>, Option<Expr>)>;

/// A filter with its arguments. An unknown name is an error only when it is reached, as templates guard such uses.
#[derive(Debug)]
pub(super) struct FilterCall {
    pub(super) line: u32,
    pub(super) name: Arc<str>,
    pub(super) filter: Option<Filter>,
    pub(super) args: Args,
}

#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Expr>,
    pub(super) named: Vec<(Arc<str>, Expr)>,
}

#[derive(Debug)]
pub(super) struct Expr {
    pub(super) line: u32,
    /// Levels of nodes, this one included.
    pub(super) depth: usize,
    pub(super) kind: ExprKind,
}

#[derive(Debug)]
pub(super) enum ExprKind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a < b <= c`
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    /// `then if condition else otherwise`, in the order condition, then, otherwise.
    Conditional(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    Attribute(Box<Expr>, Arc<str>),
    Index(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Args),
    Filter(Box<Expr>, FilterCall),
    Test {
        value: Box<Expr>,
        name: Arc<str>,
        test: Option<Predicate>,
        args: Args,
        negated: bool,
    },
}

impl Args {
    fn depth(&self) -> usize {
        deepest(self.positional.iter().chain(self.named.iter().map(|a| &a.1)))
    }
}

fn deepest<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> usize {
    expressions.into_iter().map(|e| e.depth).max().unwrap_or(0)
}

impl ExprKind {
    /// Levels of nodes below.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Str(_) | Self::Name(_) => 0,
            Self::List(items) | Self::Tuple(items) => deepest(items),
            Self::Dict(entries) => deepest(entries.iter().flat_map(|(k, v)| [k, v])),
            Self::Not(a) | Self::Negate(a) | Self::Plus(a) | Self::Attribute(a, _) => a.depth,
            Self::And(a, b) | Self::Or(a, b) | Self::Binary(_, a, b) | Self::Index(a, b) => {
                a.depth.max(b.depth)
            }
            Self::Compare(a, rest) => a.depth.max(deepest(rest.iter().map(|r| &r.1))),
            Self::Conditional(a, b, c) => a.depth.max(b.depth).max(c.as_ref().map_or(0, |c| c.depth)),
            Self::Slice(a, parts) => a.depth.max(deepest(parts.iter().flatten().map(|p| &**p))),
            Self::Call(a, args) => a.depth.max(args.depth()),
            Self::Filter(a, call) => a.depth.max(call.args.depth()),
            Self::Test { value, args, .. } => value.depth.max(args.depth()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
    Concat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
