//! Experiments and what a training came to.

use glisten::track::{Experiment, Run, Status, Store};
use glisten::train::Fitted;

use super::{MimeBundle, Show, escape};

impl Show for Experiment {
    fn mime_bundle(&self) -> MimeBundle {
        let runs = match self.store().run_records(Some(self.name())) {
            Ok(records) => counts(records.iter().map(|record| record.status)),
            Err(error) => error.to_string(),
        };
        let store = self.store().path().display().to_string();
        let text = format!("experiment '{}': {runs} (in {store})", self.name());
        let html = format!(
            r#"<div><b>{}</b> · {} · <small style="opacity:.65">experiment in {}</small></div>"#,
            escape(self.name()),
            escape(&runs),
            escape(&store)
        );
        MimeBundle::text(text).html(html)
    }
}

impl Show for Store {
    fn mime_bundle(&self) -> MimeBundle {
        let experiments = match self.experiment_names() {
            Ok(names) if names.is_empty() => "no experiments yet".to_owned(),
            Ok(names) => names.join(", "),
            Err(error) => error.to_string(),
        };
        MimeBundle::text(format!("store {}: {experiments}", self.path().display()))
    }
}

impl Show for Run {
    fn mime_bundle(&self) -> MimeBundle {
        MimeBundle::text(format!("run '{}' of experiment '{}'", self.name(), self.experiment()))
    }
}

impl Show for Fitted {
    fn mime_bundle(&self) -> MimeBundle {
        let text = line(self);
        let rest = text.strip_prefix(&self.run).unwrap_or(&text);
        let html = format!("<div><b>{}</b>{}</div>", escape(&self.run), escape(rest));
        MimeBundle::text(text).html(html)
    }
}

/// As "glister 30 % seed 0 · test accuracy 84.3 % · validation 85.0 % · 12.3 s of training + 1.2 s of choosing".
fn line(fitted: &Fitted) -> String {
    let percent = |accuracy: f64| format!("{:.1} %", 100.0 * accuracy);
    let choosing = if fitted.selection_secs > 0.0 {
        format!(" + {:.1} s of choosing", fitted.selection_secs)
    } else {
        String::new()
    };
    let parts = [
        Some(fitted.run.clone()),
        fitted.test_accuracy.map(|accuracy| format!("test accuracy {}", percent(accuracy))),
        fitted.validation_accuracy.map(|accuracy| format!("validation {}", percent(accuracy))),
        fitted.test_rmse.zip(fitted.test_r2).map(|(rmse, r2)| format!("test RMSE {rmse:.4}, R² {r2:.3}")),
        fitted
            .validation_rmse
            .zip(fitted.validation_r2)
            .map(|(rmse, r2)| format!("validation RMSE {rmse:.4}, R² {r2:.3}")),
        Some(format!("{:.1} s of training{choosing}", fitted.train_secs)),
        fitted.reused.then(|| "done before".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// "8 runs: 7 completed, 1 stopped".
fn counts(statuses: impl Iterator<Item = Status>) -> String {
    let statuses: Vec<Status> = statuses.collect();
    let parts: Vec<String> =
        [Status::Completed, Status::Running, Status::Created, Status::Stopped, Status::Failed]
            .into_iter()
            .map(|one| (one, statuses.iter().filter(|status| **status == one).count()))
            .filter(|(_, n)| *n > 0)
            .map(|(status, n)| format!("{n} {}", status.as_str()))
            .collect();
    match statuses.len() {
        0 => "no runs yet".to_owned(),
        1 => format!("1 run: {}", parts.join(", ")),
        n => format!("{n} runs: {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_by_status() {
        let statuses = [Status::Completed, Status::Failed, Status::Completed];
        assert_eq!(counts(statuses.into_iter()), "3 runs: 2 completed, 1 failed");
        assert_eq!(counts(std::iter::empty()), "no runs yet");
    }

    #[test]
    fn a_training_is_one_line() {
        let fitted = Fitted {
            run: "<b> seed 0".to_owned(),
            validation_accuracy: Some(0.85),
            test_accuracy: Some(0.8434),
            validation_rmse: None,
            validation_r2: None,
            test_rmse: None,
            test_r2: None,
            train_secs: 12.34,
            selection_secs: 0.0,
            reused: true,
            model: None,
        };
        let bundle = fitted.mime_bundle();
        let text = "<b> seed 0 · test accuracy 84.3 % · validation 85.0 % · 12.3 s of training · done before";
        assert_eq!(bundle.as_json()["text/plain"], text);
        assert!(
            bundle.as_json()["text/html"]
                .as_str()
                .unwrap()
                .starts_with("<div><b>&lt;b&gt; seed 0</b> · test")
        );
        let regression = Fitted {
            validation_accuracy: None,
            test_accuracy: None,
            validation_rmse: Some(1234.56),
            validation_r2: Some(0.9),
            reused: false,
            ..fitted
        };
        assert_eq!(
            line(&regression),
            "<b> seed 0 · validation RMSE 1234.5600, R² 0.900 · 12.3 s of training"
        );
    }
}
