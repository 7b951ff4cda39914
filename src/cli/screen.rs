//! The whole terminal as one view that is drawn again and again, and given back as it was: at the end, on an error, on a
//! panic, on Ctrl-C and on a signal that ends the process.

use std::io::{self, IsTerminal, Write};
use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use console::Term;
use glisten::interrupt;

/// Another screen that keeps what is on this one, no cursor, no line breaks of the terminal's own.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Whether a screen is open; whoever sets it back restores the terminal.
static IS_OPEN: AtomicBool = AtomicBool::new(false);
/// How the keyboard was set before, if there is one; never freed, so that a signal handler may read it at any moment.
static KEYBOARD: AtomicPtr<libc::termios> = AtomicPtr::new(std::ptr::null_mut());

/// The terminal, taken over until this is dropped.
pub(super) struct Screen {
    term: Term,
    has_keyboard: bool,
    drawn_at: (usize, usize),
    has_quit: bool,
    handlers: [(libc::c_int, libc::sighandler_t); 3],
}

impl Screen {
    /// Whether standard output is a terminal that can be drawn on.
    pub(super) fn is_possible() -> bool {
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
    }

    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Self> {
        restore_on_panic();
        let keyboard = silence_keyboard();
        if let Some(settings) = keyboard {
            KEYBOARD.store(Box::leak(Box::new(settings)), Ordering::SeqCst);
        }
        IS_OPEN.store(true, Ordering::SeqCst);
        let handler: extern "C" fn(libc::c_int) = on_signal;
        let handlers = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(|signal| {
            // SAFETY: the handler does nothing but what a signal handler may.
            (signal, unsafe { libc::signal(signal, handler as libc::sighandler_t) })
        });
        let screen = Self {
            term: Term::stdout(),
            has_keyboard: keyboard.is_some(),
            drawn_at: (0, 0),
            has_quit: false,
            handlers,
        };
        let mut out = io::stdout().lock();
        out.write_all(OPEN.as_bytes())?;
        out.flush()?;
        Ok(screen)
    }

    /// Lines and columns.
    pub(super) fn size(&self) -> (usize, usize) {
        let (lines, columns) = self.term.size();
        (usize::from(lines), usize::from(columns))
    }

    /// Draws the lines, which have to fit.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        self.drawn_at = self.size();
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "\r\n" });
            // Before the line, not behind it: behind one as wide as the terminal the cursor stands on its last character.
            text.push_str("\x1b[K");
            text.push_str(line);
        }
        if lines.len() < self.drawn_at.0 {
            text.push_str(if lines.is_empty() { "\x1b[J" } else { "\r\n\x1b[J" });
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Whether the terminal has another size than at the last drawing, or the user has pressed q.
    pub(super) fn is_to_be_redrawn(&mut self) -> bool {
        while let Some(key) = self.key() {
            self.has_quit |= matches!(key, b'q' | b'Q');
        }
        self.has_quit || self.size() != self.drawn_at
    }

    /// Whether the user has pressed q.
    pub(super) fn has_quit(&self) -> bool {
        self.has_quit
    }

    /// A key that was pressed, if there is one; does not wait.
    fn key(&self) -> Option<u8> {
        let mut key = 0_u8;
        // SAFETY: one byte goes to where one byte is. The keyboard is set not to wait.
        let n_read = self.has_keyboard.then(|| unsafe { libc::read(0, (&raw mut key).cast(), 1) });
        (n_read == Some(1)).then_some(key)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
        for (signal, handler) in self.handlers {
            // SAFETY: these are the handlers that were there before.
            unsafe { libc::signal(signal, handler) };
        }
    }
}

/// Gives the terminal back, once. May be called from a signal handler.
fn restore() {
    if IS_OPEN.swap(false, Ordering::SeqCst) {
        let settings = KEYBOARD.load(Ordering::SeqCst);
        // SAFETY: write and tcsetattr may be called from a signal handler; the settings, where there are any, are never freed.
        unsafe {
            // The keyboard first: whoever sees the screen close may type.
            if !settings.is_null() {
                libc::tcsetattr(0, libc::TCSANOW, settings);
            }
            libc::write(1, CLOSE.as_ptr().cast(), CLOSE.len());
        }
    }
}

/// The first signal asks the work to end; the second, or one that is not Ctrl-C, ends the process.
extern "C" fn on_signal(signal: libc::c_int) {
    if signal == libc::SIGINT && !interrupt::requested() {
        interrupt::request();
        return;
    }
    restore();
    // SAFETY: _exit may be called from a signal handler.
    unsafe { libc::_exit(128 + signal) };
}

/// Before the message of a panic is printed, the terminal is given back: else it would vanish with the screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// Keys are not shown, are there at once, and Ctrl-Z is a key like others; Ctrl-C stays what it is. Gives the settings that
/// were there before; none where standard input is no terminal.
fn silence_keyboard() -> Option<libc::termios> {
    let mut before = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr fills the struct where it returns 0.
    let before = unsafe {
        if libc::tcgetattr(0, before.as_mut_ptr()) != 0 {
            return None;
        }
        before.assume_init()
    };
    let mut silent = before;
    silent.c_lflag &= !(libc::ICANON | libc::ECHO);
    silent.c_cc[libc::VMIN] = 0;
    silent.c_cc[libc::VTIME] = 0;
    silent.c_cc[libc::VSUSP] = libc::_POSIX_VDISABLE;
    // SAFETY: the settings are whole.
    (unsafe { libc::tcsetattr(0, libc::TCSANOW, &raw const silent) } == 0).then_some(before)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{CLOSE, OPEN, Screen};

    const CHILD: &str = "GLISTEN_TEST_SCREEN";

    /// Not a test of its own: it panics with an open screen.
    #[test]
    #[ignore = "started by another test"]
    fn child_that_panics() {
        if std::env::var_os(CHILD).is_some() {
            let _screen = Screen::open().unwrap();
            panic!("on purpose");
        }
    }

    #[test]
    fn the_terminal_is_given_back_before_a_panic_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let file = std::fs::File::create(&path).unwrap();
        let child = "cli::screen::tests::child_that_panics";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", child, "--nocapture", "--include-ignored"])
            .env(CHILD, "1")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        assert!(!status.success());
        let text = std::fs::read_to_string(&path).unwrap();
        let close = std::str::from_utf8(CLOSE).unwrap();
        let [opened, closed, told] = [OPEN, close, "on purpose"]
            .map(|part| text.find(part).unwrap_or_else(|| panic!("{part:?} in {text:?}")));
        assert!(opened < closed && closed < told, "{text:?}");
        assert_eq!(text.matches(close).count(), 1, "{text:?}");
    }
}
