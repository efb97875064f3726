//! Cells for tests that can be shared between threads, because the program's futures are `Send`. They never wait: a second
//! mutable borrow panics, as with the cells of the standard library.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

/// Like `std::cell::RefCell`.
#[derive(Debug, Default)]
pub(crate) struct RefCell<T>(RwLock<T>);

/// Like `std::cell::Cell`.
#[derive(Debug, Default)]
pub(crate) struct Cell<T>(RefCell<T>);

impl<T> RefCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        match self.0.try_read() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("it is already borrowed mutably"),
        }
    }

    pub(crate) fn borrow_mut(&self) -> RwLockWriteGuard<'_, T> {
        match self.0.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("it is already borrowed"),
        }
    }

    pub(crate) fn take(&self) -> T
    where
        T: Default,
    {
        std::mem::take(&mut *self.borrow_mut())
    }
}

impl<T> Cell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    pub(crate) fn get(&self) -> T
    where
        T: Copy,
    {
        *self.0.borrow()
    }

    pub(crate) fn set(&self, value: T) {
        *self.0.borrow_mut() = value;
    }

    pub(crate) fn replace(&self, value: T) -> T {
        std::mem::replace(&mut *self.0.borrow_mut(), value)
    }

    pub(crate) fn take(&self) -> T
    where
        T: Default,
    {
        self.0.take()
    }
}
