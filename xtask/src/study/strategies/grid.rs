//! What the study of strategies runs: data sets, conditions, strategies, fractions, schedules and seeds, all of it here.

use std::fmt::Write as _;
use std::path::Path;

/// How much of the study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// The main comparisons with other seeds.
    Quick,
    /// What the README says.
    Main,
    /// The larger grid.
    Full,
}

/// A data set with the network that learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Data {
    FashionMnist,
    Mnist,
    Cifar10,
    Covertype,
}

impl Data {
    pub(super) const ALL: [Self; 4] = [Self::FashionMnist, Self::Mnist, Self::Cifar10, Self::Covertype];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FashionMnist => "fashion-mnist",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Covertype => "covertype",
        }
    }

    fn model(self) -> &'static str {
        if self == Self::Covertype { "mlp" } else { "lenet" }
    }

    /// The highest learning rate: the better one of 0.05 and 0.02 for fresh random at 10 %, by validation accuracy with seeds
    /// that are not the study's. With 0.05, single trainings on 10 % of MNIST and CIFAR-10 fail.
    fn learning_rate(self) -> f64 {
        match self {
            Self::FashionMnist | Self::Covertype => 0.05,
            Self::Mnist | Self::Cifar10 => 0.02,
        }
    }

    /// The first so many samples are taken; all, if `None`.
    fn take(self) -> Option<usize> {
        match self {
            Self::FashionMnist | Self::Covertype => None,
            Self::Mnist | Self::Cifar10 => Some(20_000),
        }
    }

    /// Samples to train and to validate on, before any class is thinned out.
    fn n_samples(self) -> usize {
        self.take().unwrap_or(60_000)
    }

    /// Seconds of one core that a training step takes for one sample, to estimate by.
    fn sample_secs(self) -> f64 {
        match self {
            Self::FashionMnist | Self::Mnist => 6.5e-5,
            Self::Cifar10 => 1.1e-4,
            Self::Covertype => 6e-6,
        }
    }
}

/// What is done to the training set; validation and test set stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    Clean,
    /// So many per cent of the labels drawn anew from all classes.
    Noise(u8),
    /// Half of the classes keep a tenth of their samples.
    Imbalance,
}

impl Condition {
    pub(super) fn name(self) -> String {
        match self {
            Self::Clean => "clean".to_owned(),
            Self::Noise(percent) => format!("noise-{percent}"),
            Self::Imbalance => "imbalance".to_owned(),
        }
    }

    /// The share of the training samples that it leaves.
    fn share_left(self) -> f64 {
        if self == Self::Imbalance { 0.55 } else { 1.0 }
    }
}

/// Epochs of the short schedule and of the long one.
pub(super) const SHORT: usize = 20;
pub(super) const LONG: usize = 100;

/// How all networks are trained.
const TRAINING: &str = "batch_size = 128\nschedule = \"one-cycle\"\nclip_grad_norm = 0\nthreads = 1\n";
/// The rest of the optimiser; the learning rate is that of [`Data::learning_rate`].
const OPTIMIZER: &str = "momentum = 0.9\nnesterov = true\nweight_decay = 5e-4\n";

/// Strategies that choose, all of them.
const STRATEGIES: [&str; 7] =
    ["fresh-random", "fixed-random", "glister", "auto", "infobatch", "hardest-half", "grad-match"];
/// Those of the main grid where data are not clean.
const NOT_CLEAN: [&str; 3] = ["fresh-random", "glister", "auto"];
const AUTO: [&str; 2] = ["fresh-random", "auto"];
const RANDOM: [&str; 1] = ["fresh-random"];

/// One sweep file: an experiment's part that all of `seeds` go through.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sweep {
    pub(super) data: Data,
    pub(super) condition: Condition,
    pub(super) epochs: usize,
    pub(super) strategies: &'static [&'static str],
    pub(super) fractions: &'static [f64],
    pub(super) full: bool,
    pub(super) seeds: Vec<u64>,
}

/// All sweeps of a size.
pub(super) fn sweeps(size: Size) -> Vec<Sweep> {
    let (data, conditions, fractions, seeds): (&[Data], &[Condition], &'static [f64], Vec<u64>) = match size {
        Size::Quick => (
            &[Data::FashionMnist, Data::Covertype],
            &[Condition::Clean, Condition::Noise(40), Condition::Imbalance],
            &[0.3, 0.1],
            (31..34).collect(),
        ),
        Size::Main => (
            &Data::ALL,
            &[Condition::Clean, Condition::Noise(40), Condition::Imbalance],
            &[0.3, 0.1],
            (21..26).collect(),
        ),
        Size::Full => (
            &Data::ALL,
            &[Condition::Clean, Condition::Noise(40), Condition::Noise(20), Condition::Imbalance],
            &[0.5, 0.3, 0.1, 0.05],
            (21..26).collect(),
        ),
    };
    let mut sweeps = Vec::new();
    for &data in data {
        for &condition in conditions {
            let sweep = |epochs, strategies| Sweep {
                data,
                condition,
                epochs,
                strategies,
                fractions,
                full: false,
                seeds: seeds.clone(),
            };
            let strategies: &'static [&'static str] = match (size, condition) {
                (Size::Quick, _) => &AUTO,
                (Size::Main, Condition::Clean) | (Size::Full, _) => &STRATEGIES,
                (Size::Main, _) => &NOT_CLEAN,
            };
            sweeps.push(Sweep { full: true, ..sweep(SHORT, strategies) });
            sweeps.extend(anchors(size, data, condition).iter().map(|&epochs| sweep(epochs, &RANDOM)));
        }
    }
    if size != Size::Quick {
        let long = |epochs, strategies, full| Sweep {
            data: Data::FashionMnist,
            condition: Condition::Clean,
            epochs,
            strategies,
            fractions: &[0.3, 0.1],
            full,
            seeds: if size == Size::Full { (21..26).collect() } else { (21..24).collect() },
        };
        // Three sweeps of about the same length, so that no core waits long for another.
        sweeps.push(long(LONG, &AUTO, false));
        sweeps.push(long(LONG + 3, &RANDOM, false));
        sweeps.push(long(LONG, &[], true));
    }
    sweeps
}

/// Schedules of fresh random that a strategy's short schedule may be as long as, its choosing counted.
fn anchors(size: Size, data: Data, condition: Condition) -> &'static [usize] {
    let is_clean = condition == Condition::Clean;
    match (size, data) {
        (Size::Full, _) => &[21, 22, 24, 30, 40],
        (Size::Main, Data::Covertype) if is_clean => &[21, 22, 24, 30, 40],
        // The network is so small that choosing takes a good part of its time.
        (_, Data::Covertype) => &[21, 22, 24, 30],
        (Size::Main, Data::FashionMnist) if is_clean => &[21, 40],
        _ => &[21],
    }
}

/// The name of an experiment.
pub(super) fn experiment(data: Data, condition: Condition, epochs: usize) -> String {
    let (data, condition) = (data.name(), condition.name());
    match epochs {
        SHORT => format!("{data}-{condition}"),
        epochs => format!("{data}-{condition}-{epochs}-epochs"),
    }
}

impl Sweep {
    /// The experiment in the store; its runs may come from several sweeps.
    pub(super) fn experiment(&self) -> String {
        experiment(self.data, self.condition, self.epochs)
    }

    /// The sweep's own name, also of its file.
    pub(super) fn name(&self) -> String {
        let experiment = self.experiment();
        if self.strategies.is_empty() { format!("{experiment}-full") } else { experiment }
    }

    /// The sweep file, as `glisten sweep` reads it; `tables` is where [`super::covertype`] has put its files.
    pub(super) fn to_toml(&self, tables: &Path) -> String {
        // A JSON string is a basic string of TOML.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        let fractions: &[f64] = if self.strategies.is_empty() { &[] } else { self.fractions };
        let mut text = format!(
            "# Written by `cargo xtask study strategies`.\n\
             experiment = {}\nmodel = {}\nselections = {}\nfractions = {}\nfull = {}\nseeds = {}\nepochs = {}\n\
             {TRAINING}checkpoint_every = {}\nkeep_selections = false\n",
            quoted(&self.experiment()),
            quoted(self.data.model()),
            list(self.strategies.iter().map(|name| quoted(name)).collect()),
            list(fractions.iter().map(f64::to_string).collect()),
            self.full,
            list(self.seeds.iter().map(u64::to_string).collect()),
            self.epochs,
            // A short run is sooner done again than its checkpoints are written.
            if self.epochs < LONG { 0 } else { 20 },
        );
        if let Some(take) = self.data.take() {
            let _ = writeln!(text, "take = {take}");
        }
        text.push_str("\n[data]\n");
        if self.data == Data::Covertype {
            let table = super::covertype::Table::of(self.condition);
            let path = tables.join(table.file());
            let _ = writeln!(
                text,
                "path = {}\ntarget = \"cover_type\"\n\
                 table = {{ name = {}, unseen = \"zeros\", test_share = 0.25 }}",
                quoted(&path.to_string_lossy()),
                quoted(table.name()),
            );
        } else {
            let _ = writeln!(text, "name = {}", quoted(self.data.name()));
        }
        match self.condition {
            Condition::Clean => {}
            Condition::Noise(percent) => {
                let rate = f64::from(percent) / 100.0;
                let _ = writeln!(text, "noise = {{ rate = {rate}, draw = \"all-classes\" }}");
            }
            Condition::Imbalance => text.push_str("imbalance = { classes = 0.5, keep = 0.1 }\n"),
        }
        let _ = write!(
            text,
            "\n[split]\nvalidation = 0.1\nseed = 42\n\n[optimizer]\nlearning_rate = {}\n{OPTIMIZER}\n\
             # GLISTER as published.\n[glister]\nselect_every = 5\ngreedy = \"RGreedy\"\nrounds = 15\n",
            self.data.learning_rate(),
        );
        text
    }

    /// Seconds of one core that one seed takes, roughly.
    pub(super) fn secs(&self) -> f64 {
        let n_samples = self.data.n_samples() as f64;
        let n_train = 0.9 * n_samples * self.condition.share_left();
        // A third of a training step for a sample that is only looked at.
        let validation = 0.1 * n_samples / 3.0;
        let mut n_steps = 0.0;
        for strategy in self.strategies {
            for fraction in self.fractions {
                let choosing = match *strategy {
                    // A pass over everything in every fifth epoch; the hardest half comes of twice as many.
                    "glister" | "grad-match" => n_train / 15.0,
                    "hardest-half" => fraction * n_train / 3.0,
                    _ => 0.0,
                };
                n_steps += fraction * n_train + choosing + validation;
            }
        }
        if self.full {
            n_steps += n_train + validation;
        }
        2.0 + n_steps * self.epochs as f64 * self.data.sample_secs()
    }

    pub(super) fn n_runs(&self) -> usize {
        self.strategies.len() * self.fractions.len() + usize::from(self.full)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{Condition, Data, LONG, Size, Sweep, sweeps};

    const SIZES: [Size; 3] = [Size::Quick, Size::Main, Size::Full];

    fn named(size: Size, name: &str) -> Sweep {
        sweeps(size).into_iter().find(|sweep| sweep.name() == name).unwrap()
    }

    #[test]
    fn no_two_sweeps_have_one_name() {
        for size in SIZES {
            let names: BTreeSet<String> = sweeps(size).iter().map(Sweep::name).collect();
            assert_eq!(names.len(), sweeps(size).len(), "{size:?}");
        }
    }

    #[test]
    fn fresh_random_and_full_data_stand_beside_every_strategy() {
        for size in SIZES {
            let all = sweeps(size);
            for sweep in &all {
                let of_experiment = || all.iter().filter(|other| other.experiment() == sweep.experiment());
                if sweep.strategies.contains(&"auto") {
                    assert!(sweep.strategies.contains(&"fresh-random"), "{}", sweep.name());
                    assert!(of_experiment().any(|other| other.full), "{}", sweep.name());
                    // And a little more time for fresh random than equal epochs take.
                    let longer = |other: &&Sweep| {
                        (other.data, other.condition, &other.seeds)
                            == (sweep.data, sweep.condition, &sweep.seeds)
                            && other.strategies == ["fresh-random"]
                            && other.epochs > sweep.epochs
                            && other.epochs < sweep.epochs + 5
                    };
                    assert!(all.iter().any(|other| longer(&other)), "{}", sweep.name());
                }
            }
        }
    }

    #[test]
    fn the_quick_study_has_seeds_of_its_own() {
        let seeds =
            |size| -> BTreeSet<u64> { sweeps(size).into_iter().flat_map(|sweep| sweep.seeds).collect() };
        assert!(seeds(Size::Quick).is_disjoint(&seeds(Size::Main)));
        assert!(seeds(Size::Main).is_subset(&seeds(Size::Full)));
    }

    #[test]
    fn the_larger_grid_holds_the_main_one() {
        let full = sweeps(Size::Full);
        for sweep in sweeps(Size::Main) {
            let holds = |other: &Sweep| {
                other.name() == sweep.name()
                    && sweep.strategies.iter().all(|name| other.strategies.contains(name))
                    && sweep.fractions.iter().all(|fraction| other.fractions.contains(fraction))
            };
            assert!(full.iter().any(holds), "{}", sweep.name());
        }
    }

    #[test]
    fn a_sweep_file_says_what_the_sweep_is() {
        let text = named(Size::Main, "fashion-mnist-noise-40").to_toml(Path::new("/tables"));
        for line in [
            "experiment = \"fashion-mnist-noise-40\"",
            "model = \"lenet\"",
            "selections = [\"fresh-random\", \"glister\", \"auto\"]",
            "fractions = [0.3, 0.1]",
            "full = true",
            "seeds = [21, 22, 23, 24, 25]",
            "epochs = 20",
            "threads = 1",
            "name = \"fashion-mnist\"",
            "noise = { rate = 0.4, draw = \"all-classes\" }",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(!text.contains("take"), "{text}");
        let text = named(Size::Main, "covertype-imbalance").to_toml(Path::new("/a \"b\""));
        assert!(text.contains(r#"path = "/a \"b\"/covertype-even.csv""#), "{text}");
        assert!(
            text.contains("imbalance = { classes = 0.5, keep = 0.1 }") && text.contains("model = \"mlp\"")
        );
    }

    #[test]
    fn more_work_is_estimated_longer() {
        let sweep = named(Size::Main, "fashion-mnist-clean");
        let longer = Sweep { epochs: LONG, ..sweep.clone() };
        assert!(longer.secs() > 4.5 * sweep.secs() && longer.secs() < 5.0 * sweep.secs());
        let thinned = Sweep { condition: Condition::Imbalance, ..sweep.clone() };
        assert!(thinned.secs() < 0.7 * sweep.secs());
        assert!(Sweep { data: Data::Mnist, ..sweep.clone() }.secs() < 0.5 * sweep.secs());
        assert_eq!(sweep.n_runs(), 15);
    }
}
