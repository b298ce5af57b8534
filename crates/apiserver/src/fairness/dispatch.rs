//! Who is served now, who waits, and who is turned away: the decisions, without time, tasks or objects.
//!
//! A level serves requests while it has seats. Its guaranteed seats are its own; beyond them it takes lent ones,
//! of which there are as many as all levels lend together. A level that has fewer than its nominal seats is
//! first when a lent one becomes free. Within a level the queue that was given least is first.

use std::collections::VecDeque;

use super::deal::deal;
use super::shares::Seats;

/// What becomes of requests that find no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    Reject,
    Queue { queues: usize, hand: usize, length: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Exempt,
    Limited { seats: Seats, overflow: Overflow },
}

/// What is left to a level that is no longer configured.
const NO_SEATS: Limit =
    Limit::Limited { seats: Seats { nominal: 0, guaranteed: 0, most: 0 }, overflow: Overflow::Reject };

/// Why a request is turned away, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    QueueFull,
    ConcurrencyLimit,
}

/// What becomes of a request that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Holds its seats until [`Dispatcher::finish`].
    Served(Place),
    Waits(Place),
    Refused(Refusal),
}

/// Where a request is: its level, its queue if it ever waited, and what it is known by there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub level: usize,
    queue: Option<usize>,
    seats: u32,
    ticket: u64,
}

impl Place {
    pub fn seats(self) -> u32 {
        self.seats
    }
}

struct Waiting<T> {
    ticket: u64,
    seats: u32,
    waiter: T,
}

/// One queue, with the seats that its requests hold and have been given so far.
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    serving: u32,
    given: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), serving: 0, given: 0 }
    }
}

struct Level<T> {
    limit: Limit,
    /// No longer configured: it loses its seats when nothing of it runs or waits.
    retired: bool,
    in_use: u32,
    waiting: usize,
    queues: Vec<Queue<T>>,
}

pub struct Dispatcher<T> {
    levels: Vec<Level<T>>,
    /// Seats that the levels lend together.
    lendable: u32,
    /// Of those, how many are in use.
    borrowed: u32,
    tickets: u64,
}

impl<T> Default for Dispatcher<T> {
    fn default() -> Self {
        Self { levels: Vec::new(), lendable: 0, borrowed: 0, tickets: 0 }
    }
}

impl<T> Level<T> {
    fn new(limit: Limit) -> Self {
        let mut level = Self { limit, retired: false, in_use: 0, waiting: 0, queues: Vec::new() };
        level.set_limit(limit);
        level
    }

    /// Queues that are no longer dealt stay until they are empty.
    fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
        self.retired = false;
        if let Limit::Limited { overflow: Overflow::Queue { queues, .. }, .. } = limit {
            self.queues.resize_with(self.queues.len().max(queues), Queue::default);
        }
    }

    fn seats(&self) -> Seats {
        match self.limit {
            Limit::Exempt => Seats { nominal: u32::MAX, guaranteed: u32::MAX, most: u32::MAX },
            Limit::Limited { seats, .. } => seats,
        }
    }

    fn is_idle(&self) -> bool {
        self.in_use == 0 && self.waiting == 0
    }

    fn borrows(&self) -> u32 {
        self.in_use.saturating_sub(self.seats().guaranteed)
    }

    fn lends(&self) -> u32 {
        match self.limit {
            Limit::Exempt => 0,
            Limit::Limited { seats, .. } => seats.lendable(),
        }
    }

    /// Whether a request with so many seats can be served while so many lent seats are free.
    fn fits(&self, seats: u32, lent: u32) -> bool {
        let Seats { guaranteed, most, .. } = self.seats();
        let wanted = self.in_use.saturating_add(seats);
        let borrows = wanted.saturating_sub(guaranteed) - self.borrows();
        wanted <= most && borrows <= lent
    }

    /// The queue that is next: of those where someone waits the one that was given least, or has waited longest.
    fn next_queue(&self) -> Option<usize> {
        let first = |queue: &Queue<T>| Some((queue.given, queue.waiting.front()?.ticket));
        let busy = self.queues.iter().enumerate().filter_map(|(at, queue)| Some((first(queue)?, at)));
        busy.min().map(|(_, at)| at)
    }

    /// The queue of the hand in which there is least to do.
    fn shortest(&self, hand: &[usize]) -> Option<usize> {
        let load = |queue: &Queue<T>| queue.serving + queue.waiting.iter().map(|of| of.seats).sum::<u32>();
        hand.iter().copied().min_by_key(|at| load(&self.queues[*at]))
    }

    fn enqueue(&mut self, at: usize, waiting: Waiting<T>) {
        // Who comes back after a pause has no claim on what it did not use.
        let least = self.queues.iter().filter(|queue| !queue.waiting.is_empty()).map(|queue| queue.given).min();
        let queue = &mut self.queues[at];
        if queue.waiting.is_empty() {
            queue.given = queue.given.max(least.unwrap_or(queue.given));
        }
        queue.waiting.push_back(waiting);
        self.waiting += 1;
    }
}

impl<T> Dispatcher<T> {
    /// Adds a level without requests, and answers its number.
    pub fn add(&mut self, limit: Limit) -> usize {
        self.levels.push(Level::new(limit));
        self.count_lent();
        self.levels.len() - 1
    }

    /// Answers who is served now that there may be more seats.
    pub fn set_limit(&mut self, level: usize, limit: Limit) -> Vec<T> {
        self.levels[level].set_limit(limit);
        self.count_lent();
        self.serve_waiting(level)
    }

    fn count_lent(&mut self) {
        self.lendable = self.levels.iter().map(Level::lends).sum();
        self.borrowed = self.levels.iter().map(Level::borrows).sum();
    }

    /// The level is no longer configured. What came to it is still served as before; then its seats are gone.
    pub fn retire(&mut self, level: usize) {
        self.levels[level].retired = true;
        self.let_go(level);
    }

    fn let_go(&mut self, level: usize) {
        if self.levels[level].retired && self.levels[level].is_idle() {
            self.levels[level].set_limit(NO_SEATS);
            self.count_lent();
        }
    }

    #[cfg(test)]
    pub fn is_idle(&self, level: usize) -> bool {
        self.levels[level].is_idle()
    }

    pub fn waiting(&self, level: usize) -> usize {
        self.levels[level].waiting
    }

    #[cfg(test)]
    pub fn in_use(&self, level: usize) -> u32 {
        self.levels[level].in_use
    }

    /// `flow` is asked for only when the request must wait. One that is wider than its level takes all of it.
    pub fn arrive(
        &mut self,
        level: usize,
        seats: u32,
        flow: impl FnOnce() -> u64,
        waiter: impl FnOnce() -> T,
    ) -> Arrival {
        let lent = self.free_lent();
        self.tickets += 1;
        let ticket = self.tickets;
        let of = &mut self.levels[level];
        let seats = seats.min(of.seats().nominal.max(1));
        if of.waiting == 0 && of.fits(seats, lent) {
            let place = Place { level, queue: None, seats, ticket };
            self.occupy(place);
            return Arrival::Served(place);
        }
        let Limit::Limited { overflow: Overflow::Queue { queues, hand, length }, .. } = of.limit else {
            return Arrival::Refused(Refusal::ConcurrencyLimit);
        };
        let Some(queue) = of.shortest(&deal(flow(), queues, hand)) else {
            return Arrival::Refused(Refusal::ConcurrencyLimit);
        };
        if of.queues[queue].waiting.len() >= length {
            return Arrival::Refused(Refusal::QueueFull);
        }
        of.enqueue(queue, Waiting { ticket, seats, waiter: waiter() });
        Arrival::Waits(Place { level, queue: Some(queue), seats, ticket })
    }

    /// A request is done; answers who is served in its place.
    pub fn finish(&mut self, place: Place) -> Vec<T> {
        let level = &mut self.levels[place.level];
        let before = level.borrows();
        level.in_use -= place.seats;
        if let Some(queue) = place.queue {
            level.queues[queue].serving -= place.seats;
        }
        self.borrowed -= before - self.levels[place.level].borrows();
        self.let_go(place.level);
        self.serve_waiting(place.level)
    }

    /// Who waits gives up; false if it was served meanwhile.
    pub fn give_up(&mut self, place: Place) -> bool {
        let level = &mut self.levels[place.level];
        let Some(queue) = place.queue.map(|queue| &mut level.queues[queue]) else { return false };
        let before = queue.waiting.len();
        queue.waiting.retain(|of| of.ticket != place.ticket);
        let gone = before - queue.waiting.len();
        level.waiting -= gone;
        self.let_go(place.level);
        gone > 0
    }

    fn free_lent(&self) -> u32 {
        self.lendable.saturating_sub(self.borrowed)
    }

    fn occupy(&mut self, place: Place) {
        let level = &mut self.levels[place.level];
        let before = level.borrows();
        level.in_use += place.seats;
        if let Some(queue) = place.queue.map(|queue| &mut level.queues[queue]) {
            queue.serving += place.seats;
            queue.given += u64::from(place.seats);
        }
        self.borrowed += level.borrows() - before;
    }

    /// The level in which a seat became free is asked first if it has less than it should, then those others
    /// that have, then all.
    fn serve_waiting(&mut self, freed: usize) -> Vec<T> {
        let mut served = Vec::new();
        if self.levels.iter().all(|level| level.waiting == 0) {
            return served;
        }
        let mut order: Vec<usize> = (0..self.levels.len()).filter(|at| self.levels[*at].waiting > 0).collect();
        order.sort_by_key(|at| {
            let level = &self.levels[*at];
            (level.in_use >= level.seats().nominal, *at != freed)
        });
        for level in order {
            while let Some(waiter) = self.serve_next(level) {
                served.push(waiter);
            }
        }
        served
    }

    fn serve_next(&mut self, level: usize) -> Option<T> {
        let lent = self.free_lent();
        let of = &mut self.levels[level];
        let queue = of.next_queue()?;
        let seats = of.queues[queue].waiting.front()?.seats;
        if !of.fits(seats, lent) {
            return None;
        }
        let Waiting { ticket, waiter, .. } = of.queues[queue].waiting.pop_front()?;
        of.waiting -= 1;
        self.occupy(Place { level, queue: Some(queue), seats, ticket });
        Some(waiter)
    }
}
