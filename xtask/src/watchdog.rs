//! A process that ends our children when this one is killed (`kill -9`), which it cannot do itself.
//!
//! It is forked when the program starts and reads from a pipe which process groups run. The pipe's other end is closed when
//! this program is gone, however it went: the watchdog then ends the groups that are left, and itself.

use std::sync::atomic::{AtomicI32, Ordering};

/// The end of the pipe to write to; -1 without a watchdog.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Forks the watchdog. Without one (no more processes, say) everything works but for the children's end after a `kill -9`.
/// Call it before any thread is started.
pub(crate) fn start() {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors. The program has one thread, so the child may run any code.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return;
        }
        match libc::fork() {
            -1 => {}
            0 => {
                libc::close(ends[1]);
                watch(ends[0]);
                libc::_exit(0);
            }
            _ => {
                libc::close(ends[0]);
                PIPE.store(ends[1], Ordering::SeqCst);
            }
        }
    }
}

/// Tells the watchdog that the process group `group` runs now.
pub(crate) fn began(group: i32) {
    tell(group);
}

/// Tells the watchdog that the process group `group` is no longer its concern.
pub(crate) fn ended(group: i32) {
    tell(-group);
}

fn tell(number: i32) {
    let pipe = PIPE.load(Ordering::SeqCst);
    if pipe >= 0 {
        // SAFETY: four bytes of `number` are read; so few are written whole or not at all.
        unsafe { libc::write(pipe, (&raw const number).cast(), size_of::<i32>()) };
    }
}

/// The watchdog's life.
fn watch(pipe: i32) {
    // SAFETY: plain system calls. A session of its own: what kills our group does not reach the watchdog.
    unsafe {
        libc::setsid();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // Whoever reads our output must see its end when the program ends.
        for stream in 0..=2 {
            libc::close(stream);
        }
    }
    let mut groups: Vec<i32> = Vec::new();
    let mut number = 0_i32;
    // SAFETY: `number` has room for the four bytes that are read.
    while unsafe { libc::read(pipe, (&raw mut number).cast(), size_of::<i32>()) } == size_of::<i32>() as isize
    {
        if number > 0 {
            groups.push(number);
        } else {
            groups.retain(|group| *group != -number);
        }
    }
    // SIGINT first: pip removes its half-downloaded files, nbclient ends its kernel.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        for group in &groups {
            // SAFETY: a plain system call.
            unsafe { libc::kill(-group, signal) };
        }
        for _ in 0..30 {
            groups.retain(|group| is_running(*group));
            if groups.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

fn is_running(group: i32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::kill(-group, 0) == 0 }
}
