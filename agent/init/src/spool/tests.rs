use super::{Body, DecodeError, Exit, ExitStatus, Frame, SpawnStage, StepEnd, Stream, decode, seal_output};
use crate::limits::{FRAME_MAX_BYTES, HEADER_BYTES, PAYLOAD_MAX_BYTES};
use proptest::collection::vec;
use proptest::prelude::*;

fn body() -> impl Strategy<Value = Body> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let stage =
        prop_oneof![Just(SpawnStage::Process), Just(SpawnStage::WorkingDirectory), Just(SpawnStage::Program)];
    let status =
        prop_oneof![any::<u8>().prop_map(ExitStatus::Code), any::<u8>().prop_map(ExitStatus::Signal)];
    let end = prop_oneof![
        Just(StepEnd::Normal),
        Just(StepEnd::PipesOpen),
        Just(StepEnd::StopTime),
        Just(StepEnd::Shutdown)
    ];
    prop_oneof![
        (stream, vec(any::<u8>(), 0..200)).prop_map(|(stream, bytes)| Body::Output { stream, bytes }),
        any::<u32>().prop_map(|pid| Body::Started { pid }),
        (stage, any::<i32>(), ".{0,40}").prop_map(|(stage, errno, message)| Body::SpawnFailed {
            stage,
            errno,
            message
        }),
        (status, end, any::<[u64; 3]>()).prop_map(|(status, end, [user_us, system_us, max_rss_bytes])| {
            Body::Exited(Exit { status, end, user_us, system_us, max_rss_bytes })
        }),
        any::<u64>().prop_map(|bytes| Body::Discarded { bytes }),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    (any::<u32>(), any::<u64>(), body()).prop_map(|(step, time_ms, body)| Frame { step, time_ms, body })
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were(frame in frame(), next in vec(any::<u8>(), 0..8)) {
        let bytes = frame.encode().unwrap();
        let length = bytes.len();
        prop_assert_eq!(decode(&[bytes, next].concat()), Ok(Some((frame, length))));
    }

    #[test]
    fn a_frame_cut_short_is_waited_for(frame in frame()) {
        let bytes = frame.encode().unwrap();
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end]), Ok(None));
        }
    }

    #[test]
    fn a_flipped_bit_shows(frame in frame(), at in any::<proptest::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = frame.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A flipped length may ask for more bytes; nothing else may pass.
        match decode(&bytes) {
            Ok(None) => prop_assert!(at < 4),
            result => prop_assert!(result.is_err(), "{:?}", result),
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_frame(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(!matches!(decode(&bytes), Ok(Some(_))));
    }

    #[test]
    fn arbitrary_payloads_with_a_right_checksum_never_panic(
        payload in vec(any::<u8>(), 0..60), kind in any::<u8>(), rest in any::<[u8; 14]>()
    ) {
        let length = (HEADER_BYTES + payload.len()) as u32;
        let covered = [&[super::frame::MARK, kind][..], &rest, &payload].concat();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&length.to_le_bytes());
        hasher.update(&covered);
        let bytes = [&length.to_le_bytes()[..], &hasher.finalize().to_le_bytes(), &covered].concat();
        if let Ok(decoded) = decode(&bytes) {
            let (frame, length) = decoded.unwrap();
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(frame.encode().unwrap(), bytes);
        }
    }
}

#[test]
fn output_sealed_in_place_is_the_same_frame() {
    let mut room = vec![0; HEADER_BYTES];
    room.extend_from_slice(b"hello");
    seal_output(&mut room, Stream::Stderr, 7, 99);
    let body = Body::Output { stream: Stream::Stderr, bytes: b"hello".to_vec() };
    assert_eq!(Frame { step: 7, time_ms: 99, body }.encode().unwrap(), room);
}

#[test]
fn a_hole_and_a_length_beyond_the_limit_are_no_frames() {
    assert_eq!(decode(&[0; 64]), Err(DecodeError::BadValue("frame length")));
    let length = (FRAME_MAX_BYTES as u32 + 1).to_le_bytes();
    assert!(matches!(decode(&length), Err(DecodeError::TooLong { .. })));
    let bytes = vec![0; PAYLOAD_MAX_BYTES + 1];
    let body = Body::Output { stream: Stream::Stdout, bytes };
    assert!(Frame { step: 1, time_ms: 0, body }.encode().is_err());
}

/// The layout that docs/INIT.md shows, byte by byte.
#[test]
fn the_layout_is_the_documented_one() {
    let frame = Frame { step: 0x0403_0201, time_ms: 0x0807_0605_0403_0201, body: Body::Started { pid: 5 } };
    let bytes = frame.encode().unwrap();
    assert_eq!(bytes[..4], 28_u32.to_le_bytes());
    assert_eq!(bytes[8..12], [0x53, 3, 0, 0]);
    assert_eq!(bytes[12..16], [1, 2, 3, 4]);
    assert_eq!(bytes[16..24], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[24..], [5, 0, 0, 0]);
}
