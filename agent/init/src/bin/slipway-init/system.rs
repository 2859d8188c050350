//! The system calls that rustix has no safe form of, each behind a safe function; and init's clocks.

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use slipway_init::spool::ExitStatus;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// A child that was reaped.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) status: ExitStatus,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
    pub(crate) max_rss_bytes: u64,
}

/// What `wait4` found.
pub(crate) enum Reap {
    Child(Reaped),
    /// Children live, none has ended.
    NoneEnded,
    NoChildren,
}

/// Reaps one ended child without waiting.
#[allow(unsafe_code)]
pub(crate) fn reap() -> Reap {
    let mut status: libc::c_int = 0;
    // SAFETY: rusage is a plain C struct for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG, &mut usage) };
    match pid {
        0 => Reap::NoneEnded,
        pid if pid > 0 => {
            let status = if libc::WIFSIGNALED(status) {
                ExitStatus::Signal(u8::try_from(libc::WTERMSIG(status)).unwrap_or(0))
            } else {
                ExitStatus::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
            };
            Reap::Child(Reaped {
                pid,
                status,
                user_us: micros(usage.ru_utime),
                system_us: micros(usage.ru_stime),
                max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
            })
        }
        _ => Reap::NoChildren,
    }
}

fn micros(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Sends a signal to a process group. A group that is gone is no error.
pub(crate) fn signal_group(leader: i32, signal: i32) {
    if leader > 1 {
        kill(-leader, signal);
    }
}

/// Sends a signal to everything in the pid namespace but init itself.
pub(crate) fn signal_all(signal: i32) {
    kill(-1, signal);
}

#[allow(unsafe_code)]
fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes two integers and touches no memory of ours.
    unsafe { libc::kill(pid, signal) };
}

/// Keeps descriptors that whoever started init left open from the steps. A kernel without the call (before 5.11) changes
/// nothing; container runtimes leave none.
#[allow(unsafe_code)]
pub(crate) fn seal_inherited_descriptors() {
    // SAFETY: only sets a flag on descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Blocks the signals that init handles and gives the descriptor that they are read from.
#[allow(unsafe_code)]
pub(crate) fn signal_descriptor(signals: &[i32]) -> std::io::Result<OwnedFd> {
    // SAFETY: sigset_t is a plain C struct; sigemptyset initialises it before anything reads it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for all three calls; the process has one thread, so its mask is the process's.
    let fd = unsafe {
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: signalfd gave us this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The numbers of the signals that wait in a signal descriptor.
pub(crate) fn read_signals(descriptor: &OwnedFd) -> Vec<i32> {
    const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();
    let mut records = [0_u8; RECORD_BYTES * 8];
    let count = rustix::io::read(descriptor, &mut records).unwrap_or(0);
    let read = records.get(..count).unwrap_or_default();
    // The signal's number is the first field of each record.
    read.chunks_exact(RECORD_BYTES)
        .filter_map(|record| record.first_chunk::<4>())
        .filter_map(|number| i32::try_from(u32::from_ne_bytes(*number)).ok())
        .collect()
}

/// Whether a signal to this process, blocked as it is, can be read from the descriptor. Emulators of user programs (qemu) take
/// signals before the kernel has them to tell.
pub(crate) fn tells_signals(descriptor: &OwnedFd) -> bool {
    kill(i32::try_from(std::process::id()).unwrap_or(1), libc::SIGCHLD);
    !read_signals(descriptor).is_empty()
}

/// The pid of the process at the other end of a Unix socket, as this pid namespace sees it: 0 when it is outside.
/// (rustix has this call too, but its pid type cannot be 0.)
#[allow(unsafe_code)]
pub(crate) fn peer_pid(socket: BorrowedFd<'_>) -> rustix::io::Result<i32> {
    let mut credentials = libc::ucred { pid: -1, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointers are valid and `length` is the size of what `credentials` has room for.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &mut length,
        )
    };
    if result == 0 {
        Ok(credentials.pid)
    } else {
        Err(Errno::from_io_error(&last_error()).unwrap_or(Errno::IO))
    }
}

fn last_error() -> std::io::Error {
    std::io::Error::last_os_error()
}

/// Milliseconds of the clock that deadlines inside init use.
pub(crate) fn monotonic_ms() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000)
}

/// Unix milliseconds, for frames.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
