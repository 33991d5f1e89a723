//! What a thread gets of the processors, beside others.

/// Of a thread that gives way (setpriority(2)): where another wants all of a core, it gets a tenth of it.
const GIVES_WAY: i32 = 10;

/// From now on, the calling thread gives way to others that want the processors at the same time. Where the system has no such thing
/// for one thread, nothing changes.
pub fn give_way() {
    // Elsewhere this would be about the whole process.
    #[cfg(target_os = "linux")]
    {
        let now = rustix::process::getpriority_process(None).unwrap_or_default();
        if let Err(error) = rustix::process::setpriority_process(None, now.max(GIVES_WAY)) {
            tracing::debug!(%error, "a thread does not give way");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_thread_gives_way_and_no_other() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let other = std::thread::spawn(move || {
            give_way();
            own()
        });
        assert_eq!(other.join().unwrap(), before.max(GIVES_WAY));
        assert_eq!(own(), before);
    }
}
