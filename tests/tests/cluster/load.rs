//! Submissions under way all the time, through several nodes, until they are told to stop or their node is gone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use markstein_client::{
    api::{Final, batch_state::State},
    time::now,
};
use markstein_tests::{
    craft::{Paper, Submission},
    grpc::Api,
    random::Random,
};
use tokio::{sync::watch, task::JoinSet};

use crate::support::Net;

/// Closed-loop load.
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Done>,
    count: watch::Receiver<usize>,
}

/// What a load came to.
#[derive(Default)]
pub struct Done {
    /// Each has its receipt, and where it stands.
    pub acknowledged: Vec<(Submission, Final)>,
    /// A node took these and nobody waited for their end.
    pub accepted: Vec<(usize, Submission)>,
    /// Without an answer: whether a node has them is not known.
    pub open: Vec<Submission>,
}

impl Load {
    /// Starts `width` tasks for each of the nodes. Of eight submissions a task waits for the end of seven.
    pub fn start(net: &mut Net, nodes: &[usize], width: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, count) = watch::channel(0);
        let counter = Arc::new(counter);
        let mut tasks = JoinSet::new();
        for node in nodes {
            let api = net.api(*node);
            for _ in 0..width {
                let (api, signer, stop, counter) =
                    (api.clone(), net.signer.clone(), Arc::clone(&stop), Arc::clone(&counter));
                let (mut random, node) = (Random::new(net.random.next()), *node);
                let task = async move {
                    let mut done = Done::default();
                    while !stop.load(Ordering::SeqCst) {
                        let submission = signer.submission(now(), vec![Paper::random(&mut random)]).unwrap();
                        let goes_on = done.take(&api, node, submission, random.below(8) == 0).await;
                        if !goes_on {
                            break;
                        }
                        counter.send_modify(|count| *count += 1);
                    }
                    done
                };
                tasks.spawn_on(task, net.runtime.handle());
            }
        }
        Self { stop, tasks, count }
    }

    /// Waits until this many were answered, or all tasks ended.
    pub fn answered(&mut self, net: &Net, count: usize) {
        let _ = net.runtime.block_on(self.count.wait_for(|now| *now >= count));
    }

    /// How many were answered so far.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Stops it, and gives what it came to.
    pub fn end(mut self, net: &Net) -> Done {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Done::default();
        while let Some(done) = net.runtime.block_on(self.tasks.join_next()) {
            let Done { acknowledged, accepted, open } = done.unwrap();
            all.acknowledged.extend(acknowledged);
            all.accepted.extend(accepted);
            all.open.extend(open);
        }
        all
    }
}

impl Done {
    /// Submits one; `false` where the node is gone.
    async fn take(&mut self, api: &Api, node: usize, submission: Submission, only_accepted: bool) -> bool {
        let answer = if only_accepted {
            api.submit(submission.bytes()).await
        } else {
            api.submit_and_wait(submission.bytes()).await
        };
        match answer.map(|state| state.state) {
            Ok(Some(State::Final(place))) => self.acknowledged.push((submission, place)),
            Ok(Some(State::Accepted(_))) => self.accepted.push((node, submission)),
            Ok(other) => panic!("a good batch came to {other:?}"),
            Err(_) => {
                self.open.push(submission);
                return false;
            }
        }
        true
    }
}
