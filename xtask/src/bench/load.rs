//! How busy a machine was while a bench ran: figures of a busy one are not to be quoted, and say so themselves.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::plan;

/// From this share of the cores on, other work has slowed down what was measured: two contestants that take turns may each have met
/// another share of it.
const BUSY: f64 = 0.05;

/// A machine that is being watched.
pub(crate) struct Watch {
    start: Instant,
    /// Of the cores that this process may run on, all work done so far; nothing where the system does not say.
    all: Option<Duration>,
    /// Of this process and its children that have ended.
    own: Duration,
    load_before: Option<f64>,
}

/// How busy it was.
#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub(crate) struct Load {
    /// Load average of the last minute before the bench.
    before: Option<f64>,
    /// And at its end, with the bench's own work.
    after: Option<f64>,
    /// The cores that it could run on.
    cores: usize,
    /// The share of their time that went to others, from 0 to 1, the host of a virtual machine among them.
    others: Option<f64>,
}

impl Watch {
    /// CPU time of this process and of its children that have ended.
    #[cfg(test)]
    pub(crate) fn own() -> Duration {
        own_work()
    }

    /// Begins.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), all: all_work(), own: own_work(), load_before: plan::load_average() }
    }

    /// Ends.
    pub(crate) fn stop(self) -> Load {
        let cores = plan::n_cores();
        let all = all_work().zip(self.all).map(|(now, then)| now.saturating_sub(then));
        let own = own_work().saturating_sub(self.own);
        let others = all.map(|all| share_of_others(all, own, self.start.elapsed(), cores));
        Load { before: self.load_before, after: plan::load_average(), cores, others }
    }
}

impl Load {
    /// Of a machine whose others took this share of `cores`.
    #[cfg(test)]
    pub(crate) fn of(before: Option<f64>, cores: usize, others: Option<f64>) -> Self {
        Self { before, after: before, cores, others }
    }

    /// What to beware of, if others were at work.
    pub(crate) fn warning(&self) -> Option<String> {
        let others = self.others.filter(|others| *others >= BUSY)?;
        Some(format!(
            "BUSY MACHINE: other work took {:.0} % of its {} cores meanwhile; these figures are not to be quoted",
            100.0 * others,
            self.cores
        ))
    }

    /// One line, as `load average 0.1 before, 2.0 after, on 2 cores, of which others took 1 %`.
    pub(crate) fn line(&self) -> String {
        let average =
            |load: Option<f64>| load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}"));
        let others = match self.others {
            Some(others) => format!("of which others took {:.0} %", 100.0 * others),
            None => "with others unknown".to_owned(),
        };
        let (before, after) = (average(self.before), average(self.after));
        format!("load average {before} before, {after} after, on {} cores, {others}", self.cores)
    }
}

/// Of the time of `cores` in `elapsed`, what is in `all` but not in `own`.
pub(crate) fn share_of_others(all: Duration, own: Duration, elapsed: Duration, cores: usize) -> f64 {
    let capacity = elapsed.as_secs_f64() * cores.max(1) as f64;
    if capacity <= 0.0 {
        return 0.0;
    }
    (all.saturating_sub(own).as_secs_f64() / capacity).clamp(0.0, 1.0)
}

/// All work done by the cores that this process may run on, since the system started.
fn all_work() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    // SAFETY: asks the system for a constant.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks = work_of(&text, may_run_on)?;
    (per_second > 0).then(|| Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The ticks in `/proc/stat` that cores which `count` were at work for anybody: all but idle and waiting for a disk. What a virtual
/// machine's host took (steal) is work of others; that of guests is in the user's already.
pub(crate) fn work_of(stat: &str, count: impl Fn(usize) -> bool) -> Option<u64> {
    let mut sum = None;
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        let core = words.next().and_then(|name| name.strip_prefix("cpu")).and_then(|core| core.parse().ok());
        if !core.is_some_and(&count) {
            continue;
        }
        let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum();
        *sum.get_or_insert(0) += busy;
    }
    sum
}

fn may_run_on(core: usize) -> bool {
    // SAFETY: plain data, for which zero is a value; the call writes no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let known = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) == 0;
        !known || (core < libc::CPU_SETSIZE as usize && libc::CPU_ISSET(core, &set))
    }
}

/// CPU time of this process, and of its descendants that were waited for.
fn own_work() -> Duration {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .into_iter()
        .map(|who| {
            // SAFETY: plain data, for which zero is a value; the call fills it.
            let usage = unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                libc::getrusage(who, &raw mut usage);
                usage
            };
            let secs = |time: libc::timeval| {
                Duration::from_secs(time.tv_sec.max(0) as u64)
                    + Duration::from_micros(time.tv_usec.max(0) as u64)
            };
            secs(usage.ru_utime) + secs(usage.ru_stime)
        })
        .sum()
}
