//! Two that want the same machine at the same time.

use super::*;

#[test]
fn of_two_that_need_the_same_machine_one_saves_it_and_both_go_on_from_it() {
    let keys = format!(r#""snapshot": "required", {}"#, tests(&["a", "b"]));
    let (one, mut other) = (Runs::new(&keys, ""), Runs::new(&keys, ""));
    other.sandbox.inputs = one.sandbox.inputs.clone();
    let cache = one.sandbox.cx().cache.to_owned();
    let [one, other] = std::thread::scope(|scope| {
        [&one, &other]
            .map(|runs| scope.spawn(|| runs.run_with(|cx| Cx { cache: &cache, ..cx })))
            .map(|thread| thread.join().unwrap())
    });
    for seen in [&one, &other] {
        seen.assert_good();
        assert_eq!(seen.started_with("-incoming"), 2, "{}", seen.notes());
    }
    assert_eq!(one.started_with("share=on") + other.started_with("share=on"), 1);
    assert_eq!(kept(&cache).len(), 1);
}
