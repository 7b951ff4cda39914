//! One training, from its configuration to a run in the store; from its checkpoint where there is one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tch::{Device, nn};

use super::checkpoint::{self, Checkpoint, Position};
use super::epoch::{self, Course, Step, Trained};
use super::fitted::{Fitted, TrainedModel};
use super::targets::TargetScale;
use super::trainer::{Trainer, changes, fingerprint};
use crate::data::{Examples, Normalization, Splits, Task};
use crate::device;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::ops;
use crate::progress::{self, RunProgress};
use crate::track::{DivergedRun, Experiment, Parameter, Run};

/// libtorch's generator belongs to the process: trainings on other threads wait while weights are drawn.
static DRAWING: Mutex<()> = Mutex::new(());

impl Trainer {
    /// Trains, and keeps everything as a run of `experiment`: per epoch `train:loss`, `train:accuracy`,
    /// `validation:loss`, `validation:accuracy`, `epoch:seconds` (training steps alone), `selection:seconds` and, on a GPU,
    /// `gpu:megabytes` (of its memory in use, by all processes); at the end `test:loss`, `test:accuracy`,
    /// `test:balanced_accuracy` (the mean of the classes' recalls) and `run:seconds` (wall time, everything counted). A
    /// regression has `validation:rmse` and `validation:r2`, `test:rmse` and `test:r2` instead of accuracies: root mean squared error
    /// on the target's own scale, and R²; its losses are mean squared errors of standardised targets.
    ///
    /// In an experiment opened by [`Experiment::resume`], a training that is complete is not done again, and one that was
    /// stopped, failed or killed goes on from its last checkpoint: see [`Trainer::checkpoint_every`]. One that diverged is
    /// not tried again, as it would diverge again: see [`Trainer::retry_diverged`].
    ///
    /// # Errors
    /// [`Error::Argument`] before anything is stored, for a configuration that cannot be trained; [`Error::BadFile`] for
    /// a checkpoint that cannot be used; [`Error::Diverged`] for a loss that is not finite or explodes, or for a run of
    /// these settings that diverged before. After that the run is stored as stopped for [`Error::Interrupted`], as failed for
    /// any other error, with all metrics until then.
    pub fn fit(&self, data: &Splits, experiment: &Experiment) -> Result<Fitted> {
        self.attempt(data, experiment, &mut Attempt::default())
    }

    /// As [`Trainer::fit`]; `attempt` says how far it came, also where it ends with a panic.
    pub(super) fn attempt(
        &self,
        data: &Splits,
        experiment: &Experiment,
        attempt: &mut Attempt,
    ) -> Result<Fitted> {
        attempt.run = self.run_name();
        let _call = interrupt::enter();
        self.check(data)?;
        ops::cpu_path()?;
        if let Some(threads) = self.threads {
            tch::set_num_threads(threads as i32);
        }
        let device = self.device.unwrap_or_else(device::best);
        let settings = self.architecture.settings();
        let work = self.steps().map(|step| {
            let parameters = self.parameters(data, device, &step);
            Work { step, config: fingerprint(&parameters, &settings), parameters }
        });
        for Work { config, .. } in &work {
            if let Some(run) = experiment.completed_run(config)? {
                return self.reused(experiment, &run);
            }
        }
        let [mut work, former] = work;
        let diverged = experiment.diverged_run(&work.config)?;
        if let Some(before) = diverged.as_ref().filter(|_| !self.retry_diverged) {
            *attempt = Attempt { run: before.run.name().to_owned(), failed_before: true };
            return Err(self.diverged_before(experiment, before));
        }
        let mut found = resumable(experiment, &work.config)?;
        if found.is_none()
            && former.config != work.config
            && experiment.diverged_run(&former.config)?.is_none()
        {
            found = resumable(experiment, &former.config)?;
            if found.is_some() {
                work = former;
            }
        }
        let again = |before: DivergedRun| experiment.reopen(&before.run, 0).transpose();
        let (run, checkpoint) = match found {
            Some((run, checkpoint)) => (run, Some(checkpoint)),
            None => match diverged.and_then(again).transpose()? {
                Some(run) => (run, None),
                None => {
                    work.parameters.extend(changes(data));
                    (experiment.start(&self.run_name(), Some(&work.config), &work.parameters)?, None)
                }
            },
        };
        attempt.run = run.name().to_owned();
        let mut progress = RunProgress {
            experiment: run.experiment().to_owned(),
            run: run.name().to_owned(),
            strategy: self.select.name().to_owned(),
            fraction: self.select.fraction(),
            epoch: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position.epoch),
            epochs: self.select.plan(self.epochs).n_epochs(),
            ..Default::default()
        };
        if checkpoint.is_some() {
            let text = format!("going on behind epoch {} of {}", progress.epoch, progress.epochs);
            run.log_text(&text)?;
            progress::tell(|listener| listener.note(&format!("{}: {text}", run.name())));
        } else {
            let share = 100.0 * self.select.fraction();
            run.log_text(&format!(
                "{} on {}: {}, {share:.4} % of {} samples, {} epochs, seed {}",
                self.architecture.name(),
                data.name,
                self.select.name(),
                data.train.len(),
                progress.epochs,
                self.seed
            ))?;
        }
        progress::tell(|listener| listener.run(&progress));
        let outcome = self.train(data, device, &run, &work, checkpoint, &mut progress);
        let status = match &outcome {
            Ok(_) => run.complete().map(|()| crate::track::Status::Completed)?,
            Err(error) => {
                // What is wrong is in the run's status too, should the log not be writable.
                let _ = run.log_text(&format!("ended: {error}"));
                run.end_with(error)?
            }
        };
        if outcome.is_ok() && !self.keep_checkpoint {
            remove_checkpoint(&run);
        }
        progress::tell(|listener| listener.run_ended(&progress, status.as_str()));
        outcome.map_err(|error| match error {
            Error::Interrupted(_) => Error::Interrupted(format!(
                "run '{}' is stored as stopped after {} of {} epochs",
                progress.run, progress.epoch, progress.epochs
            )),
            error => error,
        })
    }

    fn train(
        &self,
        data: &Splits,
        device: Device,
        run: &Run,
        work: &Work,
        checkpoint: Option<Checkpoint>,
        progress: &mut RunProgress,
    ) -> Result<Fitted> {
        let started = Instant::now();
        // Batches are all of one shape: the fastest of cuDNN's algorithms for it is worth looking for.
        if matches!(device, Device::Cuda(_)) {
            tch::Cuda::cudnn_set_benchmark(true);
        }
        let variables = nn::VarStore::new(device);
        let model = {
            let _turn = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed(self.seed as i64);
            self.architecture.build(&variables.root())
        };
        let (train, validation) = (data.train.to_device(device)?, data.validation.to_device(device)?);
        let targets = match data.task() {
            Task::Regression if work.step.scale_targets => Some(TargetScale::of(&train.labels)?),
            Task::Regression => Some(TargetScale::IDENTITY),
            Task::Classification { .. } => None,
        };
        let scaled = |examples: Examples| match &targets {
            Some(targets) => targets.standardize(&examples),
            None => Ok(examples),
        };
        let (train, validation) = (scaled(train)?, scaled(validation)?);
        let normalization = Normalization::of(&train);
        let mut loader = self
            .selection(data.task())
            .loader(&train, &validation)?
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .seed(self.seed)
            .normalization(normalization.clone());
        let n_epochs = progress.epochs;
        let n_steps = loader.n_steps().unwrap_or_default();
        let mut course = Course::new(work.step, data.task(), &variables, self.seed, n_steps)?;
        let mut at = match checkpoint {
            Some(checkpoint) => checkpoint.restore(&variables, &mut course, &mut loader)?,
            None => Position { config: work.config.clone(), ..Default::default() },
        };
        let wall_secs_before = at.wall_secs;
        let keep_selections = self.keep_selections.unwrap_or(self.select.chooses());
        let (mut validation_accuracy, mut validation_score, mut validation_loss) = (None, None, 0.0);
        let mut is_without_checkpoint = false;
        for number in at.epoch + 1..=n_epochs {
            // Dropout draws from libtorch's generator: from here on the same numbers, whatever went before.
            tch::manual_seed(self.seed.wrapping_add((number as u64) << 32) as i64);
            let epoch = loader.epoch(model.as_ref())?;
            let n_samples = epoch.n_samples();
            if let Some(selection) = epoch.selection.as_ref().filter(|_| keep_selections) {
                run.log_selection(number as i64, selection)?;
            }
            let Trained { score, train_secs, selection_secs } =
                course.train(model.as_ref(), epoch, device)?;
            let mut metrics = vec![
                ("train:loss", score.loss),
                ("epoch:seconds", train_secs),
                ("selection:seconds", selection_secs),
            ];
            metrics.extend(score.accuracy.map(|accuracy| ("train:accuracy", accuracy)));
            metrics.extend(device::memory_used(device).map(|bytes| ("gpu:megabytes", bytes as f64 / 1e6)));
            if !validation.is_empty() {
                let (score, seen) =
                    epoch::evaluate(model.as_ref(), &validation, &normalization, data.task())?;
                metrics.push(("validation:loss", score.loss));
                metrics.extend(score.accuracy.map(|accuracy| ("validation:accuracy", accuracy)));
                if let Some(targets) = &targets {
                    let (rmse, r2) = targets.score(&seen)?;
                    metrics.extend([("validation:rmse", rmse), ("validation:r2", r2)]);
                    validation_score = Some((rmse, r2));
                }
                loader.note_validation(seen);
                validation_accuracy = score.accuracy;
                validation_loss = score.loss;
            }
            run.log_metrics(number as i64, &metrics)?;
            run.log_text(&log_line(number, n_epochs, &metrics))?;
            progress.epoch = number;
            progress.train_loss = Some(score.loss);
            progress.validation_accuracy = validation_accuracy;
            progress.images_per_sec = Some(n_samples as f64 / train_secs.max(f64::MIN_POSITIVE));
            progress::tell(|listener| listener.run(progress));
            course.check(&score, n_samples as f64 / train.len() as f64, number)?;
            if !validation_loss.is_finite() {
                // The last steps of the epoch may have done it.
                return Err(epoch::diverged(format!("the validation loss is {validation_loss}"), number));
            }
            at.epoch = number;
            at.train_secs += train_secs;
            at.selection_secs += selection_secs;
            at.wall_secs = wall_secs_before + started.elapsed().as_secs_f64();
            if self.checkpoint_every > 0 && number % self.checkpoint_every == 0 && number < n_epochs {
                match checkpoint::write(&run.checkpoint_path(), &at, &variables, &course, &loader) {
                    Ok(()) => run.log_text(&format!("checkpoint behind epoch {number}"))?,
                    // The training can do without it, and an earlier one is still there.
                    Err(error @ Error::Io { .. }) => {
                        if !std::mem::replace(&mut is_without_checkpoint, true) {
                            let text =
                                format!("no checkpoint behind epoch {number}: {error}; the training goes on");
                            progress::tell(|listener| listener.note(&format!("{}: {text}", run.name())));
                            run.log_text(&text)?;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let (mut closing, mut test_accuracy, mut test_score) = (Vec::new(), None, None);
        if let Some(test) = &data.test {
            let test = scaled(test.to_device(device)?)?;
            let (score, seen) = epoch::evaluate(model.as_ref(), &test, &normalization, data.task())?;
            closing.push(("test:loss", score.loss));
            closing.extend(score.accuracy.map(|accuracy| ("test:accuracy", accuracy)));
            let balanced = epoch::balanced_accuracy(&seen, data.task())?;
            closing.extend(balanced.map(|accuracy| ("test:balanced_accuracy", accuracy)));
            test_accuracy = score.accuracy;
            if let Some(targets) = &targets {
                let (rmse, r2) = targets.score(&seen)?;
                closing.extend([("test:rmse", rmse), ("test:r2", r2)]);
                test_score = Some((rmse, r2));
            }
        }
        closing.push(("run:seconds", wall_secs_before + started.elapsed().as_secs_f64()));
        run.log_metrics(n_epochs as i64, &closing)?;
        run.log_text(&log_line(n_epochs, n_epochs, &closing))?;
        if let Some(evidence) = loader.evidence()?.filter(|_| keep_selections) {
            evidence.keep_with(run)?;
        }
        let architecture = self.architecture.as_ref();
        let model = TrainedModel::new(architecture, data, (normalization, targets), model, variables);
        if self.keep_model {
            model.keep_with(run, data.test.as_ref())?;
        }
        Ok(Fitted {
            run: run.name().to_owned(),
            validation_accuracy,
            test_accuracy,
            validation_rmse: validation_score.map(|(rmse, _)| rmse),
            validation_r2: validation_score.map(|(_, r2)| r2),
            test_rmse: test_score.map(|(rmse, _)| rmse),
            test_r2: test_score.map(|(_, r2)| r2),
            train_secs: at.train_secs,
            selection_secs: at.selection_secs,
            reused: false,
            model: Some(model),
        })
    }

    /// What is to be said of a run of these settings that diverged before.
    fn diverged_before(&self, experiment: &Experiment, before: &DivergedRun) -> Error {
        let progress = RunProgress {
            experiment: experiment.name().to_owned(),
            run: before.run.name().to_owned(),
            strategy: self.select.name().to_owned(),
            fraction: self.select.fraction(),
            epoch: before.epoch,
            epochs: self.select.plan(self.epochs).n_epochs(),
            ..Default::default()
        };
        progress::tell(|listener| listener.run_ended(&progress, "diverged before"));
        // As it is stored: "the training loss is NaN at epoch 3: a lower learning rate usually helps".
        let cause = before.error.rsplit_once(" at epoch ").map_or(before.error.as_str(), |(cause, _)| cause);
        Error::Diverged {
            what: format!("run '{}' diverged before: {cause}", before.run.name()),
            epoch: before.epoch,
            advice: "with these settings it would do so again, and was not tried; a lower learning rate usually helps \
                     (Trainer::retry_diverged or `glisten sweep --retry-diverged` tries all the same)"
                .to_owned(),
        }
    }

    fn reused(&self, experiment: &Experiment, run: &Run) -> Result<Fitted> {
        let records = experiment.store().run_records(Some(experiment.name()))?;
        let record = records.into_iter().find(|record| record.name == run.name());
        let metrics = record.map(|record| record.metrics).unwrap_or_default();
        let last = |name: &str| metrics.get(name).map(|stats| stats.last).filter(|value| value.is_finite());
        let total = |name: &str| metrics.get(name).map_or(0.0, |stats| stats.mean * stats.count as f64);
        let n_epochs = self.select.plan(self.epochs).n_epochs();
        let progress = RunProgress {
            experiment: experiment.name().to_owned(),
            run: run.name().to_owned(),
            strategy: self.select.name().to_owned(),
            fraction: self.select.fraction(),
            epoch: n_epochs,
            epochs: n_epochs,
            train_loss: last("train:loss"),
            validation_accuracy: last("validation:accuracy"),
            images_per_sec: None,
        };
        progress::tell(|listener| listener.run_ended(&progress, "completed before"));
        Ok(Fitted {
            run: run.name().to_owned(),
            validation_accuracy: last("validation:accuracy"),
            test_accuracy: last("test:accuracy"),
            validation_rmse: last("validation:rmse"),
            validation_r2: last("validation:r2"),
            test_rmse: last("test:rmse"),
            test_r2: last("test:r2"),
            train_secs: total("epoch:seconds"),
            selection_secs: total("selection:seconds"),
            reused: true,
            model: None,
        })
    }
}

/// A training as it can be found again: its steps, and everything that its result hangs on.
struct Work {
    step: Step,
    config: String,
    parameters: BTreeMap<String, Parameter>,
}

/// How far a training came.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// The run's name, as far as it was given one.
    pub(super) run: String,
    /// Whether nothing was trained because a run of these settings diverged before.
    pub(super) failed_before: bool,
}

/// As "epoch 3 of 20: train:loss 0.5231, validation:accuracy 0.8740, epoch:seconds 1.204".
fn log_line(epoch: usize, n_epochs: usize, metrics: &[(&str, f64)]) -> String {
    let values: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    format!("epoch {epoch} of {n_epochs}: {}", values.join(", "))
}

/// A run of this configuration that ended before its time and has a checkpoint: taken up again, cut back to that.
fn resumable(experiment: &Experiment, config: &str) -> Result<Option<(Run, Checkpoint)>> {
    for run in experiment.unfinished_runs(config)? {
        let Some(checkpoint) = Checkpoint::read(&run.checkpoint_path(), config)? else {
            // It may have been killed while it wrote the first one.
            remove_checkpoint(&run);
            continue;
        };
        if let Some(run) = experiment.reopen(&run, checkpoint.position.epoch as i64)? {
            return Ok(Some((run, checkpoint)));
        }
    }
    Ok(None)
}

/// Removes a run's checkpoint and what a process that was killed left of others, and the folder with the last one. Nobody
/// else writes there: a run belongs to one process.
fn remove_checkpoint(run: &Run) {
    let path = run.checkpoint_path();
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    // Through a link this would be somebody else's folder.
    if !folder.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (found, name) = (entry.file_name(), name.as_encoded_bytes());
        let found = found.as_encoded_bytes();
        // One that is being written begins with a dot.
        if found.strip_prefix(b".").unwrap_or(found).starts_with(name) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    // Fails while other runs have something there.
    let _ = std::fs::remove_dir(folder);
}
