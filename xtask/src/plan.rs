//! What is about to be done and how long it takes: said before anything long starts, and again after each part, by what the
//! parts before it have taken on this machine.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::say;

/// What a step mostly waits for. The two are estimated apart: a slow network says nothing about a compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Network,
    Processor,
}

/// The parts of a command, each timed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Libtorch,
    Build,
    Bundle,
    Python,
    /// What the command's own work is done on.
    Data,
    /// The command's own work.
    Work,
}

/// One step, with the seconds that it takes (measured on two quiet cores and a fast network).
#[derive(Debug, Clone)]
pub(crate) struct Step {
    what: String,
    secs: f64,
    wait: Wait,
    part: Part,
}

impl Step {
    /// A step of the command's own work that takes `secs` on any machine: it waits for the network, mostly.
    pub(crate) fn new(what: impl Into<String>, secs: f64) -> Self {
        Self { what: what.into(), secs, wait: Wait::Network, part: Part::Work }
    }

    /// A step that takes `cpu_secs` of computing, on up to `max_cores` cores at a time.
    pub(crate) fn per_core(what: impl Into<String>, cpu_secs: f64, max_cores: usize) -> Self {
        let secs = cpu_secs / n_cores().min(max_cores) as f64;
        Self { wait: Wait::Processor, ..Self::new(what, secs) }
    }

    /// The same step as one of `part`.
    pub(crate) fn of(self, part: Part) -> Self {
        Self { part, ..self }
    }
}

/// Cores that this process may use.
pub(crate) fn n_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Steps that are under way.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    /// Parts that have ended, and what they took.
    done: Vec<(Part, f64)>,
    /// How many times longer computing takes than on a quiet machine, as far as is known before anything was timed.
    busy: f64,
}

/// Prints `steps` with their times; nothing if there are none.
pub(crate) fn announce(steps: Vec<Step>) -> Plan {
    let load = load_average().unwrap_or(0.0);
    let plan = Plan::new(steps, load, n_cores());
    if plan.steps.is_empty() {
        return plan;
    }
    let busy = if plan.busy > 1.0 {
        format!(", which other work keeps busy (load average {load:.1})")
    } else {
        String::new()
    };
    say::step(&format!("To do, in {} on {} cores{busy}:", rough(plan.remaining()), n_cores()));
    let width = plan.steps.iter().map(|s| s.what.chars().count()).max().unwrap_or(0);
    for step in &plan.steps {
        say::note(&format!("{:width$}  {}", step.what, rough(step.secs * plan.slowdown(step.wait))));
    }
    plan
}

impl Plan {
    /// Of a machine with `cores` cores, for which `load` threads of others compete. Each thread gets an equal share of the cores, so with
    /// a load of L beside one thread for each of n cores everything takes 1 + L ÷ n times as long. Up to a quarter of a core's worth is
    /// no more than what any machine does.
    pub(crate) fn new(steps: Vec<Step>, load: f64, cores: usize) -> Self {
        let share = load / cores.max(1) as f64;
        Self { steps, done: Vec::new(), busy: if share > 0.25 { 1.0 + share } else { 1.0 } }
    }

    /// Does `work`, the whole of `part`, and says how long it took and what is left, if it was planned.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn run<T>(&mut self, part: Part, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work()?;
        if let Some(line) = self.ended(part, start.elapsed()) {
            say::note(&line);
        }
        Ok(result)
    }

    /// Notes that `part` took so long; returns what there is to say about that and about the rest.
    pub(crate) fn ended(&mut self, part: Part, took: Duration) -> Option<String> {
        let expected = self.expected(part);
        // What was not planned was there already: quick, and it says nothing about the machine.
        if expected <= 0.0 {
            return None;
        }
        self.done.push((part, took.as_secs_f64()));
        let left = self.remaining();
        let took = format!("took {} ({} expected)", say::duration(took), rough(expected));
        Some(if left > 0.0 { format!("{took}; {} to go", rough(left)) } else { took })
    }

    /// Seconds that `part` takes, as far as is known now.
    pub(crate) fn expected(&self, part: Part) -> f64 {
        let of_part = self.steps.iter().filter(|step| step.part == part);
        of_part.map(|step| step.secs * self.slowdown(step.wait)).sum()
    }

    /// Seconds that all parts take which have not ended.
    pub(crate) fn remaining(&self) -> f64 {
        let left = self.steps.iter().filter(|step| !self.done.iter().any(|(part, _)| *part == step.part));
        left.map(|step| step.secs * self.slowdown(step.wait)).sum()
    }

    /// How many times longer steps that wait for the same take here: of those that have ended what they took over what they take
    /// where they were measured, long ones counting for more. Until there were any of half a minute together, a guess.
    fn slowdown(&self, wait: Wait) -> f64 {
        let (mut took, mut planned) = (0.0, 0.0);
        for (part, secs) in &self.done {
            let sum = |wanted: &dyn Fn(&Step) -> bool| -> f64 {
                self.steps
                    .iter()
                    .filter(|step| step.part == *part && wanted(step))
                    .map(|step| step.secs)
                    .sum()
            };
            let (whole, of_these) = (sum(&|_| true), sum(&|step| step.wait == wait));
            if whole > 0.0 {
                took += secs * of_these / whole;
                planned += of_these;
            }
        }
        match (planned >= 30.0, wait) {
            (true, _) => (took / planned).clamp(0.25, 20.0),
            (false, Wait::Processor) => self.busy,
            (false, Wait::Network) => 1.0,
        }
    }
}

/// The load average of the last minute.
pub(crate) fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// `about 20 s`, `about 3 min`, `a moment`.
pub(crate) fn rough(secs: f64) -> String {
    match Duration::try_from_secs_f64(secs).unwrap_or_default().as_secs() {
        0..=4 => "a moment".to_owned(),
        secs @ 5..=90 => format!("about {} s", secs.div_ceil(10) * 10),
        secs => format!("about {} min", (secs + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(part: Part, secs: f64) -> Step {
        Step { wait: Wait::Processor, ..Step::new("compute", secs) }.of(part)
    }

    fn demo(load: f64) -> Plan {
        let steps = vec![
            Step::new("download", 60.0).of(Part::Libtorch),
            compute(Part::Libtorch, 240.0),
            compute(Part::Build, 1200.0),
            compute(Part::Bundle, 40.0),
            Step::new("download", 60.0).of(Part::Python),
            compute(Part::Work, 300.0),
        ];
        Plan::new(steps, load, 2)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_quiet_machine_takes_what_was_measured() {
        let mut plan = demo(0.3);
        assert_eq!(plan.remaining(), 1900.0);
        assert_eq!(
            plan.ended(Part::Libtorch, secs(300)).unwrap(),
            "took 5 min 0 s (about 5 min expected); about 27 min to go"
        );
        assert_eq!(
            plan.ended(Part::Build, secs(1200)).unwrap(),
            "took 20 min 0 s (about 20 min expected); about 7 min to go"
        );
    }

    #[test]
    fn what_steps_took_tells_what_the_others_will() {
        let mut plan = demo(0.0);
        // Half as fast again as measured: so is the rest, of either kind.
        let _ = plan.ended(Part::Libtorch, secs(450));
        assert_eq!(plan.expected(Part::Build), 1800.0);
        assert_eq!(plan.remaining(), 1.5 * (1200.0 + 40.0 + 60.0 + 300.0));
        // The build, being longest, has the most to say, and nothing about the network.
        let _ = plan.ended(Part::Build, secs(2400));
        let slowdown = (360.0 + 2400.0) / (240.0 + 1200.0);
        assert!((plan.expected(Part::Work) - 300.0 * slowdown).abs() < 1e-9);
        assert_eq!(plan.expected(Part::Python), 90.0);
        // A faster machine brings it down.
        let mut fast = demo(0.0);
        let _ = fast.ended(Part::Libtorch, secs(75));
        assert_eq!(fast.remaining(), 400.0);
    }

    #[test]
    fn a_busy_machine_is_told_from_its_load_until_something_was_timed() {
        let mut plan = demo(3.0);
        assert_eq!(plan.expected(Part::Build), 1200.0 * 2.5);
        assert_eq!(plan.expected(Part::Python), 60.0, "the network is not slower for it");
        let _ = plan.ended(Part::Libtorch, secs(300));
        assert_eq!(plan.expected(Part::Build), 1200.0, "the load has gone");
        assert_eq!(demo(0.5).expected(Part::Build), 1200.0, "a quarter of the cores is no load to speak of");
    }

    #[test]
    fn short_steps_and_steps_that_were_not_planned_tell_nothing() {
        let mut plan = Plan::new(vec![compute(Part::Bundle, 10.0), compute(Part::Work, 100.0)], 0.0, 2);
        assert_eq!(plan.ended(Part::Build, secs(500)), None);
        assert_eq!(
            plan.ended(Part::Bundle, secs(100)).unwrap(),
            "took 1 min 40 s (about 10 s expected); about 2 min to go"
        );
        assert_eq!(plan.remaining(), 100.0);
        assert_eq!(plan.ended(Part::Work, secs(99)).unwrap(), "took 99 s (about 2 min expected)");
        assert_eq!(Plan::new(Vec::new(), 5.0, 2).remaining(), 0.0);
    }

    #[test]
    fn a_part_is_timed_and_its_error_passed_on() {
        let steps = || vec![compute(Part::Bundle, 10.0), compute(Part::Work, 100.0)];
        let mut plan = Plan::new(steps(), 0.0, 2);
        assert_eq!(plan.run(Part::Bundle, || Ok(7)).unwrap(), 7);
        assert_eq!(plan.remaining(), 100.0);
        let mut plan = Plan::new(steps(), 0.0, 2);
        assert!(plan.run::<()>(Part::Bundle, || anyhow::bail!("no space")).is_err());
        assert_eq!(plan.remaining(), 110.0, "what failed has not ended");
        // What was done in no time was there already, more or less: no machine is so fast.
        let mut plan = demo(0.0);
        let _ = plan.ended(Part::Build, secs(1));
        assert_eq!(plan.expected(Part::Work), 75.0);
    }
}
