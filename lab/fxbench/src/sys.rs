//! System calls. A failing one ends the program: a figure from half a benchmark is worse than none.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Error;
use std::process::exit;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// Ends the program with the system's message if `result` is -1.
pub fn check(what: &str, result: i64) -> i64 {
    if result == -1 {
        eprintln!("fxbench: {what}: {}", Error::last_os_error());
        exit(1);
    }
    result
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    check("clock_gettime", result.into());
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The time-stamp counter.
pub fn time_stamp() -> u64 {
    // SAFETY: reads a counter.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The system call, always.
pub fn getppid() {
    // SAFETY: getppid takes no argument and touches no memory.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Anonymous private memory, read and write; with huge pages where the kernel likes.
pub fn map(size: usize) -> *mut u8 {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let area = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    check("mmap", if area == libc::MAP_FAILED { -1 } else { 0 });
    area.cast()
}

/// Writes a byte at `offset` of an area that `map` gave, which is larger than `offset`.
pub fn touch(area: *mut u8, offset: usize) {
    // SAFETY: callers stay inside the area they mapped writable.
    unsafe { area.add(offset).write_volatile(1) };
}

/// Changes the protection of a mapping.
pub fn protect(area: *mut u8, size: usize, protection: c_int) {
    // SAFETY: the range is a mapping of ours that nothing has a reference into.
    let result = unsafe { libc::mprotect(area.cast::<c_void>(), size, protection) };
    check("mprotect", result.into());
}

/// Takes a mapping away.
pub fn unmap(area: *mut u8, size: usize) {
    // SAFETY: the range is a mapping of ours that nothing has a reference into.
    let result = unsafe { libc::munmap(area.cast::<c_void>(), size) };
    check("munmap", result.into());
}

/// A child that does `work`; its process id.
pub fn fork(work: impl FnOnce() -> std::convert::Infallible) -> libc::pid_t {
    // SAFETY: this program has one thread, so the child may do what it likes.
    let pid = unsafe { libc::fork() };
    check("fork", pid.into());
    if pid == 0 {
        work();
    }
    pid
}

/// Waits for `pid`; -1 if it failed in any way.
pub fn wait(pid: libc::pid_t) -> i64 {
    let mut status = 0;
    // SAFETY: `status` is a valid place for one int.
    let result = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if result == pid && status == 0 { 0 } else { -1 }
}

/// A child that does `work`, waited for.
pub fn fork_and_wait(work: impl FnOnce() -> std::convert::Infallible) {
    let pid = fork(work);
    check("child", wait(pid));
}

/// Ends the process without the C library's clean-up.
pub fn exit_now(status: c_int) -> std::convert::Infallible {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(status) }
}

/// Executes the program named by `args[0]`, or ends with 1.
pub fn exec(args: &[*const c_char; 2]) -> std::convert::Infallible {
    // SAFETY: `args` holds C strings and ends with a null pointer.
    unsafe { libc::execv(args[0], args.as_ptr()) };
    exit_now(1)
}

/// A pipe: the end to read, the end to write.
pub fn pipe() -> (c_int, c_int) {
    let mut ends = [0; 2];
    // SAFETY: `ends` is a valid place for two ints.
    let result = unsafe { libc::pipe(ends.as_mut_ptr()) };
    check("pipe", result.into());
    (ends[0], ends[1])
}

/// Reads one byte; end of file ends the program.
pub fn read_byte(end: c_int) {
    let mut byte = 0u8;
    // SAFETY: `byte` is a valid place for one byte.
    let count = unsafe { libc::read(end, (&raw mut byte).cast(), 1) };
    check("read", if count == 1 { 0 } else { -1 });
}

/// Writes one byte.
pub fn write_byte(end: c_int) {
    let byte = 0u8;
    // SAFETY: `byte` is one readable byte.
    let count = unsafe { libc::write(end, (&raw const byte).cast(), 1) };
    check("write", if count == 1 { 0 } else { -1 });
}

/// Closes a descriptor of ours.
pub fn close(end: c_int) {
    // SAFETY: the descriptor came from `pipe` and nothing uses it any more.
    let result = unsafe { libc::close(end) };
    check("close", result.into());
}

/// Anonymous memory that children share.
pub fn map_shared(size: usize) -> *mut u8 {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let area = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    check("mmap", if area == libc::MAP_FAILED { -1 } else { 0 });
    area.cast()
}

/// Memory of a device.
pub fn map_device(device: c_int, size: usize, offset: u64) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let offset = libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let area = unsafe { libc::mmap(ptr::null_mut(), size, protection, libc::MAP_SHARED, device, offset) };
    check("mmap of a device", if area == libc::MAP_FAILED { -1 } else { 0 });
    area.cast()
}

/// Reads a byte at `offset` of an area that `map_device` gave, which is larger than `offset`.
pub fn look(area: *mut u8, offset: usize) {
    // SAFETY: callers stay inside the area they mapped.
    unsafe { area.add(offset).read_volatile() };
}

/// Waits while `word` holds `value`, or shorter.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    let at = ptr::from_ref(word);
    // SAFETY: the word is valid for the call; a return for any reason is fine, callers look again.
    unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAIT, value, ptr::null::<libc::timespec>()) };
}

/// Wakes whoever waits for `word`.
pub fn futex_wake(word: &AtomicU32) {
    let at = ptr::from_ref(word);
    // SAFETY: the word is valid for the call.
    let woken = unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, 1) };
    check("futex", woken);
}

extern "C" fn handler(_signal: c_int) {}

/// SIGUSR1 calls a handler that does nothing.
pub fn catch_signals() {
    let handler: extern "C" fn(c_int) = handler;
    // SAFETY: the handler is async-signal-safe: it does nothing.
    let before = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    check("signal", if before == libc::SIG_ERR { -1 } else { 0 });
}

/// Sends SIGUSR1 to this process, which has one thread: the handler has run when this returns.
pub fn signal_oneself() {
    // SAFETY: no precondition.
    let result = unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
    check("kill", result.into());
}

/// Executes the program named by `args[0]`, or ends with 1. The last argument is null.
pub fn exec_args(args: &[*const c_char; 5]) -> std::convert::Infallible {
    // SAFETY: `args` holds C strings and ends with a null pointer.
    unsafe { libc::execv(args[0], args.as_ptr()) };
    exit_now(1)
}

/// Sleeps until CLOCK_MONOTONIC reaches `deadline` nanoseconds.
pub fn sleep_until(deadline: u64) {
    let time = libc::timespec {
        tv_sec: (deadline / 1_000_000_000).cast_signed(),
        tv_nsec: (deadline % 1_000_000_000).cast_signed(),
    };
    // SAFETY: `time` is a valid timespec, and no remaining time is asked for.
    let result =
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const time, ptr::null_mut()) };
    check("clock_nanosleep", if result == 0 { 0 } else { -1 });
}

/// Opens a device for reading and writing.
pub fn open(path: &CStr) -> c_int {
    // SAFETY: `path` is a C string.
    let device = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    check(&path.to_string_lossy(), device.into());
    device
}

/// An ioctl whose argument is a structure of the device's.
pub fn ioctl<T>(device: c_int, what: &str, request: libc::c_ulong, argument: &mut T) -> c_int {
    // SAFETY: callers pass the structure that belongs to the request, which the kernel reads and writes.
    let result = unsafe { libc::ioctl(device, request, ptr::from_mut(argument)) };
    check(what, result.into());
    result
}

/// Fills `bytes`.
pub fn read_exact(end: c_int, bytes: &mut [u8]) {
    // SAFETY: `bytes` has room for its length.
    let count = unsafe { libc::read(end, bytes.as_mut_ptr().cast(), bytes.len()) };
    check("read", if count.cast_unsigned() == bytes.len() { 0 } else { -1 });
}

/// Writes all of `bytes`.
pub fn write_all(end: c_int, bytes: &[u8]) {
    // SAFETY: `bytes` is readable for its length.
    let count = unsafe { libc::write(end, bytes.as_ptr().cast(), bytes.len()) };
    check("write", if count.cast_unsigned() == bytes.len() { 0 } else { -1 });
}

/// Opens a block device past the kernel's cache.
pub fn open_direct(path: &CStr) -> c_int {
    // SAFETY: `path` is a C string.
    let device = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_DIRECT | libc::O_CLOEXEC) };
    check(&path.to_string_lossy(), device.into());
    device
}

/// Reads `size` bytes at `place` into an area that `map` gave, which is as large.
pub fn read_at(file: c_int, area: *mut u8, size: usize, place: usize) {
    let place = libc::off_t::try_from(place).unwrap_or(libc::off_t::MAX);
    // SAFETY: callers pass an area of theirs that holds `size` bytes.
    let count = unsafe { libc::pread(file, area.cast(), size, place) };
    check("pread", if count.cast_unsigned() == size { 0 } else { -1 });
}

/// Writes `size` bytes of an area that `map` gave, which is as large, to `place`.
pub fn write_at(file: c_int, area: *mut u8, size: usize, place: usize) {
    let place = libc::off_t::try_from(place).unwrap_or(libc::off_t::MAX);
    // SAFETY: callers pass an area of theirs that holds `size` bytes.
    let count = unsafe { libc::pwrite(file, area.cast(), size, place) };
    check("pwrite", if count.cast_unsigned() == size { 0 } else { -1 });
}

/// Starts `words` in a session with a terminal of its own: the child, and our end of the terminal.
pub fn on_a_terminal(words: &[std::ffi::CString]) -> (libc::pid_t, c_int) {
    let mut args: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    args.push(ptr::null());
    let mut ours = -1;
    // SAFETY: this program has one thread; `ours` is a valid place, the other pointers may be null.
    let child = unsafe { libc::forkpty(&raw mut ours, ptr::null_mut(), ptr::null(), ptr::null()) };
    check("forkpty", child.into());
    if child == 0 {
        // SAFETY: `args` holds C strings and ends with a null pointer.
        unsafe { libc::execvp(args[0], args.as_ptr()) };
        exit_now(127);
    }
    (child, ours)
}

/// Ends the processes of a session that `on_a_terminal` made.
pub fn end_session(child: libc::pid_t) {
    // SAFETY: no precondition; who is gone already is no error.
    unsafe { libc::kill(-child, libc::SIGKILL) };
    let mut status = 0;
    // SAFETY: `status` is a valid place for one int.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
}

/// Whether a descriptor can be read without a wait.
pub fn has_input(file: c_int) -> bool {
    let mut poll = libc::pollfd { fd: file, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid pollfd.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    check("poll", ready.into());
    ready > 0
}

/// Opens a file for reading.
pub fn open_to_read(path: &CStr) -> c_int {
    // SAFETY: `path` is a C string.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    check(&path.to_string_lossy(), file.into());
    file
}

/// Reads what there is from a file's begin, up to `size` bytes, into an area that `map` gave, which is as large.
pub fn read_some(file: c_int, area: *mut u8, size: usize) {
    // SAFETY: callers pass an area of theirs that holds `size` bytes.
    let count = unsafe { libc::pread(file, area.cast(), size, 0) };
    check("pread", if count > 0 { 0 } else { -1 });
}
