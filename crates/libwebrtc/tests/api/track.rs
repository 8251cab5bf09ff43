//! Tracks and streams.

use std::fmt::Debug;

use libwebrtc::{
    audio_track::RtcAudioTrack,
    media_stream::MediaStream,
    media_stream_track::{MediaStreamTrack, RtcTrackState},
    native::packet_trailer::PacketTrailerHandler,
    video_track::RtcVideoTrack,
};

use crate::{all_variants, signatures, traits};

all_variants!(RtcTrackState { Live, Ended });

signatures! {
    MediaStreamTrack::Video => fn(RtcVideoTrack) -> MediaStreamTrack;
    MediaStreamTrack::Audio => fn(RtcAudioTrack) -> MediaStreamTrack;
    MediaStreamTrack::id => fn(&MediaStreamTrack) -> String;
    MediaStreamTrack::enabled => fn(&MediaStreamTrack) -> bool;
    MediaStreamTrack::set_enabled => fn(&MediaStreamTrack, bool) -> bool;
    MediaStreamTrack::state => fn(&MediaStreamTrack) -> RtcTrackState;

    RtcAudioTrack::id => fn(&RtcAudioTrack) -> String;
    RtcAudioTrack::enabled => fn(&RtcAudioTrack) -> bool;
    RtcAudioTrack::set_enabled => fn(&RtcAudioTrack, bool) -> bool;
    RtcAudioTrack::state => fn(&RtcAudioTrack) -> RtcTrackState;

    RtcVideoTrack::id => fn(&RtcVideoTrack) -> String;
    RtcVideoTrack::enabled => fn(&RtcVideoTrack) -> bool;
    RtcVideoTrack::set_enabled => fn(&RtcVideoTrack, bool) -> bool;
    RtcVideoTrack::state => fn(&RtcVideoTrack) -> RtcTrackState;
    RtcVideoTrack::set_packet_trailer_handler => fn(&RtcVideoTrack, PacketTrailerHandler);
    RtcVideoTrack::packet_trailer_handler => fn(&RtcVideoTrack) -> Option<PacketTrailerHandler>;

    MediaStream::id => fn(&MediaStream) -> String;
    MediaStream::audio_tracks => fn(&MediaStream) -> Vec<RtcAudioTrack>;
    MediaStream::video_tracks => fn(&MediaStream) -> Vec<RtcVideoTrack>;
}

fn a_track_is_of_one_kind_or_the_other(track: MediaStreamTrack) {
    match track {
        MediaStreamTrack::Audio(track) => drop::<RtcAudioTrack>(track),
        MediaStreamTrack::Video(track) => drop::<RtcVideoTrack>(track),
    }
}

traits! {
    RtcTrackState: Debug, Copy, Eq;
    MediaStreamTrack: Debug, Clone, From<RtcAudioTrack>, From<RtcVideoTrack>, Send, Sync;
    RtcAudioTrack: Debug, Clone, Send, Sync;
    RtcVideoTrack: Debug, Clone, Send, Sync;
    MediaStream: Debug, Clone, Send, Sync;
}
