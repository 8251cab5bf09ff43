//! End-to-end encryption and frame metadata.

use std::{error::Error, fmt::Debug, sync::Arc};

use libwebrtc::{
    native::{
        frame_cryptor::{
            DataPacketCryptor, EncryptedPacket, EncryptionAlgorithm, EncryptionState, FrameCryptor,
            KeyDerivationAlgorithm, KeyProvider, KeyProviderOptions, OnStateChange,
        },
        packet_trailer::{
            PacketTrailerHandler, PublishTimingEvent, PublishTimingObserver, PublishTimingStage,
            SubscribeTimingEvent, SubscribeTimingObserver, SubscribeTimingStage,
            create_receiver_handler, create_sender_handler,
        },
    },
    peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

use crate::{all_fields, all_variants, signatures, traits};

const _: [KeyDerivationAlgorithm; 2] =
    [KeyDerivationAlgorithm::PBKDF2, KeyDerivationAlgorithm::HKDF];
all_variants!(EncryptionAlgorithm { AesGcm, AesCbc });
all_variants!(EncryptionState {
    New,
    Ok,
    EncryptionFailed,
    DecryptionFailed,
    MissingKey,
    KeyRatcheted,
    InternalError,
});
all_variants!(PublishTimingStage {
    EncoderUpload,
    EncoderOutput,
    WebrtcPacketize,
});
all_variants!(SubscribeTimingStage {
    WebrtcReceive,
    DecoderUpload,
    DecoderOutput,
});

all_fields!(KeyProviderOptions {
    shared_key: bool,
    ratchet_window_size: i32,
    ratchet_salt: Vec<u8>,
    failure_tolerance: i32,
    key_ring_size: i32,
    key_derivation_algorithm: KeyDerivationAlgorithm,
});
all_fields!(EncryptedPacket { data: Vec<u8>, iv: Vec<u8>, key_index: u32, });
all_fields!(PublishTimingEvent {
    stage: PublishTimingStage,
    timestamp_us: u64,
    capture_timestamp_us: u64,
    frame_id: Option<u32>,
});
all_fields!(SubscribeTimingEvent {
    stage: SubscribeTimingStage,
    timestamp_us: u64,
    capture_timestamp_us: u64,
    frame_id: Option<u32>,
});

signatures! {
    KeyProvider::new => fn(KeyProviderOptions) -> KeyProvider;
    KeyProvider::set_shared_key => fn(&KeyProvider, i32, Vec<u8>) -> bool;
    KeyProvider::ratchet_shared_key => fn(&KeyProvider, i32) -> Option<Vec<u8>>;
    KeyProvider::get_shared_key => fn(&KeyProvider, i32) -> Option<Vec<u8>>;
    KeyProvider::set_key => fn(&KeyProvider, String, i32, Vec<u8>) -> bool;
    KeyProvider::ratchet_key => fn(&KeyProvider, String, i32) -> Option<Vec<u8>>;
    KeyProvider::get_key => fn(&KeyProvider, String, i32) -> Option<Vec<u8>>;
    KeyProvider::set_sif_trailer => fn(&KeyProvider, Vec<u8>);

    FrameCryptor::new_for_rtp_sender => fn(
        &PeerConnectionFactory, String, EncryptionAlgorithm, KeyProvider, RtpSender,
    ) -> FrameCryptor;
    FrameCryptor::new_for_rtp_receiver => fn(
        &PeerConnectionFactory, String, EncryptionAlgorithm, KeyProvider, RtpReceiver,
    ) -> FrameCryptor;
    FrameCryptor::set_enabled => fn(&FrameCryptor, bool);
    FrameCryptor::enabled => fn(&FrameCryptor) -> bool;
    FrameCryptor::set_key_index => fn(&FrameCryptor, i32);
    FrameCryptor::key_index => fn(&FrameCryptor) -> i32;
    FrameCryptor::participant_id => fn(&FrameCryptor) -> String;
    FrameCryptor::on_state_change => fn(&FrameCryptor, Option<OnStateChange>);
    FrameCryptor::set_packet_trailer_handler => fn(&FrameCryptor, &PacketTrailerHandler);

    DataPacketCryptor::new => fn(EncryptionAlgorithm, KeyProvider) -> DataPacketCryptor;
    DataPacketCryptor::encrypt => fn(
        &DataPacketCryptor, &str, u32, &[u8],
    ) -> Result<EncryptedPacket, Box<dyn Error>>;
    DataPacketCryptor::decrypt
        => fn(&DataPacketCryptor, &str, &EncryptedPacket) -> Result<Vec<u8>, Box<dyn Error>>;

    PacketTrailerHandler::set_enabled => fn(&PacketTrailerHandler, bool);
    PacketTrailerHandler::enabled => fn(&PacketTrailerHandler) -> bool;
    PacketTrailerHandler::lookup_frame_metadata
        => fn(&PacketTrailerHandler, u32) -> Option<(u64, u32, Vec<u8>)>;
    PacketTrailerHandler::store_frame_metadata => fn(&PacketTrailerHandler, i64, u64, u32, &[u8]);
    PacketTrailerHandler::set_publish_timing_observer
        => fn(&PacketTrailerHandler, Option<PublishTimingObserver>);
    PacketTrailerHandler::set_subscribe_timing_observer
        => fn(&PacketTrailerHandler, Option<SubscribeTimingObserver>);
    create_sender_handler => fn(&PeerConnectionFactory, &RtpSender) -> PacketTrailerHandler;
    create_receiver_handler => fn(&PeerConnectionFactory, &RtpReceiver) -> PacketTrailerHandler;
}

/// The types behind the callbacks' names.
fn callbacks_are_closures() {
    let _: Option<Box<dyn FnMut(String, EncryptionState) + Send + Sync>> = None::<OnStateChange>;
    let _: Option<Arc<dyn Fn(PublishTimingEvent) + Send + Sync>> = None::<PublishTimingObserver>;
    let _: Option<Arc<dyn Fn(SubscribeTimingEvent) + Send + Sync>> =
        None::<SubscribeTimingObserver>;
}

traits! {
    KeyDerivationAlgorithm: Debug, Copy;
    KeyProviderOptions: Debug, Clone;
    EncryptionAlgorithm: Debug, Copy, Eq;
    EncryptionState: Debug, Copy, Eq;
    EncryptedPacket: Debug, Clone;
    KeyProvider: Clone, Send, Sync;
    FrameCryptor: Clone, Send, Sync;
    DataPacketCryptor: Clone, Send, Sync;
    PublishTimingStage: Debug, Copy, Eq;
    SubscribeTimingStage: Debug, Copy, Eq;
    PublishTimingEvent: Debug, Copy, Eq, Send;
    SubscribeTimingEvent: Debug, Copy, Eq, Send;
    PacketTrailerHandler: Clone, Send, Sync;
}
