//! A page of memory that the kernel shares with its worker: how many of Glisten's own calls are in progress there. Such a call
//! ends by itself once it is asked to, though perhaps not before a large batch is through, so it needs no force.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

/// The environment variable that tells a worker which descriptor the page has.
pub(crate) const CALLS: &str = "GLISTEN_KERNEL_CALLS";

/// The kernel's view of the page.
pub(crate) struct Calls {
    file: File,
    counter: NonNull<AtomicU32>,
}

// SAFETY: the page stays mapped as long as the value lives, and is only looked at through an atomic.
unsafe impl Send for Calls {}
// SAFETY: as above.
unsafe impl Sync for Calls {}

impl Calls {
    /// A page of zeros.
    ///
    /// # Errors
    /// If the system gives no memory.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let file = tempfile::tempfile().context("no file to share with the worker")?;
        file.set_len(SIZE as u64)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: the file is open and as long as the mapping.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protection, flags, file.as_raw_fd(), 0) };
        ensure!(page != libc::MAP_FAILED, "no memory: {}", std::io::Error::last_os_error());
        let counter = NonNull::new(page.cast()).context("no memory")?;
        Ok(Self { file, counter })
    }

    /// The descriptor that the worker inherits.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Whether one of Glisten's calls is in progress.
    pub(crate) fn any(&self) -> bool {
        // SAFETY: the page is mapped, aligned, and holds a number whatever the worker does to it.
        unsafe { self.counter.as_ref() }.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size; nobody else in this process has its address.
        unsafe { libc::munmap(self.counter.as_ptr().cast(), SIZE) };
    }
}

/// The size of the mapping: the system rounds it up to a page.
const SIZE: usize = size_of::<AtomicU32>();
