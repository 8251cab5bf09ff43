//! What the jitter buffer counted, in the terms of W3C's `inbound-rtp` statistics.

/// Counters since the start; samples are per channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct JitterStats {
    /// Packets of the stream itself, without duplicates.
    pub(crate) packets_received: u64,
    /// Packets that have not come, neither late nor by retransmission.
    pub(crate) packets_lost: u64,
    /// Packets that came after their time, came twice, did not fit or were no Opus.
    pub(crate) packets_discarded: u64,
    /// Lost packets that were played from a later packet's redundancy (RED).
    pub(crate) packets_recovered_by_red: u64,
    /// Lost packets that were played from a later packet's in-band FEC.
    pub(crate) packets_recovered_by_fec: u64,
    /// Samples given to the sink.
    pub(crate) samples_emitted: u64,
    /// Samples made up because of loss or lateness, silent ones included.
    pub(crate) samples_concealed: u64,
    /// Of those, the ones that were silence.
    pub(crate) samples_concealed_silent: u64,
    /// Breaks that were concealed.
    pub(crate) concealment_events: u64,
    /// Samples added and removed by stretching, to change the delay.
    pub(crate) samples_inserted: u64,
    pub(crate) samples_removed: u64,
    /// Interarrival jitter (RFC 3550).
    pub(crate) jitter_ms: f64,
    /// From the arrival of a packet to the end of its sound: as it is, and as it should be.
    pub(crate) delay_ms: f64,
    pub(crate) target_delay_ms: f64,
    /// Samples emitted that came out of packets on time, and sums of the two above over these, in
    /// seconds.
    pub(crate) samples_delayed: u64,
    pub(crate) delay_sum_s: f64,
    pub(crate) target_delay_sum_s: f64,
}
