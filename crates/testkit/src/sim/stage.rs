//! The thread that a simulation lives on: its runtime, its paused clock, its seed.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;

use super::entropy;

type Job<W> = Box<dyn FnOnce(&Runtime, &mut W) + Send>;

/// Owns a world `W` that only its own thread touches. Time stands still between two jobs.
pub struct Stage<W> {
    jobs: Option<mpsc::Sender<Job<W>>>,
    thread: Option<JoinHandle<()>>,
}

impl<W: 'static> Stage<W> {
    /// Starts the thread and makes the world in it.
    pub fn new(seed: u64, make: impl AsyncFnOnce() -> W + Send + 'static) -> Self {
        let (jobs, queue) = mpsc::channel();
        // Hash maps take their keys once for each thread, so each simulation needs a new one.
        let name = std::thread::current().name().unwrap_or("simulation").to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || play(seed, make, &queue));
        let thread = thread.expect("a thread can be made");
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Runs `job` and waits for it. A panic in it goes on here.
    pub fn run<T: Send + 'static>(&mut self, job: impl AsyncFnOnce(&mut W) -> T + Send + 'static) -> T {
        let (sender, answer) = mpsc::sync_channel(1);
        let job: Job<W> = Box::new(move |runtime, world| {
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(job(world))));
            sender.send(done).expect("the caller waits for the answer");
        });
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        match answer.recv() {
            Ok(Ok(done)) if sent => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            _ => std::panic::resume_unwind(self.ended()),
        }
    }

    /// Why the thread ended although there are jobs.
    fn ended(&mut self) -> Box<dyn Any + Send> {
        let thread = self.thread.take().expect("a stage ends once");
        thread.join().expect_err("the thread ends by itself only when it panics")
    }
}

impl<W> Drop for Stage<W> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the simulation ended with a panic");
        }
    }
}

fn play<W>(seed: u64, make: impl AsyncFnOnce() -> W, jobs: &mpsc::Receiver<Job<W>>) {
    entropy::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    let _simulation = runtime.block_on(async { clock::simulate(seed) });
    let mut world = runtime.block_on(make());
    for job in jobs {
        job(&runtime, &mut world);
    }
    // Tasks see the world's end before their own.
    drop(world);
}
