//! End-to-end encryption, which this engine does not have, made to fail closed.
//!
//! Keys can be kept, nothing is encrypted or decrypted with them. An application that asks for
//! encryption must not send in the clear without knowing: a sender whose cryptor is switched on
//! loses its track, a receiver's track is silenced, data packets are refused with an error, and
//! the state handler hears [`EncryptionState::InternalError`]. (The transport is always encrypted,
//! between each participant and the server.)

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    native::packet_trailer::PacketTrailerHandler, peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver, rtp_sender::RtpSender, unsupported,
};

/// **Works.** Takes the participant's identity and the new state.
pub type OnStateChange = Box<dyn FnMut(String, EncryptionState) + Send + Sync>;

/// **Works** as plain data: how a key would be made from what the application gives.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub enum KeyDerivationAlgorithm {
    /// For passwords.
    PBKDF2,
    /// For keys of good quality.
    HKDF,
}

/// **Works** as plain data: settings of a [`KeyProvider`].
#[derive(Debug, Clone)]
pub struct KeyProviderOptions {
    /// Whether all participants use the same keys.
    pub shared_key: bool,
    /// Steps by which a receiver may ratchet a key to catch up.
    pub ratchet_window_size: i32,
    /// Salt for ratcheting.
    pub ratchet_salt: Vec<u8>,
    /// Frames that may fail before a key counts as wrong; negative for any number.
    pub failure_tolerance: i32,
    /// Keys that are kept at a time; indices start at 0.
    pub key_ring_size: i32,
    /// How keys are derived.
    pub key_derivation_algorithm: KeyDerivationAlgorithm,
}

/// **Works** as plain data: a cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionAlgorithm {
    /// AES in Galois/counter mode.
    AesGcm,
    /// AES in cipher-block-chaining mode.
    AesCbc,
}

/// **Works.** How encryption is going; here only `New` and `InternalError` occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionState {
    /// Nothing happened yet.
    New,
    /// Frames are being encrypted or decrypted.
    Ok,
    /// A frame could not be encrypted.
    EncryptionFailed,
    /// A frame could not be decrypted.
    DecryptionFailed,
    /// There is no key at the index in use.
    MissingKey,
    /// The key was ratcheted forward.
    KeyRatcheted,
    /// Encryption is impossible.
    InternalError,
}

/// **Works** as plain data: an encrypted data packet.
#[derive(Debug, Clone)]
pub struct EncryptedPacket {
    /// The encrypted payload.
    pub data: Vec<u8>,
    /// The initialisation vector it was encrypted with.
    pub iv: Vec<u8>,
    /// Index of the key it was encrypted with.
    pub key_index: u32,
}

/// **Works** for keeping keys; **Error** for ratcheting them. Clones share their keys.
#[derive(Clone)]
pub struct KeyProvider {
    options: Arc<KeyProviderOptions>,
    keys: Arc<Mutex<Keys>>,
}

#[derive(Default)]
struct Keys {
    shared: HashMap<i32, Vec<u8>>,
    of_participants: HashMap<(String, i32), Vec<u8>>,
}

impl KeyProvider {
    /// **Works.** A provider without keys.
    pub fn new(options: KeyProviderOptions) -> Self {
        Self {
            options: Arc::new(options),
            keys: Arc::default(),
        }
    }

    /// **Works.** Keeps the key that all participants share; false if the provider was not made
    /// for shared keys or `key_index` is outside its ring.
    pub fn set_shared_key(&self, key_index: i32, key: Vec<u8>) -> bool {
        let accepted = self.options.shared_key && self.in_ring(key_index);
        if accepted {
            self.keys.lock().shared.insert(key_index, key);
        }
        accepted
    }

    /// **Error.** Always `None`: no key can be derived.
    pub fn ratchet_shared_key(&self, _key_index: i32) -> Option<Vec<u8>> {
        log::error!("cannot ratchet a key: {}", unsupported::ENCRYPTION);
        None
    }

    /// **Works.** The shared key at `key_index`.
    pub fn get_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().shared.get(&key_index).cloned()
    }

    /// **Works.** Keeps one participant's key; false if `key_index` is outside the ring.
    pub fn set_key(&self, participant_id: String, key_index: i32, key: Vec<u8>) -> bool {
        let accepted = self.in_ring(key_index);
        if accepted {
            self.keys
                .lock()
                .of_participants
                .insert((participant_id, key_index), key);
        }
        accepted
    }

    /// **Error.** Always `None`: no key can be derived.
    pub fn ratchet_key(&self, _participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.ratchet_shared_key(key_index)
    }

    /// **Works.** One participant's key at `key_index`.
    pub fn get_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys
            .lock()
            .of_participants
            .get(&(participant_id, key_index))
            .cloned()
    }

    /// **Never** has an effect: it would mark frames that the server adds, and no frame is read.
    pub fn set_sif_trailer(&self, _trailer: Vec<u8>) {}

    fn in_ring(&self, key_index: i32) -> bool {
        (0..self.options.key_ring_size).contains(&key_index)
    }
}

/// **Error.** Cannot encrypt: switched on, it stops the track it was made for.
///
/// Clones are the same cryptor.
#[derive(Clone)]
pub struct FrameCryptor {
    shared: Arc<Shared>,
}

struct Shared {
    participant_id: String,
    /// Keeps anything from passing the end of the track that the cryptor sits on.
    stop_track: Box<dyn Fn() + Send + Sync>,
    enabled: AtomicBool,
    key_index: AtomicI32,
    state: Mutex<StateReport>,
}

#[derive(Default)]
struct StateReport {
    handler: Option<OnStateChange>,
    /// Whether [`EncryptionState::InternalError`] waits for a handler.
    due: bool,
}

impl FrameCryptor {
    /// **Works.** A cryptor for what `sender` sends, switched off.
    pub fn new_for_rtp_sender(
        _peer_factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        sender: RtpSender,
    ) -> Self {
        Self::new(participant_id, move || {
            if let Err(error) = sender.set_track(None) {
                log::error!("the track could not be taken from its sender: {error}");
            }
        })
    }

    /// **Works.** A cryptor for what `receiver` receives, switched off.
    pub fn new_for_rtp_receiver(
        _peer_factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        receiver: RtpReceiver,
    ) -> Self {
        Self::new(participant_id, move || {
            if let Some(track) = receiver.track() {
                track.set_enabled(false);
            }
        })
    }

    fn new(participant_id: String, stop_track: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                participant_id,
                stop_track: Box::new(stop_track),
                enabled: AtomicBool::new(false),
                key_index: AtomicI32::new(0),
                state: Mutex::default(),
            }),
        }
    }

    /// **Error** when switched on: a sender's track is taken away and a receiver's track disabled,
    /// for good, so that nothing leaves in the clear and no noise is played; the reason is logged
    /// and the state handler hears [`EncryptionState::InternalError`]. Switching off changes
    /// [`enabled`](Self::enabled) only.
    pub fn set_enabled(&self, enabled: bool) {
        if !self.shared.enabled.swap(enabled, Ordering::AcqRel) && enabled {
            log::error!(
                "stopping a track that was to be encrypted: {}",
                unsupported::ENCRYPTION
            );
            (self.shared.stop_track)();
            self.shared.state.lock().due = true;
            self.report_state();
        }
    }

    /// **Works.** The value last given to [`set_enabled`](Self::set_enabled); false at first.
    pub fn enabled(&self) -> bool {
        self.shared.enabled.load(Ordering::Acquire)
    }

    /// **Works** as plain data: no key is used.
    pub fn set_key_index(&self, index: i32) {
        self.shared.key_index.store(index, Ordering::Release);
    }

    /// **Works.** The index last set; 0 at first.
    pub fn key_index(&self) -> i32 {
        self.shared.key_index.load(Ordering::Acquire)
    }

    /// **Works.** The participant given at creation.
    pub fn participant_id(&self) -> String {
        self.shared.participant_id.clone()
    }

    /// **Works.** Sets or removes the state handler. It is called from a thread of its own, also
    /// for a state from before it was set.
    pub fn on_state_change(&self, handler: Option<OnStateChange>) {
        self.shared.state.lock().handler = handler;
        self.report_state();
    }

    /// **Never** has an effect: it would skip metadata behind frames, and no frame is read.
    pub fn set_packet_trailer_handler(&self, _handler: &PacketTrailerHandler) {}

    /// Tells the handler of a state that it has not heard of yet.
    ///
    /// On its own thread, because callers may hold locks that the handler takes.
    fn report_state(&self) {
        let state = self.shared.state.lock();
        if !state.due || state.handler.is_none() {
            return;
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("frame-cryptor-state".into());
        let spawned = thread.spawn(move || {
            let mut state = shared.state.lock();
            let due = std::mem::take(&mut state.due);
            if let Some(handler) = state.handler.as_mut().filter(|_| due) {
                handler(
                    shared.participant_id.clone(),
                    EncryptionState::InternalError,
                );
            }
        });
        if let Err(error) = spawned {
            log::error!("the encryption state could not be reported: {error}");
        }
    }
}

/// **Error.** Refuses every packet.
#[derive(Clone)]
pub struct DataPacketCryptor(());

impl DataPacketCryptor {
    /// **Works.** A cryptor that refuses every packet.
    pub fn new(_algorithm: EncryptionAlgorithm, _key_provider: KeyProvider) -> Self {
        Self(())
    }

    /// **Error.** Always: nothing is sent in the clear in place of `_data`.
    ///
    /// # Errors
    /// Says that this engine has no end-to-end encryption.
    pub fn encrypt(
        &self,
        _participant_id: &str,
        _key_index: u32,
        _data: &[u8],
    ) -> Result<EncryptedPacket, Box<dyn Error>> {
        Err(unsupported::ENCRYPTION.into())
    }

    /// **Error.** Always.
    ///
    /// # Errors
    /// Says that this engine has no end-to-end encryption.
    pub fn decrypt(
        &self,
        _participant_id: &str,
        _encrypted_packet: &EncryptedPacket,
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        Err(unsupported::ENCRYPTION.into())
    }
}

impl fmt::Debug for KeyProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyProvider").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn provider(shared_key: bool) -> KeyProvider {
        KeyProvider::new(KeyProviderOptions {
            shared_key,
            ratchet_window_size: 16,
            ratchet_salt: b"salt".to_vec(),
            failure_tolerance: -1,
            key_ring_size: 16,
            key_derivation_algorithm: KeyDerivationAlgorithm::PBKDF2,
        })
    }

    #[test]
    fn keys_are_kept_inside_the_ring() {
        let provider = provider(true);
        assert!(provider.set_shared_key(0, b"a".to_vec()));
        assert!(provider.set_key("john".into(), 15, b"b".to_vec()));
        assert!(!provider.set_key("john".into(), 16, b"c".to_vec()));
        assert!(!provider.set_shared_key(-1, b"d".to_vec()));
        assert_eq!(provider.clone().get_shared_key(0), Some(b"a".to_vec()));
        assert_eq!(provider.get_key("john".into(), 15), Some(b"b".to_vec()));
        assert_eq!(provider.get_key("jane".into(), 15), None);
        assert_eq!(provider.ratchet_shared_key(0), None);
    }

    #[test]
    fn a_provider_of_single_keys_refuses_a_shared_one() {
        assert!(!provider(false).set_shared_key(0, b"a".to_vec()));
    }

    #[test]
    fn switching_on_stops_the_track_and_is_reported_to_a_later_handler() {
        let stops = Arc::new(AtomicI32::new(0));
        let count = Arc::clone(&stops);
        let cryptor = FrameCryptor::new("john".into(), move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        cryptor.set_enabled(false);
        assert_eq!(stops.load(Ordering::Relaxed), 0);
        cryptor.set_enabled(true);
        assert_eq!(stops.load(Ordering::Relaxed), 1);
        assert!(cryptor.clone().enabled());

        let (states, heard) = mpsc::channel();
        cryptor.on_state_change(Some(Box::new(move |participant, state| {
            states
                .send((participant, state))
                .expect("the test still listens");
        })));
        let expected = ("john".to_owned(), EncryptionState::InternalError);
        assert_eq!(heard.recv(), Ok(expected));
    }

    #[test]
    fn data_packets_are_refused() {
        let cryptor = DataPacketCryptor::new(EncryptionAlgorithm::AesGcm, provider(true));
        let error = cryptor
            .encrypt("john", 0, b"secret")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no end-to-end encryption"), "{error}");
        let packet = EncryptedPacket {
            data: vec![],
            iv: vec![],
            key_index: 0,
        };
        assert!(cryptor.decrypt("john", &packet).is_err());
    }
}
