//! `glisten watch` and `glisten runs --follow` on a pseudo-terminal, with this process as the one that writes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use glisten::prelude::*;

use super::support::glisten;

const OPENED: &str = "\x1b[?1049h";
/// Line breaks, the cursor and what was on the terminal before are back.
const CLOSED: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    seen: Arc<(Mutex<Vec<u8>>, Condvar)>,
}

impl Terminal {
    fn start(command: &mut Command, rows: u16, columns: u16) -> Self {
        let (mut master, mut slave) = (0, 0);
        let mut size = window(rows, columns);
        let none = std::ptr::null_mut();
        // SAFETY: the two numbers are filled where it returns 0, and are files of nobody else.
        let (master, slave) = unsafe {
            assert_eq!(libc::openpty(&mut master, &mut slave, none, none.cast(), &raw mut size), 0);
            (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        let end = || slave.try_clone().unwrap();
        if command.get_envs().all(|(name, _)| name != "TERM") {
            command.env("TERM", "xterm-256color");
        }
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: setsid and ioctl may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                // The terminal becomes that of the new session, so that Ctrl-C on it is a signal.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let child = command.spawn().unwrap();
        let seen = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (mut reader, to) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                to.0.lock().unwrap().extend(&bytes[..n]);
                to.1.notify_all();
            }
        });
        Self { child, master, slave, seen }
    }

    /// Everything that came so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.0.lock().unwrap()).into_owned()
    }

    /// Waits until `text` was drawn behind what stood there `from` on; gives where that is.
    #[track_caller]
    fn wait_for(&self, text: &str, from: usize) -> usize {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            if let Some(at) = find(&seen[from.min(seen.len())..], text.as_bytes()) {
                return from + at;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{text:?} was not drawn: {:?}", String::from_utf8_lossy(&seen));
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    fn n_seen(&self) -> usize {
        self.seen.0.lock().unwrap().len()
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = window(rows, columns);
        // SAFETY: the size is whole.
        assert_eq!(unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) }, 0);
    }

    /// How the keyboard is set.
    fn keyboard(&self) -> (libc::tcflag_t, [libc::cc_t; libc::NCCS]) {
        // SAFETY: an all-zero struct is one, and is filled where it returns 0.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.slave.as_raw_fd(), &mut settings), 0);
            (settings.c_lflag, settings.c_cc)
        }
    }

    /// Its status once it has ended by itself.
    #[track_caller]
    fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(Instant::now() < deadline, "it does not end: {:?}", self.text()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.code();
        // The last bytes may still be on their way to the reading thread.
        self.master.flush().unwrap();
        let mut n = self.n_seen();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            if self.n_seen() == n {
                return (code, self.text());
            }
            n = self.n_seen();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn window(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn study(folder: &Path) -> (Experiment, Run) {
    let store = Store::open(folder.join("glisten.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("glister 30 % seed 0").unwrap();
    run.log_parameter("epochs", 4_i64).unwrap();
    run.log_parameter("budget", 1000_i64).unwrap();
    epoch(&run, 1, 0.5);
    (study, run)
}

fn epoch(run: &Run, number: i64, accuracy: f64) {
    let metrics = [("epoch:seconds", 2.0), ("train:loss", 0.25), ("validation:accuracy", accuracy)];
    run.log_metrics(number, &metrics).unwrap();
}

fn watch(folder: &Path) -> Command {
    let mut command = glisten();
    command.args(["watch", "study"]).current_dir(folder);
    command
}

#[test]
fn a_watched_run_is_drawn_as_it_goes_on_and_the_terminal_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (study, run) = study(folder.path());
    let terminal = Terminal::start(&mut watch(folder.path()), 24, 100);
    terminal.wait_for(OPENED, 0);
    let at = terminal.wait_for("1/4 epochs", 0);
    terminal.wait_for("500 samples/s", at);
    let silent = terminal.keyboard();
    assert_eq!(silent.0 & (libc::ECHO | libc::ICANON), 0, "keys are not shown");

    epoch(&run, 2, 0.75);
    let at = terminal.wait_for("2/4 epochs", at);
    terminal.wait_for("validation:accuracy 0.75", at);
    let second = study.start_run("second\u{1b}[2J").unwrap();
    let at = terminal.wait_for("second\\u{1b}[2J", at);
    terminal.wait_for("2 runs: 2 running", 0);

    // A narrow terminal: every line fits, the most important is still there.
    let from = terminal.n_seen();
    terminal.resize(12, 40);
    terminal.wait_for("\x1b[J", terminal.wait_for("2/4 epochs", from.max(at)));
    let text = terminal.text();
    let frame = text.rsplit("\x1b[H").next().unwrap();
    for line in frame.split("\r\n") {
        let line = console::strip_ansi_codes(line.trim_end_matches('\r'));
        assert!(console::measure_text_width(&line) <= 40, "{line:?}");
    }
    second.end_with(&Error::Interrupted(String::new())).unwrap();
    run.complete().unwrap();
    // Nothing is at work any more: it ends by itself, and what was seen last stays.
    terminal.wait_for(CLOSED, from);
    let keyboard = terminal.keyboard();
    assert_ne!(keyboard.0 & libc::ECHO, 0);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0));
    let after = text.rsplit(CLOSED).next().unwrap();
    assert!(
        after.contains("2 runs: 1 completed, 1 stopped") && after.contains("glister 30 % seed 0"),
        "{after:?}"
    );
    assert_eq!(text.matches(OPENED).count(), 1);
    assert_eq!(text.matches(CLOSED).count(), 1);
}

/// tmux, as most terminals, keeps the cursor on the last column behind a line as wide as it: what is erased from there on is
/// the line's last character.
#[test]
fn in_tmux_no_line_loses_its_last_column() {
    let folder = tempfile::tempdir().unwrap();
    let (study, _run) = study(folder.path());
    for name in ["first", "second"] {
        let run = study.start_run(name).unwrap();
        epoch(&run, 1, 0.5);
        run.complete().unwrap();
    }
    let socket = folder.path().join("tmux");
    let tmux = |arguments: &[&str]| {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&socket).args(["-f", "/dev/null"]).args(arguments).env_remove("TMUX");
        command.output()
    };
    // As high as what is drawn, and higher.
    for (rows, session) in [("24", "high"), ("8", "low")] {
        let start = [
            "start-server",
            ";",
            "set-option",
            "-g",
            "status",
            "off",
            ";",
            "new-session",
            "-d",
            "-s",
            session,
        ];
        let size = ["-x", "70", "-y", rows, "-c", folder.path().to_str().unwrap()];
        let glisten = ["env", "OMP_NUM_THREADS=1", env!("CARGO_BIN_EXE_glisten"), "watch", "study"];
        match tmux(&[&start[..], &size, &glisten].concat()) {
            Err(_) => {
                return super::support::skipped("in_tmux_no_line_loses_its_last_column", "no tmux here");
            }
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let pane = loop {
            let pane = tmux(&["capture-pane", "-p", "-t", session]).unwrap().stdout;
            let pane = String::from_utf8(pane).unwrap();
            if pane.contains("1/4 epochs") && pane.contains("completed") {
                break pane;
            }
            assert!(Instant::now() < deadline, "nothing is drawn: {pane}");
            std::thread::sleep(Duration::from_millis(50));
        };
        let _ = tmux(&["kill-session", "-t", session]);
        let ended: Vec<&str> = pane.lines().filter(|line| line.starts_with("completed")).collect();
        assert!(!ended.is_empty(), "{pane}");
        for line in ended {
            // The seconds that it took end the line, in the last column.
            let clock = line.rsplit(' ').next().unwrap().split(':').map(str::len).collect::<Vec<_>>();
            assert_eq!((line.chars().count(), clock), (70, vec![1, 2]), "{line:?} in\n{pane}");
        }
        assert!(pane.lines().next().unwrap().contains("study"), "{pane}");
    }
    let _ = tmux(&["kill-server"]);
}

#[test]
fn ctrl_c_q_and_a_signal_end_the_view_and_give_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_study, _run) = study(folder.path());
    let before = Terminal::start(&mut Command::new("true"), 24, 80).keyboard();
    for (keys, expected) in [("\u{3}", Some(130)), ("q", Some(0)), ("", Some(143))] {
        for arguments in [&["watch", "study"][..], &["runs", "study", "--follow"]] {
            let mut command = glisten();
            command.args(arguments).current_dir(folder.path());
            let mut terminal = Terminal::start(&mut command, 24, 80);
            terminal.wait_for("glister 30 % seed 0", terminal.wait_for(OPENED, 0));
            if keys.is_empty() {
                // SAFETY: a signal to a child that has not been waited for yet.
                assert_eq!(unsafe { libc::kill(terminal.child.id() as i32, libc::SIGTERM) }, 0);
            } else {
                terminal.press(keys);
            }
            terminal.wait_for(CLOSED, 0);
            let code = terminal.code();
            assert_eq!(code, expected, "{keys:?} {arguments:?}: {}", terminal.text());
            assert_eq!(terminal.keyboard(), before, "{keys:?} {arguments:?}");
            assert!(!terminal.text().contains("^C") && !terminal.text().contains("panicked"));
        }
    }
}

#[test]
fn a_table_on_a_terminal_is_drawn_again_whenever_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (_study, run) = study(folder.path());
    let mut command = glisten();
    command.args(["runs", "study", "--follow"]).current_dir(folder.path());
    let terminal = Terminal::start(&mut command, 24, 80);
    let at = terminal.wait_for("0.5", terminal.wait_for("running", 0));
    epoch(&run, 2, 0.9375);
    let at = terminal.wait_for("0.9375", at);
    run.complete().unwrap();
    terminal.wait_for("completed", at);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0));
    let after = text.rsplit(CLOSED).next().unwrap();
    assert!(after.contains("completed") && after.contains("0.9375"), "{after:?}");
    for line in after.lines() {
        assert!(console::measure_text_width(&console::strip_ansi_codes(line)) <= 80, "{line:?}");
    }
}

#[test]
fn without_a_terminal_the_view_is_printed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (study, _run) = study(folder.path());
    for arguments in [&[][..], &["--once"]] {
        let output = watch(folder.path()).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        assert!(text.contains("1/4 epochs") && text.contains("1 run: 1 running"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
    let once = Terminal::start(watch(folder.path()).arg("--once"), 24, 80);
    let (code, text) = once.end();
    assert!(code == Some(0) && text.contains("1/4 epochs") && !text.contains(OPENED), "{text:?}");
    let dumb = Terminal::start(watch(folder.path()).env("TERM", "dumb"), 24, 80);
    let (code, text) = dumb.end();
    assert!(code == Some(0) && text.contains("1/4 epochs") && !text.contains(OPENED), "{text:?}");
    let empty = Experiment::create_in(study.store(), "empty").unwrap();
    let output = glisten().args(["watch", empty.name()]).current_dir(folder.path()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("no runs yet"));
    let output = glisten().args(["watch", "studdy"]).current_dir(folder.path()).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("did you mean 'study'"));
}
