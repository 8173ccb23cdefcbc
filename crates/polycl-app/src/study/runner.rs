//! Whoever does the jobs of a study.

use super::task::Task;

/// Does tasks, several at a time.
pub trait Runner {
    /// Takes a task on.
    fn submit(&mut self, task: Task) -> Ticket;

    /// The end of a task, told once; none while it goes on.
    fn poll(&mut self, ticket: Ticket) -> Option<anyhow::Result<()>>;

    /// Asks a task to end in order. It ends with an error then, unless it was about to be done.
    fn cancel(&mut self, ticket: Ticket);
}

/// The number of a task that was taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub usize);
