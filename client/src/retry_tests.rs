//! Who is asked, how often, and whose silence is waited for.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{observer::Deaf, testing::FakeNode};

const AGES: Duration = Duration::from_secs(24 * 60 * 60);

/// Nodes that answer with their names, and the order in which they were asked.
struct Case {
    nodes: Nodes<FakeNode>,
    asked: Mutex<Vec<String>>,
}

/// What a node of this name fails with when it is asked for this time.
type Fails = fn(&str, usize) -> Option<Failure>;

const NEVER: Fails = |_, _| None;
const B_IS_AWAY: Fails = |name, _| (name == "b").then_some(Failure::Away);

impl Case {
    /// Rounds follow each other at once; those that do not answer are set aside until the test says otherwise.
    fn new(names: &[&str]) -> Self {
        let fake = FakeNode::new();
        let nodes = names.iter().map(|name| fake.another(name)).collect();
        let patience = Patience { total: AGES, first_delay: Duration::ZERO, longest_delay: Duration::ZERO };
        let nodes = Nodes::new(nodes, patience, Arc::new(Deaf));
        Self { nodes: Nodes { set_aside: AGES, insist_max: AGES, ..nodes }, asked: Mutex::default() }
    }

    async fn ask(&self, node: &FakeNode, fails: Fails) -> Result<String, NodeError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(node.name.clone());
        let count = asked.iter().filter(|name| **name == node.name).count();
        match fails(&node.name, count) {
            Some(kind) => Err(NodeError::new(&node.name, kind, "fails")),
            None => Ok(node.name.clone()),
        }
    }

    /// Who was asked since this was called last.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The time is over for which the silent ones are set aside.
    fn later(&self) {
        for silent in &self.nodes.silent {
            if let Some(silence) = silent.lock().unwrap().as_mut() {
                silence.until = Instant::now();
            }
        }
    }
}

fn answers(said: &[Result<String, NodeError>]) -> Vec<&str> {
    said.iter().flatten().map(String::as_str).collect()
}

#[tokio::test]
async fn one_that_did_not_answer_is_asked_after_the_others_for_a_while() {
    let case = Case::new(&["b", "c", "d"]);
    let said = case.nodes.each(How::Once, |node| case.ask(node, B_IS_AWAY), |_| false).await;
    assert_eq!((said.len(), answers(&said)), (3, vec!["c", "d"]));
    assert_eq!(case.asked(), ["b", "c", "d"]);
    case.nodes.each(How::Once, |node| case.ask(node, B_IS_AWAY), |_| false).await;
    assert_eq!(case.asked(), ["c", "d", "b"]);
    case.later();
    case.nodes.each(How::Once, |node| case.ask(node, NEVER), |_| false).await;
    assert_eq!(case.asked(), ["b", "c", "d"]);
}

#[tokio::test]
async fn many_questions_do_not_each_wait_for_a_silent_node() {
    let case = Case::new(&["a", "b"]);
    for expected in [&["a", "b"][..], &["a"], &["a"]] {
        let said = case.nodes.each(How::Awake, |node| case.ask(node, B_IS_AWAY), |_| false).await;
        assert_eq!(case.asked(), expected);
        assert!(said.len() == 2 && said[1].is_err(), "its failure is told all the same: {said:?}");
    }
    // Where nobody else answers, it is asked.
    let only_b: Fails = |name, _| (name == "a").then_some(Failure::Faulty);
    let said = case.nodes.each(How::Awake, |node| case.ask(node, only_b), |_| false).await;
    assert_eq!((answers(&said), case.asked()), (vec!["b"], vec!["a".to_owned(), "b".to_owned()]));
    // It answered, and is one of them again.
    case.nodes.each(How::Awake, |node| case.ask(node, NEVER), |_| false).await;
    assert_eq!(case.asked(), ["a", "b"]);
}

#[tokio::test]
async fn who_is_away_for_a_moment_is_heard_where_one_alone_must_not_decide() {
    let case = Case::new(&["a", "b"]);
    let returns: Fails = |name, count| (name == "b" && count < 4).then_some(Failure::Away);
    let said = case.nodes.each(How::Insist, |node| case.ask(node, returns), |_| false).await;
    assert_eq!(answers(&said), ["a", "b"]);
    assert_eq!(case.asked(), ["a", "b", "b", "b", "b"], "nobody is asked again who answered");
    // What a node would say again is not asked for again, and what is enough ends the asking.
    let faulty: Fails = |name, _| (name == "b").then_some(Failure::Faulty);
    let said = case.nodes.each(How::Insist, |node| case.ask(node, faulty), |_| false).await;
    assert_eq!((said.len(), case.asked().len()), (2, 2));
    let said = case.nodes.each(How::Insist, |node| case.ask(node, B_IS_AWAY), |_| true).await;
    assert_eq!((answers(&said), case.asked()), (vec!["a"], vec!["a".to_owned()]));
}

#[tokio::test]
async fn who_stays_away_is_waited_for_once() {
    let case = Case::new(&["a", "b"]);
    let case = Case { nodes: Nodes { insist_max: Duration::ZERO, ..case.nodes }, ..case };
    let said = case.nodes.each(How::Insist, |node| case.ask(node, B_IS_AWAY), |_| false).await;
    assert_eq!((answers(&said), said.len(), case.asked().len()), (vec!["a"], 2, 2));
    // From now on there is all the time; for this node it is up.
    let case = Case { nodes: Nodes { insist_max: AGES, ..case.nodes }, ..case };
    let said = case.nodes.each(How::Insist, |node| case.ask(node, B_IS_AWAY), |_| false).await;
    assert_eq!((said.len(), case.asked()), (2, vec!["a".to_owned()]));
    case.later();
    case.nodes.each(How::Insist, |node| case.ask(node, B_IS_AWAY), |_| false).await;
    assert_eq!(case.asked(), ["a", "b"], "asked again, and not waited for");
    // Once it answers it is a node like the others.
    case.later();
    case.nodes.each(How::Once, |node| case.ask(node, NEVER), |_| false).await;
    case.asked();
    let returns: Fails = |name, count| (name == "b" && count < 3).then_some(Failure::Away);
    case.nodes.each(How::Insist, |node| case.ask(node, returns), |_| false).await;
    assert_eq!(case.asked(), ["a", "b", "b", "b"]);
}
