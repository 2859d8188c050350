//! Starts a step's process: fork, own session, descriptors, working directory, `execve`.
//!
//! Not `std::process`: its `execvp` runs files that the kernel refuses through `/bin/sh`, and it can't tell a missing
//! program from a missing folder. Init has one thread, so the child may do what a child of a threaded process may not.

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use slipway_init::limits::OUTPUT_PIPE_BYTES;
use slipway_init::protocol::Start;
use slipway_init::spool::SpawnStage;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Where programs are looked up when a step's environment has no `PATH`; the same as Docker's default.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A step's process that may not have reached its program yet.
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    /// Closed by a successful `execve`; else has one record of why not.
    pub(crate) status: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What the child writes to the status pipe: stage and error number.
pub(crate) const STATUS_BYTES: usize = 8;

/// Decodes what a child wrote to its status pipe.
pub(crate) fn decode_status(record: &[u8; STATUS_BYTES]) -> (SpawnStage, i32) {
    let [stage, _, _, _, errno @ ..] = *record;
    let stage = match stage {
        1 => SpawnStage::WorkingDirectory,
        2 => SpawnStage::Program,
        _ => SpawnStage::Process,
    };
    (stage, i32::from_le_bytes(errno))
}

/// Everything that the child needs, allocated before the fork.
struct Plan {
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

impl Plan {
    fn new(start: &Start) -> Result<Self, Errno> {
        let c_string = |bytes: &Vec<u8>| CString::new(bytes.as_slice()).map_err(|_| Errno::INVAL);
        let argv = start.argv.iter().map(c_string).collect::<Result<Vec<_>, _>>()?;
        let env = start.env.iter().map(c_string).collect::<Result<Vec<_>, _>>()?;
        let program = start.argv.first().ok_or(Errno::INVAL)?;
        let programs = candidates(program, &start.env)
            .into_iter()
            .map(|path| CString::new(path).map_err(|_| Errno::INVAL))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { programs, argv, env, cwd: c_string(&start.cwd)? })
    }
}

/// The paths to try for a program, in order. An empty entry of `PATH` is the working directory, as POSIX has it.
fn candidates(program: &[u8], env: &[Vec<u8>]) -> Vec<Vec<u8>> {
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        .map(|folder| {
            let folder = if folder.is_empty() { b"." } else { folder };
            [folder, b"/", program].concat()
        })
        .collect()
}

/// Init's `oom_score_adj`, opened before init made itself undumpable (after that the file belongs to root).
///
/// A child takes over its parent's value, so init raises its own for the moment of the fork: the child never runs with
/// init's value, and no window exists in which it would have to be dumpable before `execve`.
pub(crate) struct OomScore {
    file: std::fs::File,
    own: i32,
}

impl OomScore {
    /// `None` when `/proc` does not allow it; steps then have init's value.
    pub(crate) fn open() -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()?;
        let file = std::fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj").ok()?;
        Some(Self { file, own })
    }

    fn set(&mut self, value: i32) {
        // Refused at worst, and then the children have init's value.
        let _ = self.file.write_all(value.to_string().as_bytes());
    }
}

/// Starts a step. Its stdin is `stdin`; `socket` is its descriptor 3, if it has one.
///
/// # Errors
/// When pipes or a process can't be made; what fails in the child is told through [`Spawned::status`].
pub(crate) fn spawn(
    start: &Start,
    stdin: BorrowedFd<'_>,
    socket: Option<BorrowedFd<'_>>,
    oom: &mut Option<OomScore>,
    score: i32,
) -> Result<Spawned, Errno> {
    let plan = Plan::new(start)?;
    let (stdout, stdout_write) = output_pipe()?;
    let (stderr, stderr_write) = output_pipe()?;
    let (status, status_write) = pipe()?;
    // None of these is 3 in init itself: that one was taken long before any step.
    let own = [stdin.as_raw_fd(), stdout_write.as_raw_fd(), stderr_write.as_raw_fd()];
    let descriptors: Vec<i32> = own.into_iter().chain(socket.map(|socket| socket.as_raw_fd())).collect();
    let mut raised = oom.as_mut().filter(|oom| oom.own < score);
    if let Some(oom) = &mut raised {
        oom.set(score);
    }
    let pid = fork_and_run(&plan, &descriptors, status_write.as_raw_fd());
    if let Some(oom) = raised {
        oom.set(oom.own);
    }
    Ok(Spawned { pid: pid?, status, stdout, stderr })
}

/// A pipe whose read end does not block; neither end passes an `execve`.
fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// A pipe for a step's output, with room for a step that writes in bursts: a full pipe stops it, and each stop costs two
/// switches between processes.
fn output_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read, write) = pipe()?;
    // Where the kernel allows no more (`/proc/sys/fs/pipe-max-size`, pages of a user), its own 64 KiB do.
    let _ = fcntl_setpipe_size(&read, OUTPUT_PIPE_BYTES);
    Ok((read, write))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

#[allow(unsafe_code)]
fn fork_and_run(plan: &Plan, descriptors: &[i32], status: i32) -> Result<i32, Errno> {
    let argv = pointers(&plan.argv);
    let env = pointers(&plan.env);
    // SAFETY: the process has one thread; the child only makes system calls on memory prepared above and never returns.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::from_raw_os_error(errno())),
        0 => {
            // SAFETY: this is the child; the arrays end in null and their strings live in `plan`.
            let (stage, errno) = unsafe { become_program(plan, &argv, &env, descriptors) };
            let [a, b, c, d] = errno.to_le_bytes();
            let record = [stage, 0, 0, 0, a, b, c, d];
            // SAFETY: plain system calls; the record is shorter than a pipe's atomic size.
            unsafe {
                libc::write(status, record.as_ptr().cast(), STATUS_BYTES);
                libc::_exit(127)
            }
        }
        pid => Ok(pid),
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Turns the child into the step's program. Returns only when that fails: the stage's number and why.
///
/// # Safety
/// Only in a fresh child; `argv` and `env` are null-terminated arrays of valid C strings.
#[allow(unsafe_code)]
unsafe fn become_program(
    plan: &Plan,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
    descriptors: &[i32],
) -> (u8, i32) {
    // SAFETY: system calls on integers, and on a signal set that sigemptyset initialises.
    unsafe {
        if libc::setsid() == -1 {
            return (0, errno());
        }
        for (to, from) in descriptors.iter().copied().enumerate() {
            if libc::dup2(from, to as libc::c_int) == -1 {
                return (0, errno());
            }
        }
        // What init (or Rust's runtime) ignores or blocks must not pass to the step.
        // The raw call, because glibc's keeps its hands on two signals. A kernel `sigaction` of zeros is the default.
        let default = [0_u64; 4];
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8_usize,
            );
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        if libc::chdir(plan.cwd.as_ptr()) == -1 {
            return (1, errno());
        }
    }
    let mut worst = libc::ENOENT;
    for program in &plan.programs {
        match execute(program, argv, env) {
            libc::ENOENT | libc::ENOTDIR => {}
            // As execvp: another folder may have one that may be run.
            libc::EACCES => worst = libc::EACCES,
            other => return (2, other),
        }
    }
    (2, worst)
}

#[allow(unsafe_code)]
fn execute(program: &CStr, argv: &[*const libc::c_char], env: &[*const libc::c_char]) -> i32 {
    // SAFETY: the arrays are null-terminated and their strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    errno()
}
