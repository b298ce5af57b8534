//! The C library's random bytes, which inside a simulation come from its seed.
//!
//! The standard library's hash maps and `tokio::select!` draw from there, not from crate `clock`. Overriding
//! the function makes their choices repeatable, while each seed still tries others.

use std::cell::Cell;
use std::ffi::{c_uint, c_void};

thread_local! {
    /// SplitMix64's state. (Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators)
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes everything that this thread asks of the C library follow from `seed`, until the thread ends.
pub fn seed(seed: u64) {
    STATE.set(Some(seed));
}

fn next(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ (mixed >> 31))
}

fn fill(buffer: &mut [u8], mut state: u64) {
    for chunk in buffer.chunks_mut(8) {
        let (moved, number) = next(state);
        state = moved;
        chunk.copy_from_slice(&number.to_ne_bytes()[..chunk.len()]);
    }
    STATE.set(Some(state));
}

/// Stands before the C library's function of this name; without a seed it asks the kernel, as that one does.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as for the function it replaces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    match STATE.get() {
        Some(state) => {
            // SAFETY: the caller promises that the buffer has `length` bytes, and nobody else holds it.
            fill(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), length) }, state);
            length.cast_signed()
        }
        // SAFETY: the arguments are the caller's, for the call they are meant for.
        None => unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize },
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    fn keys(number: u64) -> [u64; 2] {
        let draw = move || {
            super::seed(number);
            [RandomState::new(), RandomState::new()].map(|state| state.hash_one("key"))
        };
        std::thread::spawn(draw).join().expect("drawing does not fail")
    }

    #[test]
    fn hash_maps_take_their_keys_from_the_seed() {
        assert_eq!(keys(1), keys(1));
        assert_ne!(keys(1), keys(2));
    }
}
