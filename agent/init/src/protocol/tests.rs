use super::{DecodeError, EncodeError, MessageBuffer, Order, Rejection, Report, RunningStep, SpoolCondition};
use super::{RelayTarget, Start, StepPhase};
use crate::limits::{ORDER_MAX_BYTES, REPORT_MAX_BYTES, SHUTDOWN_GRACE_MAX_MS};
use proptest::collection::vec;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8.., 1..40)
}

fn start() -> impl Strategy<Value = Order> {
    let variable = (text(), text()).prop_map(|(name, value)| {
        let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'=').chain(*b"N").collect();
        [name.as_slice(), b"=", &value].concat()
    });
    let cwd = text().prop_map(|path| [b"/", path.as_slice()].concat());
    (1_u32.., vec(text(), 1..8), vec(variable, 0..8), cwd).prop_flat_map(|(step, argv, env, cwd)| {
        let start = Start { step, argv, env, cwd };
        prop_oneof![Just(Order::Start(start.clone())), Just(Order::StartAsked(start))]
    })
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        (any::<u16>(), any::<u64>(), any::<Option<u64>>()).prop_map(
            |(version, limit_offset, stop_boottime_ms)| {
                Order::Welcome { version, limit_offset, stop_boottime_ms }
            }
        ),
        start(),
        (any::<u32>(), 1_u8..=64).prop_map(|(step, signal)| Order::Signal { step, signal }),
        any::<u64>().prop_map(|boottime_ms| Order::StopTime { boottime_ms }),
        any::<u64>().prop_map(|limit_offset| Order::Window { limit_offset }),
        (0..=SHUTDOWN_GRACE_MAX_MS).prop_map(|grace_ms| Order::Shutdown { grace_ms }),
        (1_u16.., any::<Option<(u32, u16)>>()).prop_map(|(port, address)| {
            let target = address.map_or(RelayTarget::Agent, |(ip, port)| {
                RelayTarget::Address(std::net::SocketAddrV4::new(ip.into(), port))
            });
            Order::Relay { port, target }
        }),
    ]
}

fn running_step() -> impl Strategy<Value = RunningStep> {
    let phase = prop_oneof![
        Just(StepPhase::Starting),
        Just(StepPhase::Running),
        Just(StepPhase::Draining),
        Just(StepPhase::Ended)
    ];
    (any::<u32>(), phase, any::<u32>()).prop_map(|(step, phase, pid)| RunningStep { step, phase, pid })
}

fn report() -> impl Strategy<Value = Report> {
    let condition = prop_oneof![
        Just(SpoolCondition::Open),
        Just(SpoolCondition::Full),
        (any::<i32>(), ".{0,40}").prop_map(|(errno, message)| SpoolCondition::Refused { errno, message }),
    ];
    let reason = prop_oneof![Just(Rejection::TooManySteps), Just(Rejection::ShuttingDown)];
    prop_oneof![
        (any::<u16>(), any::<u64>(), any::<u32>(), vec(running_step(), 0..8)).prop_map(
            |(version, written_offset, highest_step, running)| Report::Hello {
                version,
                written_offset,
                highest_step,
                running
            }
        ),
        any::<u64>().prop_map(|offset| Report::Written { offset }),
        running_step().prop_map(Report::Step),
        (any::<u32>(), reason).prop_map(|(step, reason)| Report::Rejected { step, reason }),
        condition.prop_map(Report::Spool),
        (any::<u16>(), any::<i32>()).prop_map(|(port, errno)| Report::Relay { port, errno }),
    ]
}

proptest! {
    #[test]
    fn orders_survive_any_cutting_of_the_stream(orders in vec(order(), 1..6), cut in 1_usize..64) {
        let stream: Vec<u8> = orders.iter().flat_map(|order| order.encode().unwrap()).collect();
        let mut buffer = MessageBuffer::new(ORDER_MAX_BYTES);
        let mut decoded = Vec::new();
        for piece in stream.chunks(cut) {
            buffer.push(piece);
            while let Some(body) = buffer.next_message().unwrap() {
                decoded.push(Order::decode(body).unwrap());
            }
        }
        prop_assert_eq!(decoded, orders);
    }

    #[test]
    fn reports_come_back_as_they_were(report in report()) {
        let message = report.encode().unwrap();
        prop_assert_eq!(Report::decode(&message[4..]), Ok(report));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(body in vec(any::<u8>(), 0..64), kind in 0_u8..8) {
        let body = [&[kind][..], &body].concat();
        if let Ok(order) = Order::decode(&body) {
            prop_assert_eq!(&order.encode().unwrap()[4..], &body);
        }
        if let Ok(report) = Report::decode(&body) {
            prop_assert_eq!(&report.encode().unwrap()[4..], &body);
        }
    }

    #[test]
    fn a_message_cut_short_or_made_longer_is_refused(order in order(), extra in 1_usize..4) {
        let message = order.encode().unwrap();
        let body = &message[4..];
        for end in 0..body.len() {
            prop_assert!(Order::decode(&body[..end]).is_err());
        }
        let longer = [body, &vec![0; extra]].concat();
        prop_assert!(Order::decode(&longer).is_err());
    }

    #[test]
    fn arbitrary_streams_end_in_an_error_or_wait(stream in vec(any::<u8>(), 0..256)) {
        let mut buffer = MessageBuffer::new(REPORT_MAX_BYTES);
        buffer.push(&stream);
        while let Ok(Some(body)) = buffer.next_message() {
            let _ = Report::decode(body);
        }
    }
}

#[test]
fn a_count_without_its_entries_reserves_nothing() {
    let mut body = vec![2, 1, 0, 0, 0];
    body.extend_from_slice(&60_000_u32.to_le_bytes());
    assert_eq!(Order::decode(&body), Err(DecodeError::Truncated));
}

#[test]
fn an_announced_length_above_the_limit_is_refused_before_its_bytes_come() {
    let mut buffer = MessageBuffer::new(REPORT_MAX_BYTES);
    buffer.push(&(REPORT_MAX_BYTES as u32 + 1).to_le_bytes());
    assert!(matches!(buffer.next_message(), Err(DecodeError::TooLong { .. })));
}

#[test]
fn a_start_that_execve_could_not_take_is_refused_by_the_sender() {
    let good = Start { step: 1, argv: vec![b"a".to_vec()], env: vec![b"A=b".to_vec()], cwd: b"/".to_vec() };
    assert!(Order::Start(good.clone()).encode().is_ok());
    for bad in [
        Start { step: 0, ..good.clone() },
        Start { argv: vec![], ..good.clone() },
        Start { argv: vec![b"a\0".to_vec()], ..good.clone() },
        Start { env: vec![b"=x".to_vec()], ..good.clone() },
        Start { env: vec![b"A".to_vec()], ..good.clone() },
        Start { cwd: b"relative".to_vec(), ..good.clone() },
    ] {
        assert!(matches!(Order::Start(bad).encode(), Err(EncodeError::BadValue(_))));
    }
    let large = Start { argv: vec![vec![b'x'; ORDER_MAX_BYTES]], ..good };
    assert!(matches!(Order::Start(large).encode(), Err(EncodeError::TooLong { .. })));
}
