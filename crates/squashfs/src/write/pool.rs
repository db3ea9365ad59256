//! Threads that do what they are given; results are waited for by ticket, so the order of work never shows.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::Scope,
};

/// Names a job that was given to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

/// Threads that turn a `J` into a `D`.
pub(super) struct Pool<J, D> {
    queue: Arc<Queue<J>>,
    done: Receiver<(Ticket, std::thread::Result<D>)>,
    arrived: HashMap<Ticket, D>,
    next: u64,
}

/// What waits to be done.
struct Queue<J> {
    jobs: Mutex<Jobs<J>>,
    changed: Condvar,
}

struct Jobs<J> {
    urgent: VecDeque<(Ticket, J)>,
    normal: VecDeque<(Ticket, J)>,
    closed: bool,
}

impl<J: Send, D: Send> Pool<J, D> {
    /// Starts `threads` workers; each works with a function of its own, made by `worker` on the calling thread.
    pub(super) fn start<'scope, 'env, W, E>(
        scope: &'scope Scope<'scope, 'env>,
        threads: NonZeroUsize,
        mut worker: impl FnMut() -> Result<W, E>,
    ) -> Result<Self, E>
    where
        W: FnMut(J) -> D + Send + 'scope,
        J: 'scope,
        D: 'scope,
    {
        let queue = Arc::new(Queue {
            jobs: Mutex::new(Jobs { urgent: VecDeque::new(), normal: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
        });
        let (sender, done) = channel();
        // Made before the workers, so that it closes the queue when one of them cannot be made.
        let pool = Self { queue: Arc::clone(&queue), done, arrived: HashMap::new(), next: 0 };
        for _ in 0..threads.get() {
            let (work, queue, sender) = (worker()?, Arc::clone(&queue), sender.clone());
            scope.spawn(move || queue.serve(work, &sender));
        }
        Ok(pool)
    }

    /// Gives a job to whoever is free; an urgent one is done before those that are not.
    pub(super) fn submit(&mut self, job: J, urgent: bool) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let mut jobs = self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if urgent { &mut jobs.urgent } else { &mut jobs.normal }.push_back((ticket, job));
        drop(jobs);
        self.queue.changed.notify_one();
        ticket
    }

    /// What became of a job; each can be asked for once. A worker's panic goes on here.
    pub(super) fn wait(&mut self, ticket: Ticket) -> D {
        loop {
            if let Some(done) = self.arrived.remove(&ticket) {
                return done;
            }
            let (arrived, done) = self.done.recv().expect("workers live as long as the pool");
            match done {
                Ok(done) => self.arrived.insert(arrived, done),
                Err(panic) => resume_unwind(panic),
            };
        }
    }

    /// Whether a job is done, without waiting.
    pub(super) fn is_done(&mut self, ticket: Ticket) -> bool {
        while let Ok((arrived, done)) = self.done.try_recv() {
            match done {
                Ok(done) => self.arrived.insert(arrived, done),
                Err(panic) => resume_unwind(panic),
            };
        }
        self.arrived.contains_key(&ticket)
    }
}

impl<J, D> Drop for Pool<J, D> {
    fn drop(&mut self) {
        let mut jobs = self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.closed = true;
        jobs.urgent.clear();
        jobs.normal.clear();
        drop(jobs);
        self.queue.changed.notify_all();
    }
}

impl<J> Queue<J> {
    fn serve<D>(&self, mut work: impl FnMut(J) -> D, sender: &Sender<(Ticket, std::thread::Result<D>)>) {
        while let Some((ticket, job)) = self.next() {
            // The state of a worker that panicked is not used again: the pool passes the panic on and ends.
            let done = catch_unwind(AssertUnwindSafe(|| work(job)));
            let panicked = done.is_err();
            if sender.send((ticket, done)).is_err() || panicked {
                return;
            }
        }
    }

    fn next(&self) -> Option<(Ticket, J)> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if jobs.closed {
                return None;
            }
            let next = jobs.urgent.pop_front().or_else(|| jobs.normal.pop_front());
            if next.is_some() {
                return next;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_by_ticket_in_any_order() {
        std::thread::scope(|scope| {
            let three = NonZeroUsize::new(3).unwrap();
            let mut pool = Pool::start(scope, three, || Ok::<_, ()>(|n: u64| n * n)).unwrap();
            let tickets: Vec<_> = (0..100).map(|n| pool.submit(n, n % 2 == 0)).collect();
            for (n, ticket) in tickets.into_iter().enumerate().rev() {
                assert_eq!(pool.wait(ticket), (n * n) as u64);
            }
        });
    }

    #[test]
    fn a_workers_panic_is_passed_on_instead_of_waiting_for_ever() {
        let panic = catch_unwind(|| {
            std::thread::scope(|scope| {
                let mut pool = Pool::start(scope, NonZeroUsize::MIN, || {
                    Ok::<_, ()>(|(): ()| -> () { panic!("as asked") })
                })
                .unwrap();
                let ticket = pool.submit((), false);
                pool.wait(ticket);
            });
        });
        assert!(panic.is_err());
    }

    #[test]
    fn what_was_not_begun_is_dropped_with_the_pool() {
        std::thread::scope(|scope| {
            let mut pool = Pool::start(scope, NonZeroUsize::MIN, || Ok::<_, ()>(|(): ()| ())).unwrap();
            for _ in 0..1000 {
                pool.submit((), false);
            }
        });
    }
}
