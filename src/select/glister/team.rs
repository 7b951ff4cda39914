//! Threads that go through the same parts of some work thousands of times, a few microseconds each time.
//!
//! Starting threads anew, or waking sleeping ones, costs more than the work itself. So the helpers spin between one time and the
//! next, and parts are claimed one by one: a helper that the machine has put aside holds up nothing but a part that it has begun.
//! Each part keeps its own results, which do not depend on who worked on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Rounds of spinning, some 50 µs in all, after which a waiting thread lets others run in between.
const PATIENCE: u32 = 1 << 11;

pub(super) struct Team<'a, J, P> {
    work: &'a (dyn Fn(&J, &mut P) + Sync),
    job: RwLock<J>,
    parts: Vec<Mutex<P>>,
    /// The part to be claimed next; at the number of parts or above it, there is none.
    next: AtomicUsize,
    n_done: AtomicUsize,
    is_over: AtomicBool,
}

/// Runs `lead` with a team of up to `n_threads`, the caller's own among them, that does `work` on `parts`.
pub(super) fn with_team<J: Send + Sync, P: Send, R>(
    n_threads: usize,
    job: J,
    parts: Vec<P>,
    work: impl Fn(&J, &mut P) + Sync,
    lead: impl FnOnce(&Team<'_, J, P>) -> R,
) -> R {
    let n_parts = parts.len();
    let team = Team {
        work: &work,
        job: RwLock::new(job),
        parts: parts.into_iter().map(Mutex::new).collect(),
        next: AtomicUsize::new(n_parts),
        n_done: AtomicUsize::new(n_parts),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        // Also when `lead` panics: the scope waits for the helpers.
        let _over = OnDrop(|| team.is_over.store(true, Ordering::Relaxed));
        for _ in 1..n_threads.min(n_parts) {
            scope.spawn(|| team.help());
        }
        lead(&team)
    })
}

impl<J, P> Team<'_, J, P> {
    /// Changes the job that is to come.
    pub(super) fn set(&self, set: impl FnOnce(&mut J)) {
        set(&mut self.job.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes the job, has the work done on every part, and returns when all of it is.
    pub(super) fn run(&self, set: impl FnOnce(&mut J)) {
        self.set(set);
        self.n_done.store(0, Ordering::Relaxed);
        self.next.store(0, Ordering::Release);
        while self.work_on_next() {}
        let mut waited = 0;
        while self.n_done.load(Ordering::Acquire) < self.parts.len() {
            pause(&mut waited);
        }
    }

    /// The parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, P>> {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn help(&self) {
        let mut waited = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            if self.work_on_next() {
                waited = 0;
            } else {
                pause(&mut waited);
            }
        }
    }

    /// False if no part was left.
    fn work_on_next(&self) -> bool {
        // Looked at first, so that waiting helpers neither count it up for ever nor fight over its cache line.
        if self.next.load(Ordering::Relaxed) >= self.parts.len() {
            return false;
        }
        let Some(part) = self.parts.get(self.next.fetch_add(1, Ordering::AcqRel)) else { return false };
        // Also after a panic, which the scope hands on to the leader: it must not wait for this part for ever.
        let _done = OnDrop(|| _ = self.n_done.fetch_add(1, Ordering::Release));
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let job = self.job.read().unwrap_or_else(PoisonError::into_inner);
        (self.work)(&job, &mut part);
        true
    }
}

fn pause(waited: &mut u32) {
    *waited += 1;
    if *waited < PATIENCE {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
        *waited = PATIENCE;
    }
}

/// Runs what it holds when it goes.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_worked_on_once_each_time() {
        for (n_threads, n_parts) in [(1, 5), (2, 1), (4, 3), (3, 40)] {
            let parts: Vec<u64> = (0..n_parts).collect();
            let add = |&amount: &u64, part: &mut u64| *part += amount;
            let parts: Vec<u64> = with_team(n_threads, 0, parts, add, |team| {
                for amount in 1..=200 {
                    team.run(|job| *job = amount);
                }
                team.parts().map(|part| *part).collect()
            });
            let expected: Vec<u64> = (0..n_parts).map(|part| part + 200 * 201 / 2).collect();
            assert_eq!(parts, expected, "{n_threads} threads");
        }
    }

    #[test]
    fn a_panic_ends_the_work_and_reaches_the_leader() {
        for panics_at in [0, 7] {
            let outcome = std::panic::catch_unwind(|| {
                let work = |_: &(), part: &mut usize| assert_ne!(*part, panics_at, "meant to happen");
                with_team(3, (), (0..8).collect(), work, |team| team.run(|()| {}));
            });
            assert!(outcome.is_err());
        }
        let outcome = std::panic::catch_unwind(|| {
            with_team(3, (), vec![1; 8], |_, _| {}, |_| panic!("meant to happen"))
        });
        assert!(outcome.is_err());
    }
}
