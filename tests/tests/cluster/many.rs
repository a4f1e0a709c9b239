//! Many small blocks, one after the other. How fast is a matter of the benchmarks: `markstein bench --peak --in-flight 1`.

use std::time::Instant;

use crate::support::{Net, repeats};

#[test]
fn blocks_of_one_record_follow_each_other() {
    let mut net = Net::start(0);
    let from = net.cluster.status(0).unwrap().height;
    let (api, count, start) = (net.api(0), repeats(60), Instant::now());
    let mut all = Vec::new();
    for _ in 0..count {
        let submission = net.submission();
        let answer = net.runtime.block_on(api.submit_and_wait(submission.bytes())).unwrap();
        let Some(markstein_client::api::batch_state::State::Final(place)) = answer.state else {
            panic!("{answer:?}")
        };
        all.push((submission, place));
    }
    eprintln!("{count} blocks in {:?}", start.elapsed());
    assert!(all.is_sorted_by(|a, b| a.1.height < b.1.height));
    assert!(all.last().unwrap().1.height >= from + count as u64);
    let sample: Vec<_> = all.into_iter().step_by(10).collect();
    net.assert_recorded(&sample);
    net.assert_same_logs(&[0, 1, 2, 3]);
}
