//! Artifacts, through the server's own proxy for them.

use serde_json::Value;

use super::client::Failure;
use super::run::{Source, set_tag};
use super::{MlflowExported, Target, names, tag};
use crate::error::Result;
use crate::exchange::artifacts::Attached;

/// Where a server takes artifacts, under its own address.
const ENDPOINT: &str = "api/2.0/mlflow-artifacts/artifacts";
/// Prefix of the tags that say which artifacts have arrived, by their hashes.
const ARTIFACT_TAG: &str = "glisten.artifact.";

/// Sends the artifacts that are not there yet. Where the server does not take artifacts, that is noted.
pub(super) fn export(
    target: &Target<'_>,
    source: &Source,
    run: &Value,
    exported: &mut MlflowExported,
) -> Result<()> {
    if source.attached.is_empty() {
        return Ok(());
    }
    let uri = run["info"]["artifact_uri"].as_str().unwrap_or_default();
    let Some(folder) = served(uri, &target.client.shown()) else {
        note(exported, uri);
        return Ok(());
    };
    let run_id = run["info"]["run_id"].as_str().unwrap_or_default();
    for Attached { name, content, sha256 } in &source.attached {
        // Colons mean something in a path's first part.
        let file = names::encode(name, false);
        let key = names::encode(&format!("{ARTIFACT_TAG}{name}"), target.with_colon);
        if tag(run, &key.key) == Some(sha256) {
            continue;
        }
        let mut path: Vec<&str> = ENDPOINT.split('/').collect();
        path.extend(folder.split('/').filter(|part| !part.is_empty()));
        path.extend(file.key.split('/'));
        let doing = format!("sending the artifact '{name}' of the run '{}'", source.record.name);
        let is_served =
            target.client.with_retries(&doing, || match target.client.upload(&path, content) {
                Ok(()) => Ok(true),
                Err(Failure::Passing { what, .. }) if what.contains("serve-artifacts") => Ok(false),
                Err(failure) => Err(failure),
            })?;
        if !is_served {
            note(exported, uri);
            return Ok(());
        }
        for (key, value) in key.tag.iter().chain(&file.tag) {
            set_tag(target, run_id, &source.record.name, key, value)?;
        }
        set_tag(target, run_id, &source.record.name, &key.key, sha256)?;
        exported.n_artifacts += 1;
    }
    Ok(())
}

/// The folder of a run's artifacts under the server's endpoint, if it takes them itself.
fn served<'u>(uri: &'u str, server: &str) -> Option<&'u str> {
    if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
        return match rest.strip_prefix("//") {
            // Another host is not ours to send credentials to.
            Some(with_host) => {
                let (host, path) = with_host.split_once('/')?;
                let own = server.split("://").nth(1)?.split('/').next()?;
                (host.is_empty() || host == own).then_some(path)
            }
            None => Some(rest),
        };
    }
    uri.strip_prefix(server)?.strip_prefix('/')?.strip_prefix(ENDPOINT)?.strip_prefix('/')
}

fn note(exported: &mut MlflowExported, uri: &str) {
    let kind = uri.split_once(':').map_or("a folder", |(scheme, _)| scheme);
    let note = format!(
        "artifacts and selections stay out: the server keeps them under {kind} and does not take them itself; \
         `mlflow server --serve-artifacts` does"
    );
    if !exported.notes.contains(&note) {
        exported.notes.push(note);
    }
}

#[cfg(test)]
mod tests {
    use super::served;

    #[test]
    fn artifacts_go_to_the_server_itself_only() {
        let server = "http://127.0.0.1:5000";
        for (uri, folder) in [
            ("mlflow-artifacts:/0/ab/artifacts", Some("/0/ab/artifacts")),
            ("mlflow-artifacts://127.0.0.1:5000/0/ab/artifacts", Some("0/ab/artifacts")),
            ("mlflow-artifacts:///0/ab", Some("0/ab")),
            ("mlflow-artifacts://elsewhere/0/ab", None),
            ("http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/0/ab", Some("0/ab")),
            ("http://elsewhere/api/2.0/mlflow-artifacts/artifacts/0/ab", None),
            ("file:///tmp/mlruns/0/ab/artifacts", None),
            ("s3://bucket/0/ab", None),
            ("/tmp/mlruns/0", None),
            ("", None),
        ] {
            assert_eq!(served(uri, server), folder, "{uri}");
        }
    }
}
