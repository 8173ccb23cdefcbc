//! The ends of a command.

/// The end of a command that did not fail outright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// Some cases failed; they have been listed on stderr.
    SomeFailed,
    /// Somebody asked it to stop; how to go on has been said on stderr.
    Stopped,
    /// Another process is at work on it.
    Held,
    /// Something that must be done before is not.
    NeedsUnmet,
}
