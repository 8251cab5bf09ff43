//! Whatever participants send: no panic, bounded state, and the same streams here and in the client.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Header {
        id: u8,
        is_compressed: bool,
        total: Option<u64>,
        inline: Option<Vec<u8>>,
    },
    Chunk {
        id: u8,
        index: u64,
        content: Vec<u8>,
        is_deflated: bool,
    },
    Next {
        id: u8,
        content: Vec<u8>,
        is_deflated: bool,
    },
    Trailer {
        id: u8,
    },
    User {
        n_bytes: usize,
    },
    Wait {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let content = || prop::collection::vec(any::<u8>(), 0..64);
    let id = || 0..80_u8;
    prop_oneof![
        (
            id(),
            any::<bool>(),
            prop::option::of(0..4_000_000_u64),
            prop::option::of(content())
        )
            .prop_map(|(id, is_compressed, total, inline)| {
                Step::Header {
                    id,
                    is_compressed,
                    total,
                    inline,
                }
            }),
        (id(), any::<bool>()).prop_map(|(id, is_compressed)| {
            Step::Header {
                id,
                is_compressed,
                total: None,
                inline: None,
            }
        }),
        (id(), 0..4_u64, content(), any::<bool>()).prop_map(|(id, index, content, is_deflated)| {
            Step::Chunk {
                id,
                index,
                content,
                is_deflated,
            }
        }),
        (id(), content(), any::<bool>()).prop_map(|(id, content, is_deflated)| Step::Next {
            id,
            content,
            is_deflated
        }),
        id().prop_map(|id| Step::Trailer { id }),
        (0..200_000_usize).prop_map(|n_bytes| Step::User { n_bytes }),
        (0..20_000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn value(scene: &Scene, step: Step) -> Result<Value, Duration> {
    let pack = |content: Vec<u8>, is_deflated| match is_deflated {
        true => deflated(&content),
        false => content,
    };
    Ok(match step {
        Step::Header {
            id,
            is_compressed,
            total,
            inline,
        } => Value::StreamHeader(Header {
            total_length: total,
            inline_content: inline.map(|content| pack(content, is_compressed)),
            ..header(&id.to_string(), is_compressed)
        }),
        Step::Chunk {
            id,
            index,
            content,
            is_deflated,
        } => chunk(&id.to_string(), index, &pack(content, is_deflated)),
        Step::Next {
            id,
            content,
            is_deflated,
        } => {
            let id = id.to_string();
            let next = scene.client.get(&id).copied().unwrap_or(0);
            chunk(&id, next, &pack(content, is_deflated))
        }
        Step::Trailer { id } => trailer(&id.to_string()),
        Step::User { n_bytes } => user(n_bytes),
        Step::Wait { ms } => return Err(Duration::from_millis(ms)),
    })
}

proptest! {
    #[test]
    fn the_guard_and_the_client_have_the_same_open_streams(
        steps in prop::collection::vec((0..4_u8, step()), 1..400),
    ) {
        let mut scene = Scene::new();
        let start = scene.now;
        for (sender, step) in steps {
            match value(&scene, step) {
                Ok(value) => {
                    scene.send(&sender.to_string(), value);
                }
                Err(time) => scene.advance(time),
            }
            scene.check();
        }
        let passed_s = (scene.now - start).as_secs_f64();
        let rates = limits::CONNECTION;
        let bytes_max = rates.bytes_burst + passed_s * rates.bytes_per_s;
        // Headers and trailers that tell the client of an end are the guard's own, and short.
        prop_assert!((scene.bytes_passed as f64) < bytes_max + 400.0 * 300.0);
    }

    #[test]
    fn damaged_packets_do_no_harm(
        steps in prop::collection::vec((step(), any::<prop::sample::Index>(), any::<u8>()), 1..100),
    ) {
        let mut scene = Scene::new();
        for (step, at, byte) in steps {
            let Ok(value) = value(&scene, step) else { continue };
            let mut bytes = packet("alice", value);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            scene.send_bytes(bytes.clone());
            bytes.truncate(at);
            scene.send_bytes(bytes);
            scene.check();
        }
    }

    #[test]
    fn noise_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut scene = Scene::new();
        scene.send_bytes(bytes);
        scene.check();
    }

    #[test]
    fn a_compressed_stream_is_the_same_inflated_however_it_is_cut(
        part in prop::collection::vec(any::<u8>(), 1..300),
        n_parts in 1..1_500_usize,
        n_bytes in 1..2_000_usize,
    ) {
        let content = part.repeat(n_parts);
        let mut scene = Scene::new();
        scene.send("alice", Value::StreamHeader(header("s", true)));
        for (n, piece) in deflated(&content).chunks(n_bytes).take(900).enumerate() {
            scene.send("alice", chunk("s", n as u64, piece));
        }
        let read = scene.content.get("s").cloned().unwrap_or_default();
        prop_assert!(content.starts_with(&read));
        let is_whole = deflated(&content).len() <= 900 * n_bytes;
        prop_assert!(!is_whole || read == content);
    }
}
