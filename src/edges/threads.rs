//! Threads: how much of the machine one takes.

/// From now on the calling thread gives way to others: it takes what they leave, and about a tenth of a core where they leave
/// nothing. For work that nobody waits for. Only Linux knows this of single threads; elsewhere nothing changes.
pub fn give_way() {
    /// What `nice` takes.
    #[cfg(target_os = "linux")]
    const LESS: i32 = 10;
    // Where the system refuses, it merely takes more.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(LESS);
}
