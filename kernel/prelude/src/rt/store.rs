//! Variables between cells: values without their types, which only the generated code knows.

use std::alloc::Layout;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static STORE: LazyLock<Mutex<HashMap<String, Stored>>> = LazyLock::new(Mutex::default);

/// A value on the heap, with what it takes to drop it.
struct Stored {
    value: *mut u8,
    layout: Layout,
    drop: unsafe fn(*mut u8),
}

// SAFETY: cells run one at a time; what a user shares with threads of their own, rustc has checked in their cell.
unsafe impl Send for Stored {}

impl Drop for Stored {
    fn drop(&mut self) {
        // SAFETY: `value` came from `Box::into_raw` together with this function, and `take` forgets `self`.
        unsafe { (self.drop)(self.value) };
    }
}

/// Takes a variable out.
///
/// # Safety
/// `T` is the type that was put, or the same type compiled again from the same source.
///
/// # Panics
/// If there is no such variable, or it has another size: then the kernel's list and this one have come apart.
pub unsafe fn take<T>(name: &str) -> T {
    let value = remove(name, Layout::new::<T>());
    // SAFETY: the caller knows the type, and the value is no longer in the store.
    *unsafe { Box::from_raw(value.cast::<T>()) }
}

/// Puts a variable in; an earlier one of that name is dropped.
pub fn put<T: 'static>(name: &str, value: T) {
    unsafe fn drop_box<T>(value: *mut u8) {
        // SAFETY: called once, with the pointer that `put` made.
        drop(unsafe { Box::from_raw(value.cast::<T>()) });
    }
    let value = Box::into_raw(Box::new(value)).cast();
    insert(name, Stored { value, layout: Layout::new::<T>(), drop: drop_box::<T> });
}

fn remove(name: &str, layout: Layout) -> *mut u8 {
    let Some(stored) = lock().remove(name) else { panic!("the variable `{name}` is not in the store") };
    let stored = std::mem::ManuallyDrop::new(stored);
    assert_eq!(stored.layout, layout, "the variable `{name}` is not of the type that it was");
    stored.value
}

fn insert(name: &str, stored: Stored) {
    let earlier = lock().insert(name.to_owned(), stored);
    // Outside the lock: its destructor is the user's code.
    drop(earlier);
}

/// The identity, for values that may outlive their cell: what borrows from it is refused here.
pub fn own<T: 'static>(value: T) -> T {
    value
}

/// Drops a variable.
pub(super) fn forget(name: &str) {
    let stored = lock().remove(name);
    drop(stored);
}

fn lock() -> MutexGuard<'static, HashMap<String, Stored>> {
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_value_comes_back_once_and_what_is_replaced_or_forgotten_is_dropped() {
        let shared = Rc::new(5);
        put("a", Rc::clone(&shared));
        // SAFETY: it is what was put.
        let back: Rc<i32> = unsafe { take("a") };
        assert_eq!((*back, Rc::strong_count(&shared)), (5, 2));
        put("a", back);
        put("a", 1_u8);
        assert_eq!(Rc::strong_count(&shared), 1);
        put("b", Rc::clone(&shared));
        forget("b");
        assert_eq!(Rc::strong_count(&shared), 1);
    }

    #[test]
    #[should_panic(expected = "not of the type")]
    fn another_size_is_refused() {
        put("c", 1_u8);
        // SAFETY: the size is compared before the value is read.
        let _: u64 = unsafe { take("c") };
    }
}
