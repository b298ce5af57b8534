use std::collections::HashMap;

use proptest::prelude::*;

use super::dispatch::{Arrival, Dispatcher, Limit, Overflow, Place, Refusal};
use super::shares::Seats;

const QUEUES: Overflow = Overflow::Queue { queues: 8, hand: 2, length: 3 };

fn limited(nominal: u32, guaranteed: u32, most: u32) -> Limit {
    Limit::Limited { seats: Seats { nominal, guaranteed, most }, overflow: QUEUES }
}

struct Level {
    dispatcher: Dispatcher<u32>,
    places: HashMap<u32, Place>,
}

impl Level {
    fn new(limit: Limit) -> Self {
        let mut dispatcher = Dispatcher::default();
        dispatcher.add(limit);
        Self { dispatcher, places: HashMap::new() }
    }

    fn arrive(&mut self, who: u32, flow: u64, seats: u32) -> &'static str {
        let (place, shown) = match self.dispatcher.arrive(0, seats, || flow, || who) {
            Arrival::Served(place) => (place, "served"),
            Arrival::Waits(place) => (place, "waits"),
            Arrival::Refused(Refusal::QueueFull) => return "queue-full",
            Arrival::Refused(Refusal::ConcurrencyLimit) => return "concurrency-limit",
        };
        self.places.insert(who, place);
        shown
    }

    fn finish(&mut self, who: u32) -> Vec<u32> {
        self.dispatcher.finish(self.places[&who])
    }
}

#[test]
fn requests_wait_when_the_seats_are_taken_and_are_refused_when_the_queues_are_full() {
    let mut level = Level::new(limited(2, 2, 2));
    let arrivals: Vec<&str> = (0..10).map(|who| level.arrive(who, 7, 1)).collect();
    assert_eq!(&arrivals[..3], ["served", "served", "waits"]);
    assert_eq!(arrivals.iter().filter(|arrival| **arrival == "waits").count(), 6, "two queues of three");
    assert_eq!(arrivals[9], "queue-full");
    assert_eq!(level.finish(0), [2], "the first that waits is next");
}

#[test]
fn a_level_that_rejects_has_no_queues() {
    let seats = Seats { nominal: 1, guaranteed: 1, most: 1 };
    let mut level = Level::new(Limit::Limited { seats, overflow: Overflow::Reject });
    assert_eq!([level.arrive(0, 0, 1), level.arrive(1, 0, 1)], ["served", "concurrency-limit"]);
}

#[test]
fn an_exempt_level_serves_everyone() {
    let mut level = Level::new(Limit::Exempt);
    assert!((0..10_000).all(|who| level.arrive(who, 0, 10) == "served"));
}

#[test]
fn a_flow_that_floods_the_server_does_not_keep_others_from_being_served() {
    let mut level = Level::new(limited(1, 1, 1));
    level.arrive(0, 0, 1);
    for who in 0..6 {
        level.arrive(100 + who, 0, 1);
    }
    let quiet = (1..64).find(|flow| {
        let (flood, quiet) = (super::deal::deal(0, 8, 2), super::deal::deal(*flow, 8, 2));
        quiet.iter().all(|queue| !flood.contains(queue))
    });
    assert_eq!(level.arrive(1, quiet.unwrap(), 1), "waits");
    assert_eq!(level.finish(0), [100]);
    // Each of the flood's two queues is given a seat, then the quiet flow is next, however many of the flood wait.
    assert_eq!(level.finish(100), [101]);
    assert_eq!(level.finish(101), [1]);
}

#[test]
fn who_gives_up_is_not_served() {
    let mut level = Level::new(limited(1, 1, 1));
    level.arrive(0, 0, 1);
    let Arrival::Waits(place) = level.dispatcher.arrive(0, 1, || 0, || 1) else { panic!("it waits") };
    assert!(level.dispatcher.give_up(place) && !level.dispatcher.give_up(place));
    assert!(level.finish(0).is_empty());
    assert!(level.dispatcher.is_idle(0));
}

#[test]
fn seats_are_lent_and_come_back_to_whom_they_belong() {
    let mut dispatcher: Dispatcher<&str> = Dispatcher::default();
    let lender = dispatcher.add(limited(4, 1, 10));
    let borrower = dispatcher.add(limited(2, 2, 10));
    let mut borrowed = Vec::new();
    while let Arrival::Served(place) = dispatcher.arrive(borrower, 1, || 0, || "borrower") {
        borrowed.push(place);
    }
    assert_eq!(borrowed.len(), 5, "its own two, and the three that the other lends");
    assert!(matches!(dispatcher.arrive(lender, 1, || 0, || "lender"), Arrival::Served(_)), "one is guaranteed");
    assert!(matches!(dispatcher.arrive(lender, 1, || 0, || "lender"), Arrival::Waits(_)));
    assert_eq!(dispatcher.finish(borrowed.pop().unwrap()), ["lender"], "who has less than its share is first");
}

#[test]
fn a_request_wider_than_its_level_is_served_alone() {
    let mut level = Level::new(limited(2, 2, 2));
    assert_eq!(level.arrive(0, 0, 10), "served");
    assert_eq!(level.arrive(1, 0, 1), "waits");
    assert_eq!(level.finish(0), [1]);
}

proptest! {
    /// Whatever comes, goes and gives up: nobody is served beyond the seats, nobody is lost, and in the end all
    /// who did not give up were served.
    #[test]
    fn every_request_is_served_once_and_seats_are_never_exceeded(
        steps in prop::collection::vec((0_u8..3, 0_usize..2, 1_u32..4, any::<u64>()), 1..200),
    ) {
        let mut dispatcher: Dispatcher<usize> = Dispatcher::default();
        dispatcher.add(limited(4, 1, 6));
        dispatcher.add(limited(5, 5, 7));
        let mut waiting: Vec<(usize, Place)> = Vec::new();
        let mut serving: Vec<Place> = Vec::new();
        let promote = |served: Vec<usize>, waiting: &mut Vec<(usize, Place)>, serving: &mut Vec<Place>| {
            for who in served {
                let at = waiting.iter().position(|(waiter, _)| *waiter == who).expect("only who waits is served");
                serving.push(waiting.swap_remove(at).1);
            }
        };
        for (who, (what, level, seats, flow)) in steps.into_iter().enumerate() {
            match what {
                0 if !serving.is_empty() => {
                    let done = serving.swap_remove(flow as usize % serving.len());
                    promote(dispatcher.finish(done), &mut waiting, &mut serving);
                }
                1 if !waiting.is_empty() => {
                    let (_, place) = waiting.swap_remove(flow as usize % waiting.len());
                    prop_assert!(dispatcher.give_up(place));
                }
                _ => match dispatcher.arrive(level, seats, || flow, || who) {
                    Arrival::Served(place) => serving.push(place),
                    Arrival::Waits(place) => waiting.push((who, place)),
                    Arrival::Refused(_) => {}
                },
            }
            prop_assert!(dispatcher.in_use(0) <= 6 && dispatcher.in_use(1) <= 7);
            prop_assert!(dispatcher.in_use(0) + dispatcher.in_use(1) <= 9);
        }
        while let Some(done) = serving.pop() {
            promote(dispatcher.finish(done), &mut waiting, &mut serving);
        }
        prop_assert!(waiting.len() <= dispatcher.waiting(0) + dispatcher.waiting(1));
        prop_assert!(dispatcher.in_use(0) == 0 && dispatcher.in_use(1) == 0);
        prop_assert!(waiting.is_empty());
    }
}

#[test]
fn a_level_that_goes_keeps_its_seats_as_long_as_something_of_it_runs() {
    let limit =
        |nominal| Limit::Limited { seats: Seats { nominal, guaranteed: 0, most: 4 }, overflow: Overflow::Reject };
    let mut dispatcher = Dispatcher::default();
    let (going, other) = (dispatcher.add(limit(4)), dispatcher.add(limit(0)));
    let arrive = |dispatcher: &mut Dispatcher<()>, level| dispatcher.arrive(level, 1, || 0, || ());
    let Arrival::Served(place) = arrive(&mut dispatcher, going) else { panic!("there are seats") };
    dispatcher.retire(going);
    assert!(matches!(arrive(&mut dispatcher, other), Arrival::Served(_)), "its seats are lent as before");
    dispatcher.finish(place);
    assert_eq!(arrive(&mut dispatcher, other), Arrival::Refused(Refusal::ConcurrencyLimit));
    assert_eq!(arrive(&mut dispatcher, going), Arrival::Refused(Refusal::ConcurrencyLimit));
}
