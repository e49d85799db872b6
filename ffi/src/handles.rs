//! The table behind the handles.
//!
//! A handle is a number: the kind of object, the place in the table, and how often that place was given away. It is
//! looked up, never followed. A place that is freed gets a new number before it is used again, so an old handle finds
//! nothing; it would take 2^32 objects in one place (2^16 on 32-bit machines) for a number to come again.
//!
//! Each place has a cell that [`cancel`] touches without a lock: it holds the handle of the job that has the place, and
//! cancelling swaps it for its complement. That is one lock-free operation on memory that is never freed, so it may be
//! done in a signal handler, and a handle of a job that is gone cancels nothing.
//!
//! The table is the one piece of global state of the library, because handles must be checkable without trusting them.

use siskin::{Error, Model, Picture, SharedEmbedder, SharedModerator, SharedSession, Vision};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::boundary::{Failure, Result};
use crate::job::JobObject;
use crate::result::siskin_result;

/// What a handle can stand for.
#[derive(Clone)]
pub(crate) enum Object {
    Model(Model),
    Session(SharedSession),
    Job(Arc<JobObject>),
    Error(Arc<(siskin_result, Error)>),
    Text(Arc<str>),
    Tokens(Arc<[u32]>),
    Embedder(SharedEmbedder),
    Vision(Vision),
    Picture(Picture),
    Moderator(SharedModerator),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Model = 1,
    Session,
    Job,
    Error,
    Text,
    Tokens,
    Embedder,
    Vision,
    Picture,
    Moderator,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Model => "siskin_model",
            Self::Session => "siskin_session",
            Self::Job => "siskin_job",
            Self::Error => "siskin_error",
            Self::Text => "siskin_text",
            Self::Tokens => "siskin_tokens",
            Self::Embedder => "siskin_embedder",
            Self::Vision => "siskin_vision",
            Self::Picture => "siskin_picture",
            Self::Moderator => "siskin_moderator",
        }
    }
}

impl Object {
    fn kind(&self) -> Kind {
        match self {
            Self::Model(_) => Kind::Model,
            Self::Session(_) => Kind::Session,
            Self::Job(_) => Kind::Job,
            Self::Error(_) => Kind::Error,
            Self::Text(_) => Kind::Text,
            Self::Tokens(_) => Kind::Tokens,
            Self::Embedder(_) => Kind::Embedder,
            Self::Vision(_) => Kind::Vision,
            Self::Picture(_) => Kind::Picture,
            Self::Moderator(_) => Kind::Moderator,
        }
    }
}

// From the lowest bit: place, number of the owner, kind.
const WIDE: bool = usize::BITS >= 64;
const PLACE_BITS: u32 = if WIDE { 24 } else { 12 };
const OWNER_BITS: u32 = if WIDE { 32 } else { 16 };
const PLACES: usize = 1 << PLACE_BITS;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Handle {
    kind: u8,
    owner: u32,
    place: usize,
}

impl Handle {
    fn from_ptr(ptr: *const c_void) -> Self {
        let bits = ptr.addr();
        Self {
            kind: (bits >> (PLACE_BITS + OWNER_BITS)) as u8,
            owner: (bits >> PLACE_BITS) as u32 & (u32::MAX >> (32 - OWNER_BITS)),
            place: bits & (PLACES - 1),
        }
    }

    fn bits(self) -> usize {
        usize::from(self.kind) << (PLACE_BITS + OWNER_BITS) | (self.owner as usize) << PLACE_BITS | self.place
    }
}

struct Place {
    owner: u32,
    object: Option<Object>,
}

#[derive(Default)]
struct Table {
    places: Vec<Place>,
    free: Vec<usize>,
}

static TABLE: RwLock<Table> = RwLock::new(Table { places: Vec::new(), free: Vec::new() });

fn read<R>(f: impl FnOnce(&Table) -> R) -> R {
    f(&TABLE.read().unwrap_or_else(PoisonError::into_inner))
}

fn write<R>(f: impl FnOnce(&mut Table) -> R) -> R {
    f(&mut TABLE.write().unwrap_or_else(PoisonError::into_inner))
}

/// Puts an object into the table; `None` if it is full.
pub(crate) fn insert(object: Object) -> Option<*mut c_void> {
    insert_with(object.kind(), |_| Ok(object)).ok().flatten()
}

/// The same for an object that is made from the bits of its own handle.
pub(crate) fn insert_with(
    kind: Kind,
    make: impl FnOnce(u64) -> Result<Object>,
) -> Result<Option<*mut c_void>> {
    let reserved = write(|table| {
        let place =
            table.free.pop().or_else(|| (table.places.len() < PLACES).then_some(table.places.len()))?;
        if place == table.places.len() {
            table.places.push(Place { owner: 0, object: None });
        }
        Some((place, table.places[place].owner))
    });
    let Some((place, owner)) = reserved else { return Ok(None) };
    let bits = Handle { kind: kind as u8, owner, place }.bits();
    match make(bits as u64) {
        Ok(object) => write(|table| table.places[place].object = Some(object)),
        Err(failure) => {
            write(|table| table.free.push(place));
            return Err(failure);
        }
    }
    Ok(Some(std::ptr::without_provenance_mut(bits)))
}

/// The object of a handle, if it is of this kind.
fn find(ptr: *const c_void, kind: Kind) -> Option<Object> {
    let handle = Handle::from_ptr(ptr);
    if handle.kind != kind as u8 || handle.bits() != ptr.addr() {
        return None;
    }
    read(|table| table.places.get(handle.place).filter(|p| p.owner == handle.owner)?.object.clone())
}

/// Takes the object of a handle out of the table. Its place gets the next number.
fn take(ptr: *const c_void, kind: Kind) -> Option<Object> {
    let handle = Handle::from_ptr(ptr);
    if handle.kind != kind as u8 || handle.bits() != ptr.addr() {
        return None;
    }
    write(|table| {
        let place = table.places.get_mut(handle.place).filter(|p| p.owner == handle.owner)?;
        let object = place.object.take()?;
        if kind == Kind::Job {
            // Cancels the job, and lets its handle cancel nothing any more; before the place can get a new owner.
            cell(handle.bits() as u64).store(0, Ordering::Relaxed);
        }
        place.owner = (place.owner + 1) & (u32::MAX >> (32 - OWNER_BITS));
        table.free.push(handle.place);
        Some(object)
    })
}

fn invalid(kind: Kind) -> Failure {
    let message =
        format!("this is no {} in use: it was freed, is of another kind, or never was one", kind.name());
    Failure::new(siskin_result::SISKIN_RESULT_INVALID_HANDLE, message)
}

fn null(kind: Kind) -> Failure {
    Failure::new(siskin_result::SISKIN_RESULT_NULL_POINTER, format!("the {} is NULL", kind.name()))
}

/// Frees a handle. NULL is fine. The object is dropped outside of any lock.
pub(crate) fn free(ptr: *const c_void, kind: Kind) -> Result<()> {
    if ptr.is_null() {
        return Ok(());
    }
    take(ptr, kind).map(drop).ok_or_else(|| invalid(kind))
}

macro_rules! lookups {
    ($($function:ident: $kind:ident -> $object:ty;)+) => {
        $(
            pub(crate) fn $function(ptr: *const impl Sized) -> Result<$object> {
                let ptr: *const c_void = ptr.cast();
                if ptr.is_null() {
                    return Err(null(Kind::$kind));
                }
                match find(ptr, Kind::$kind) {
                    Some(Object::$kind(object)) => Ok(object),
                    _ => Err(invalid(Kind::$kind)),
                }
            }
        )+
    };
}
lookups! {
    model: Model -> Model;
    session: Session -> SharedSession;
    job: Job -> Arc<JobObject>;
    error: Error -> Arc<(siskin_result, Error)>;
    text: Text -> Arc<str>;
    tokens: Tokens -> Arc<[u32]>;
    embedder: Embedder -> SharedEmbedder;
    vision: Vision -> Vision;
    picture: Picture -> Picture;
    moderator: Moderator -> SharedModerator;
}

/// Cells by place, in segments of 64, 128, 256 ... that are never freed or moved.
static CELLS: [OnceLock<Box<[Arc<AtomicU64>]>>; PLACE_BITS as usize] =
    [const { OnceLock::new() }; PLACE_BITS as usize];

/// Segment of a place, and where in it.
fn cell_at(place: usize) -> (usize, usize) {
    let n = place + 64;
    let segment = n.ilog2() as usize - 6;
    (segment, n - (64 << segment))
}

/// The cell of a place, which may have to be made.
pub(crate) fn cell(bits: u64) -> Arc<AtomicU64> {
    let (segment, index) = cell_at(bits as usize & (PLACES - 1));
    let cells = CELLS[segment].get_or_init(|| (0..64 << segment).map(|_| Arc::default()).collect());
    Arc::clone(&cells[index])
}

/// Cancels the job with this handle. Async-signal-safe: loads and one compare-and-swap. Says whether there is such a job.
pub(crate) fn cancel(ptr: *const c_void) -> bool {
    let handle = Handle::from_ptr(ptr);
    if handle.kind != Kind::Job as u8 {
        return false;
    }
    let (segment, index) = cell_at(handle.place);
    let Some(cell) = CELLS.get(segment).and_then(OnceLock::get).and_then(|cells| cells.get(index)) else {
        return false;
    };
    let bits = ptr.addr() as u64;
    match cell.compare_exchange(bits, !bits, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => true,
        Err(now) => now == !bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> *mut c_void {
        insert(Object::Text(s.into())).expect("the table is not full")
    }

    #[test]
    fn a_freed_handle_stays_freed_when_its_place_is_used_again() {
        let first = text("first");
        assert_eq!(&*super::text(first).ok().expect("in use"), "first");
        assert!(free(first, Kind::Text).is_ok());
        let many: Vec<_> = (0..100).map(|i| text(&i.to_string())).collect();
        assert!(super::text(first).is_err() && free(first, Kind::Text).is_err(), "freed twice");
        assert!(many.iter().all(|&h| super::text(h).is_ok() && super::model(h).is_err() && h != first));
        assert!(many.iter().all(|&h| free(h, Kind::Job).is_err() && free(h, Kind::Text).is_ok()));
    }

    #[test]
    fn garbage_is_no_handle() {
        let real = text("x");
        for bits in [1, 8, 0xdead_beef, usize::MAX, real.addr() ^ 1 << 23, real.addr() ^ 1 << 40] {
            let ptr = std::ptr::without_provenance::<c_void>(bits);
            assert!(super::text(ptr).is_err() && free(ptr, Kind::Text).is_err() && !cancel(ptr));
        }
        assert!(free(real, Kind::Text).is_ok() && free(std::ptr::null(), Kind::Text).is_ok());
    }

    #[test]
    fn every_place_has_its_own_cell() {
        let all: Vec<_> = (0..5000).map(cell_at).collect();
        for (i, &(segment, index)) in all.iter().enumerate() {
            assert!(index < 64 << segment && segment < PLACE_BITS as usize);
            assert_eq!((64 << segment) - 64 + index, i);
        }
        let (last, index) = cell_at(PLACES - 1);
        assert!(last < PLACE_BITS as usize && index < 64 << last);
    }

    #[test]
    fn the_number_of_a_place_comes_round() {
        // With few owner bits it would: what counts is that the mask is the field's own.
        let handle = Handle { kind: 3, owner: u32::MAX >> (32 - OWNER_BITS), place: PLACES - 1 };
        let ptr = std::ptr::without_provenance::<c_void>(handle.bits());
        assert!(Handle::from_ptr(ptr) == handle);
    }
}
