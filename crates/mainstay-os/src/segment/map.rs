//! The segment in shared memory: a memfd, mapped by each process.

use super::atomic::AtomicU64;
use super::{Cells, Layout, LayoutError, Segment};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

/// Why a segment could not be made or mapped.
#[derive(Debug)]
pub enum MapError {
    /// The system refused memory, or the descriptor.
    Io(io::Error),
    /// The memory is not a segment that this program understands.
    Layout(LayoutError),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Io(error) => write!(f, "shared segment: {error}"),
            MapError::Layout(error) => write!(f, "shared segment: {error}"),
        }
    }
}

impl std::error::Error for MapError {}

impl From<rustix::io::Errno> for MapError {
    fn from(error: rustix::io::Errno) -> MapError {
        MapError::Io(error.into())
    }
}

/// A shared, writable mapping of whole words, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the mapping is owned memory that is only ever reached as `&[AtomicU64]`.
unsafe impl Send for Mapping {}
// SAFETY: shared access is to atomics alone.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: impl AsFd, words: usize) -> io::Result<Mapping> {
        let bytes = words * size_of::<AtomicU64>();
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing of ours.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let base = NonNull::new(base.cast::<AtomicU64>())
            .ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Mapping { base, len: words })
    }

    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `base` is page-aligned, valid for `len` words until drop, every bit pattern is a
        // valid word, the memfd is sealed against shrinking, and all processes use atomics on it.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping made in `new`, and no slice outlives it.
        let unmapped = unsafe {
            rustix::mm::munmap(self.base.as_ptr().cast(), self.len * size_of::<AtomicU64>())
        };
        debug_assert!(unmapped.is_ok(), "a whole mapping of ours can be unmapped");
    }
}

/// What keys of limits are hashed with: nobody outside can know it.
fn secret() -> rustix::io::Result<[u64; 2]> {
    let mut secret = [0; 16];
    // So few bytes come whole.
    rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())?;
    let (words, _) = secret.as_chunks();
    Ok([0, 1].map(|word| u64::from_le_bytes(words[word])))
}

impl Segment {
    /// Makes a segment in shared memory. The descriptor is close-on-exec and sealed against
    /// resizing, so that no process can pull the memory from under another.
    ///
    /// # Errors
    /// [`MapError::Layout`] when the sizes are beyond what another process would map, and
    /// [`MapError::Io`] when the system refuses the memory.
    pub fn create(layout: Layout) -> Result<(Segment, OwnedFd), MapError> {
        layout.check().map_err(MapError::Layout)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("mainstay-segment", flags)?;
        rustix::fs::ftruncate(&fd, (layout.words() * size_of::<AtomicU64>()) as u64)?;
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        let cells = Cells::mapped(Mapping::new(&fd, layout.words()).map_err(MapError::Io)?);
        layout.stamp(cells.words());
        let segment = Segment::from_parts(cells, layout);
        segment.limits().set_secret(secret()?);
        Ok((segment, fd))
    }

    /// Maps a segment that another process made.
    ///
    /// # Errors
    /// [`MapError::Layout`] unless magic, version and sizes agree with this program, and unless the
    /// memory is sealed against shrinking.
    pub fn attach(fd: impl AsFd) -> Result<Segment, MapError> {
        let sealed = rustix::fs::fcntl_get_seals(&fd)?;
        if !sealed.contains(SealFlags::SHRINK) {
            return Err(MapError::Layout(LayoutError::NotASegment));
        }
        let bytes = usize::try_from(rustix::fs::fstat(&fd)?.st_size)
            .map_err(|_| MapError::Layout(LayoutError::Size))?;
        if bytes == 0 || bytes % size_of::<AtomicU64>() != 0 {
            return Err(MapError::Layout(LayoutError::NotASegment));
        }
        let mapping = Mapping::new(&fd, bytes / size_of::<AtomicU64>()).map_err(MapError::Io)?;
        let cells = Cells::mapped(mapping);
        let layout = Layout::read(cells.words()).map_err(MapError::Layout)?;
        Ok(Segment::from_parts(cells, layout))
    }
}
