//! Objects as numbers that the JVM keeps.
//!
//! A handle is never dereferenced. It says where in a table its object is, which use of that place it belongs to
//! (generation), and what it is (tag); whatever does not agree is no handle, however it came about. 0 is none.

use std::sync::{PoisonError, RwLock};

use jni::sys::jlong;

use crate::failure::Failure;

/// Bits of a handle, from the lowest: place, generation, tag. The sign is left alone.
const PLACE_BITS: u32 = 28;
const GENERATION_BITS: u32 = 32;
const GENERATION: u64 = (1 << GENERATION_BITS) - 1;

/// The objects of one class. `T` is cheap to clone: an `Arc` inside.
pub(crate) struct Table<T> {
    tag: u64,
    what: &'static str,
    places: RwLock<Vec<Place<T>>>,
}

struct Place<T> {
    generation: u64,
    object: Option<T>,
}

impl<T: Clone> Table<T> {
    /// `tag` is 1 to 7 and different for each class, which `what` names to the user.
    pub(crate) const fn new(tag: u64, what: &'static str) -> Self {
        Self { tag, what, places: RwLock::new(Vec::new()) }
    }

    pub(crate) fn insert(&self, object: T) -> Result<jlong, Failure> {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let place = match places.iter().position(|p| p.object.is_none() && p.generation < GENERATION) {
            Some(place) => place,
            None if places.len() < 1 << PLACE_BITS => {
                places.push(Place { generation: 0, object: None });
                places.len() - 1
            }
            None => return Err(Failure::State(format!("more open {}s than can be counted", self.what))),
        };
        let slot = &mut places[place];
        slot.generation += 1;
        slot.object = Some(object);
        let handle =
            (self.tag << (PLACE_BITS + GENERATION_BITS)) | (slot.generation << PLACE_BITS) | place as u64;
        Ok(handle as jlong)
    }

    /// The object, which stays alive as long as the caller keeps it, whoever closes the handle meanwhile.
    pub(crate) fn get(&self, handle: jlong) -> Result<T, Failure> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        self.place(handle, &places)
            .and_then(|place| places[place].object.clone())
            .ok_or_else(|| self.closed())
    }

    /// Takes the object out of the table; the handle is none from now on.
    pub(crate) fn remove(&self, handle: jlong) -> Result<T, Failure> {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let object = self.place(handle, &places).and_then(|place| places[place].object.take());
        drop(places); // what the object frees, it frees outside the lock
        object.ok_or_else(|| self.closed())
    }

    fn place(&self, handle: jlong, places: &[Place<T>]) -> Option<usize> {
        let handle = u64::try_from(handle).ok()?;
        let place = (handle & ((1 << PLACE_BITS) - 1)) as usize;
        let generation = (handle >> PLACE_BITS) & GENERATION;
        let found = handle >> (PLACE_BITS + GENERATION_BITS) == self.tag;
        (found && places.get(place)?.generation == generation).then_some(place)
    }

    fn closed(&self) -> Failure {
        Failure::State(format!("this {} is closed", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn only_the_handle_of_an_open_object_finds_it() {
        let (birds, trees) = (Table::new(1, "bird"), Table::new(2, "tree"));
        let siskin = birds.insert(Arc::new("siskin")).ok().expect("there is room");
        let alder = trees.insert(Arc::new("alder")).ok().expect("there is room");
        assert_eq!(*birds.get(siskin).ok().expect("open"), "siskin");
        assert!(birds.get(alder).is_err() && trees.get(siskin).is_err(), "of the other class");
        for invented in [0, 1, -1, siskin + 1, siskin - 1, siskin ^ 1 << 30, jlong::MIN, jlong::MAX] {
            assert!(birds.get(invented).is_err(), "{invented}");
        }
        assert!(birds.remove(siskin).is_ok());
        assert!(birds.get(siskin).is_err() && birds.remove(siskin).is_err(), "closed");
        let finch = birds.insert(Arc::new("finch")).ok().expect("there is room");
        assert_ne!(finch, siskin, "the same place, another generation");
        assert!(birds.get(siskin).is_err());
    }
}
