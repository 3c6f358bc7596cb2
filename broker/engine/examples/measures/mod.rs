//! What the benchmarks read of their own process.

/// Nanoseconds this thread has spent on a CPU.
pub(crate) fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Bytes of memory this process has.
pub(crate) fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    PAGE_BYTES * text.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
}
