//! Time and randomness: the only crate that reads either.
//!
//! Everything else takes both from here, so that a test can own them: inside [`simulate`] the wall
//! clock follows tokio's paused clock from a fixed epoch, and names, uids and jitter come from one seed.
//! Threads race each other, which is chance too: work that blocks goes through [`offload`].

use std::cell::RefCell;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const HEX: &[u8; 16] = b"0123456789abcdef";
/// What a generated name may hold: upstream's alphabet, without vowels and look-alikes.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Where simulated time starts.
const SIMULATED_EPOCH: Timestamp = Timestamp::constant(1_767_225_600, 0);

struct Simulation {
    started: tokio::time::Instant,
    random: StdRng,
}

thread_local! {
    static SIMULATION: RefCell<Option<Simulation>> = const { RefCell::new(None) };
}

/// Ends the simulation of its thread when dropped.
#[must_use = "the simulation ends when this is dropped"]
pub struct SimulationGuard(());

impl Drop for SimulationGuard {
    fn drop(&mut self) {
        SIMULATION.with_borrow_mut(|simulation| *simulation = None);
    }
}

/// Makes time and randomness of this thread follow tokio's clock and `seed`.
///
/// Call it inside a current-thread runtime that was started with paused time.
pub fn simulate(seed: u64) -> SimulationGuard {
    let simulation = Simulation { started: tokio::time::Instant::now(), random: StdRng::seed_from_u64(seed) };
    SIMULATION.with_borrow_mut(|slot| *slot = Some(simulation));
    SimulationGuard(())
}

/// The present instant of the wall clock.
pub fn now() -> Timestamp {
    SIMULATION.with_borrow(|simulation| match simulation {
        Some(simulation) => SIMULATED_EPOCH + simulation.started.elapsed(),
        None => Timestamp::now(),
    })
}

/// The present instant, cut to whole seconds, as `metav1.Time` carries it.
pub fn now_seconds() -> Timestamp {
    to_seconds(now())
}

/// `at` cut to whole seconds.
pub fn to_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("a second of a valid timestamp is valid")
}

/// Time that has passed since `then`; zero if `then` lies ahead.
pub fn since(then: Timestamp) -> Duration {
    let passed: SignedDuration = now().duration_since(then);
    passed.try_into().unwrap_or(Duration::ZERO)
}

/// `metav1.Time`: RFC 3339 in UTC with whole seconds.
pub fn format_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: RFC 3339 in UTC with six fractional digits.
pub fn format_micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A monotonic instant that follows tokio's clock, paused or not.
pub fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Runs work that blocks on a thread of its own, or at once inside a simulation, where no thread may race another.
///
/// Dropping the future does not stop the work.
///
/// # Panics
/// If the work does.
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    if SIMULATION.with_borrow(Option::is_some) {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this future with it.
        Err(_) => std::future::pending().await,
    }
}

fn with_random<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
    SIMULATION.with_borrow_mut(|simulation| match simulation {
        Some(simulation) => draw(&mut simulation.random),
        None => draw(&mut rand::rng()),
    })
}

/// Fills `buffer` with random bytes, fit for keys outside a simulation.
pub fn fill_random(buffer: &mut [u8]) {
    with_random(|random| random.fill_bytes(buffer));
}

/// A random version 4 UUID in its usual text form.
pub fn uuid() -> String {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    // Every answer of the server carries one.
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.into_iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.extend([byte >> 4, byte & 0x0f].map(|digit| char::from(HEX[usize::from(digit)])));
    }
    text
}

/// `length` random characters of upstream's name alphabet, as `generateName` appends them.
pub fn name_suffix(length: usize) -> String {
    (0..length).map(|_| char::from(SUFFIX_ALPHABET[random_below(SUFFIX_ALPHABET.len())])).collect()
}

/// A random number under `bound`, which must not be zero.
pub fn random_below(bound: usize) -> usize {
    with_random(|random| random.random_range(0..bound))
}

/// `base` stretched by up to `factor` of itself, to spread what would come at once.
pub fn jitter(base: Duration, factor: f64) -> Duration {
    let share = with_random(|random| random.random_range(0.0..1.0));
    base.mul_f64(1.0 + share * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_follows_tokio_and_the_seed() {
        let draws = || (now(), uuid(), name_suffix(5));
        let first = {
            let _guard = simulate(7);
            draws()
        };
        let _guard = simulate(7);
        assert_eq!(first, draws());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(now(), SIMULATED_EPOCH + Duration::from_secs(60));
    }

    #[tokio::test]
    async fn work_that_blocks_runs_on_this_thread_only_in_a_simulation() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_ne!(offload(thread).await, here);
        let _guard = simulate(7);
        assert_eq!(offload(thread).await, here);
    }

    #[test]
    fn a_uuid_is_of_version_4() {
        let _guard = simulate(7);
        let uuid = uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert!(uuid.chars().all(|c| c == '-' || matches!(c, '0'..='9' | 'a'..='f')), "{uuid}");
        assert!(uuid[14..].starts_with('4') && matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
    }

    #[test]
    fn times_are_printed_as_the_api_prints_them() {
        let at = Timestamp::new(1_767_225_600, 120_000_000).unwrap();
        assert_eq!(format_time(at), "2026-01-01T00:00:00Z");
        assert_eq!(format_micro_time(at), "2026-01-01T00:00:00.120000Z");
    }
}
