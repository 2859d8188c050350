use super::*;

#[test]
fn outcome_and_conclusion() {
    use StepResult::{Cancelled, Failure, Skipped, Success};
    let cases = [
        (Ended::Exited(0), false, false, Success, Success),
        (Ended::Exited(0), true, false, Failure, Failure),
        (Ended::Exited(0), true, true, Failure, Success),
        (Ended::Exited(1), false, false, Failure, Failure),
        (Ended::Exited(137), false, true, Failure, Success),
        (Ended::TimedOut, false, true, Failure, Success),
        (Ended::Failed, false, false, Failure, Failure),
        (Ended::Cancelled, true, true, Cancelled, Cancelled),
        (Ended::Skipped, false, true, Skipped, Skipped),
    ];
    for (ended, failed, continues, outcome, conclusion) in cases {
        assert_eq!(StepEnd::new(ended, failed, continues), StepEnd { outcome, conclusion }, "{ended:?}");
    }
}

#[test]
fn the_worse_status_wins() {
    use JobStatus::{Cancelled, Failure, Success};
    assert_eq!(Success.merge(Failure), Failure);
    assert_eq!(Failure.merge(Cancelled), Cancelled);
    assert_eq!(Cancelled.merge(Failure), Cancelled);
    assert_eq!(Success.merge(Success), Success);
}
