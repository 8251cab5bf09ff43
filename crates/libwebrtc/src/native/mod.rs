//! What upstream offers on native targets only: audio tools, pixel conversions and the parts of
//! end-to-end encryption and frame metadata that `livekit` links against.

pub mod apm;
pub mod audio_mixer;
pub mod audio_resampler;
pub mod frame_cryptor;
pub mod packet_trailer;
mod remix;
pub mod yuv_helper;

/// **Works.** A random (version 4) UUID in its usual text form, such as
/// `6f1c…-…-4…`: 36 characters, lower case.
///
/// Source: RFC 9562, section 5.4.
pub fn create_random_uuid() -> String {
    const VERSION_4: u128 = 0x4 << 76;
    const VARIANT: u128 = 0b10 << 62;
    let bits = rand::random::<u128>();
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | VERSION_4 | VARIANT;
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_the_marks_of_version_4_and_is_new_each_time() {
        let uuid = create_random_uuid();
        let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        assert_ne!(uuid, create_random_uuid());
    }
}
