//! Tasks of one kind, some at a time.

use tokio::task::JoinSet;

use super::{SessionError, unwind};

/// Records looked up at a time.
const CREW: usize = 32;

/// Takes tasks as long as none failed, and has what they came to, in no order.
pub(super) struct Crew<R> {
    running: JoinSet<Result<R, SessionError>>,
    done: Vec<R>,
    failure: Option<SessionError>,
}

impl<R: Send + 'static> Crew<R> {
    pub fn new() -> Self {
        Self { running: JoinSet::new(), done: Vec::new(), failure: None }
    }

    /// Begins a task once there is room for it. After a failure no task is begun any more.
    pub async fn begin(&mut self, task: impl Future<Output = Result<R, SessionError>> + Send + 'static) {
        while self.running.len() >= CREW {
            self.wait().await;
        }
        if self.failure.is_none() {
            self.running.spawn(task);
        }
    }

    /// Whether it begins no task any more.
    pub const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Waits for all tasks.
    pub async fn end(mut self) -> Result<Vec<R>, SessionError> {
        while !self.running.is_empty() {
            self.wait().await;
        }
        self.failure.map_or(Ok(self.done), Err)
    }

    async fn wait(&mut self) {
        match self.running.join_next().await.map(unwind) {
            None => {}
            Some(Ok(answer)) => self.done.push(answer),
            Some(Err(e)) => self.failure = self.failure.take().or(Some(e)),
        }
    }
}
