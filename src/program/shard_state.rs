//! Values of the program's own, one per shard.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;

/// How each shard makes one value of its own.
#[derive(Clone)]
pub(crate) struct ShardState {
    of: TypeId,
    make: Box<dyn Make>,
}

/// A closure that makes values.
trait Make: Send {
    fn clone_box(&self) -> Box<dyn Make>;
    fn make(&self) -> Box<dyn Any>;
}

impl<T, F> Make for F
where
    T: Clone + 'static,
    F: Fn() -> T + Clone + Send + 'static,
{
    fn clone_box(&self) -> Box<dyn Make> {
        Box::new(self.clone())
    }

    fn make(&self) -> Box<dyn Any> {
        Box::new(self())
    }
}

impl Clone for Box<dyn Make> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

impl ShardState {
    pub(crate) fn new<T: Clone + 'static>(
        make: impl Fn() -> T + Clone + Send + 'static,
    ) -> ShardState {
        ShardState { of: TypeId::of::<T>(), make: Box::new(make) }
    }
}

/// One shard's values, made on its own thread.
pub(crate) struct ShardStates(RefCell<HashMap<TypeId, Box<dyn Any>>>);

impl ShardStates {
    pub(crate) fn new(states: &[ShardState]) -> ShardStates {
        let values = states.iter().map(|state| (state.of, state.make.as_ref().make()));
        ShardStates(RefCell::new(values.collect()))
    }

    /// A clone of the value of this type; none when the program did not say how to make one.
    pub(crate) fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.0.borrow().get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }

    /// Gives the values up: they may hold handles to the shard that holds them.
    pub(crate) fn end(&self) -> impl Iterator<Item = Box<dyn Any>> {
        self.0.take().into_values()
    }
}
