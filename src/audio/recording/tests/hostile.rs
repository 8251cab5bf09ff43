//! Recordings whose numbers are chosen to cost memory and time, each made from one of a browser.

use std::cell::Cell;

use super::*;

/// The packets that decoding takes from a recording, counted by the clock that it asks before each.
fn n_packets(recording: &[u8]) -> usize {
    let asked = Cell::new(0);
    let clock = || {
        asked.set(asked.get() + 1);
        Duration::ZERO
    };
    super::super::decode(recording.to_vec(), 16_000, Duration::from_secs(30), clock).ok();
    asked.get()
}

fn replace(file: &mut [u8], old: &[u8], new: &[u8]) {
    let at = position(file, old);
    file[at..at + old.len()].copy_from_slice(new);
}

fn position(file: &[u8], part: &[u8]) -> usize {
    let mut windows = file.windows(part.len());
    windows
        .position(|window| window == part)
        .expect("it is there")
}

fn mp4_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + content.len()).unwrap();
    [&size.to_be_bytes(), &name[..], content].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// The boxes in this part of a file.
fn boxes(mut content: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    while content.len() >= 8 {
        let size = u32::from_be_bytes(content[..4].try_into().unwrap()) as usize;
        let (whole, rest) = content.split_at(size);
        found.push((&whole[4..8], whole));
        content = rest;
    }
    found
}

/// `ftyp` and `moov` of the file, with more in its `moov`.
fn beginning(more_in_moov: &[u8]) -> Vec<u8> {
    let all = boxes(AAC);
    let (_, ftyp) = all[0];
    let (_, moov) = all.iter().find(|(name, _)| *name == b"moov").unwrap();
    [
        ftyp,
        &mp4_box(b"moov", &[&moov[8..], more_in_moov].concat()),
    ]
    .concat()
}

/// A fragment with one run of samples without bytes.
fn fragment(track: u32, n_samples: u32) -> Vec<u8> {
    let header = mp4_box(b"tfhd", &numbers(&[0x02_0000, track]));
    let run = mp4_box(b"trun", &numbers(&[0, n_samples]));
    let track = mp4_box(b"traf", &[header, run].concat());
    let number = mp4_box(b"mfhd", &numbers(&[0, 1]));
    [
        mp4_box(b"moof", &[number, track].concat()),
        mp4_box(b"mdat", &[0; 16]),
    ]
    .concat()
}

/// A second track beside the first, with nothing in it, and the audio's `moov` without its own `mvex`.
fn two_tracks() -> Vec<u8> {
    let all = boxes(AAC);
    let (_, ftyp) = all[0];
    let (_, moov) = all.iter().find(|(name, _)| *name == b"moov").unwrap();
    let mut content = Vec::new();
    for (name, whole) in boxes(&moov[8..]) {
        content.extend(whole);
        if name == b"trak" {
            let mut second = whole.to_vec();
            // The id stands behind two times of four bytes.
            let at = position(&second, b"tkhd") + 16;
            second[at..at + 4].copy_from_slice(&2_u32.to_be_bytes());
            content.extend(second);
        }
        if name == b"mvex" {
            content.truncate(content.len() - whole.len());
            let second = mp4_box(b"trex", &numbers(&[0, 2, 1, 0, 0, 0]));
            content.extend(mp4_box(b"mvex", &[&whole[8..], &second].concat()));
        }
    }
    [ftyp, &mp4_box(b"moov", &content)].concat()
}

#[test]
fn an_absurd_sample_rate_is_refused_before_a_filter_is_made_for_it() {
    let mut recording = AAC.to_vec();
    // AAC-LC at 48 kHz becomes AAC-LC at the rate 0xfffffd, written out in 24 bits.
    replace(
        &mut recording,
        &[0x11, 0x88, 0x56, 0xe5, 0x00],
        &[0x17, 0xff, 0xff, 0xfe, 0x88],
    );
    // A first packet that is an end and nothing else: it decodes to silence.
    let data = position(&recording, b"mdat") + 4;
    recording[data] = 0xe0;
    assert!(matches!(decode(&recording), Err(Unreadable::SampleRate)));
    assert_eq!(n_packets(&recording), 0);
}

#[test]
fn an_absurd_sample_rate_of_a_decoded_packet_is_refused() {
    let mut decoded = Decoded::new(Duration::from_secs(30));
    for rate_hz in [0, 7_999, 96_001, 0xff_fffd, u32::MAX] {
        let refused = decoded.push(rate_hz, [0; 1024]);
        assert!(matches!(refused, Err(Unreadable::SampleRate)), "{rate_hz}");
    }
    assert!(decoded.push(96_000, [0; 1024]).is_ok());
    assert_eq!(decoded.samples.len(), 1024);
}

#[test]
fn samples_without_bytes_are_refused_in_any_track_and_table() {
    let mut second_track = two_tracks();
    second_track.extend(fragment(2, u32::MAX));
    let mut audio_track = beginning(&[]);
    audio_track.extend(fragment(1, u32::MAX));
    let mut many_runs = beginning(&[]);
    (0..4).for_each(|_| many_runs.extend(fragment(1, 20_000)));
    let mut times = AAC.to_vec();
    let old = mp4_box(b"stts", &numbers(&[0, 0]));
    replace(
        &mut times,
        &old,
        &mp4_box(b"stts", &numbers(&[0, u32::MAX])),
    );
    for (name, recording) in [
        ("second track", second_track),
        ("audio track", audio_track),
        ("runs", many_runs),
        ("times", times),
    ] {
        let refused = decode(&recording);
        assert!(
            matches!(refused, Err(Unreadable::Excessive("packets"))),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn more_tracks_fragments_or_depth_than_a_recording_has_are_refused() {
    let all = boxes(AAC);
    let (_, moov) = all.iter().find(|(name, _)| *name == b"moov").unwrap();
    let parts = boxes(&moov[8..]);
    let (_, track) = parts.iter().find(|(name, _)| *name == b"trak").unwrap();
    let tracks = beginning(&track.repeat(5));
    let mut data = beginning(&[]);
    data.extend(mp4_box(b"mdat", &[]).repeat(5_000));
    let mut deep = Vec::new();
    for _ in 0..100_000 / 8 {
        deep = mp4_box(b"moof", &deep);
    }
    let deep = [beginning(&[]), deep].concat();
    let mut endless = beginning(&[]);
    endless.extend(numbers(&[0]));
    endless.extend(b"moof");
    for (name, recording, part) in [
        ("tracks", tracks, "more tracks"),
        ("data", data, "more fragments"),
        ("depth", deep, "damaged"),
        ("open end", endless, "damaged"),
    ] {
        let refused = decode(&recording).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|why| why.contains(part)), "{name}");
    }
}

#[test]
fn boxes_that_decoding_does_not_need_are_not_read() {
    let tags = mp4_box(b"udta", &mp4_box(b"meta", &[0xff; 4_000]));
    let mut recording = beginning(&tags);
    mp4::tame(&mut recording).unwrap();
    assert!(!recording.windows(4).any(|name| name == b"udta"));
}

/// A page of Ogg with a right checksum.
fn page(flags: u8, serial: u32, segments: &[u8], body: &[u8]) -> Vec<u8> {
    use symphonia::core::checksum::Crc32;
    use symphonia::core::io::Monitor;

    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend([0; 8]);
    page.extend(serial.to_le_bytes());
    page.extend([0; 8]);
    page.push(u8::try_from(segments.len()).unwrap());
    page.extend(segments);
    page.extend(body);
    let mut checksum = Crc32::new(0);
    checksum.process_buf_bytes(&page);
    page[22..26].copy_from_slice(&checksum.crc().to_le_bytes());
    page
}

/// The serial number and the two pages of headers of the recording.
fn ogg_headers() -> (u32, Vec<u8>) {
    let serial = u32::from_le_bytes(OGG[14..18].try_into().unwrap());
    let starts = OGG.windows(4).enumerate();
    let mut starts = starts.filter(|(_, window)| *window == b"OggS");
    let (third, _) = starts.nth(2).unwrap();
    (serial, OGG[..third].to_vec())
}

#[test]
fn pages_inside_of_pages_are_not_read() {
    let (_, mut recording) = ogg_headers();
    let headers = recording.len();
    // Each header is the table of segments of the one before it.
    let header = [&b"OggS\0\0"[..], &[0xff; 21]].concat();
    recording.extend(header.repeat(1_000_000 / header.len()));
    assert_eq!(ogg::tame(&recording).unwrap().len(), headers);
}

#[test]
fn a_damaged_page_costs_itself_and_streams_beside_the_first_are_not_read() {
    let tamed = ogg::tame(OGG).unwrap();
    assert_eq!(tamed, OGG, "a whole recording is left alone");
    let (serial, headers) = ogg_headers();
    let good = page(0, serial, &[3], b"abc");
    let mut bad = good.clone();
    *bad.last_mut().unwrap() = b'd';
    let other = page(0, serial + 1, &[3], b"abc");
    let again = page(IS_FIRST, serial, &[3], b"abc");
    let parts = [&headers[..], &bad, &good, &other, &good, &again, &good];
    let tamed = ogg::tame(&parts.concat()).unwrap();
    assert_eq!(tamed, [&headers[..], &good, &good].concat());
}

const IS_FIRST: u8 = 2;

#[test]
fn an_ogg_stream_of_another_coding_is_refused() {
    let vorbis = page(
        IS_FIRST,
        7,
        &[30],
        &[b"\x01vorbis", &[0xff; 23][..]].concat(),
    );
    assert!(matches!(decode(&vorbis), Err(Unreadable::Codec)));
}

#[test]
fn packets_without_data_end_at_their_bound() {
    let (serial, mut recording) = ogg_headers();
    recording.extend(page(0, serial, &[0; 255], &[]).repeat(1_000));
    let n = n_packets(&recording);
    assert!((15_000..=PACKETS_MAX + 1).contains(&n), "{n} of Ogg");

    // A cluster of blocks that are each laced to 256 frames without data.
    let mut recording = webm::tame(WEBM);
    recording.truncate(position(&recording, &[0x1f, 0x43, 0xb6, 0x75]));
    recording.extend([0x1f, 0x43, 0xb6, 0x75, 0xff, 0xe7, 0x81, 0x00]);
    recording.extend([0xa3, 0x85, 0x81, 0, 0, 0x04, 0xff].repeat(1_000));
    let n = n_packets(&recording);
    assert!((PACKETS_MAX..=PACKETS_MAX + 1).contains(&n), "{n} of WebM");
}

#[test]
fn tags_chapters_and_indices_of_webm_are_not_read() {
    let element = |id: &[u8], content: &[u8]| {
        let size = (0x0100_0000_0000_0000 | content.len() as u64).to_be_bytes();
        [id, &size, content].concat()
    };
    let seek = element(&[0x4d, 0xbb], &[0x53, 0xab, 0x84, 0x12, 0x54, 0xc3, 0x67]);
    let seeks = element(&[0x11, 0x4d, 0x9b, 0x74], &seek.repeat(1_000));
    let tags = element(&[0x12, 0x54, 0xc3, 0x67], &[0xff; 4_000]);
    let chapters = element(&[0x10, 0x43, 0xa7, 0x70], &[0xff; 4_000]);
    let mut recording = WEBM.to_vec();
    // Behind the id of the segment and a size of eight bytes.
    let at = position(&recording, &[0x18, 0x53, 0x80, 0x67]) + 12;
    let more = [seeks, tags, chapters].concat();
    recording.splice(at..at, more);
    assert_eq!(webm::tame(&recording), webm::tame(WEBM));
    let (heard, whole) = (decode(&recording).unwrap(), decode(WEBM).unwrap());
    assert!(heard == whole, "the audio is the same");
}

#[test]
fn decoding_ends_at_its_deadline_with_what_it_has() {
    let asked = Cell::new(0);
    let clock = || {
        asked.set(asked.get() + 1);
        match asked.get() {
            ..=10 => Duration::ZERO,
            _ => DECODE_MAX,
        }
    };
    let audio = super::super::decode(OGG.to_vec(), 16_000, Duration::from_secs(30), clock);
    let ms = audio.unwrap().duration().as_millis();
    assert!((100..=1_200).contains(&ms), "ten packets are {ms} ms");
    assert_eq!(asked.get(), 11);
}
