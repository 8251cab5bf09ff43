//! The network: pitches, four convolutions over time, a memory, a likelihood.
//!
//! Source of the layers and the weights: Silero VAD (snakers4/silero-vad), its model for 16 kHz.

use std::sync::OnceLock;

use super::matrix::Matrix;
use super::spectrum::{BINS, LENGTH, Spectrum};

/// Samples that are judged at once: 32 ms at 16 kHz.
pub const CHUNK: usize = 512;
/// Samples of the chunk before that are looked at again.
const CONTEXT: usize = 64;
/// From one stretch of the spectrum to the next.
const HOP: usize = 128;
/// What is remembered: this many numbers, twice.
const MEMORY: usize = 128;

/// The weights, as the upper halves of 32-bit floats. They cost no accuracy that could be measured: the
/// likelihoods differ by 0.009 at most from those of the original, by 0.0001 on average.
const WEIGHTS: &[u8] = include_bytes!("weights.bin");

/// What the network knows: one for the process.
pub(crate) struct Network {
    spectrum: Spectrum,
    convolutions: (Matrix<8>, Matrix<16>, Matrix<32>, Matrix<32>),
    gates: Matrix<32>,
    last: (Vec<f32>, f32),
}

/// What the network remembers of one source.
#[derive(Clone)]
pub(crate) struct Memory {
    context: [f32; CONTEXT],
    hidden: [f32; MEMORY],
    cell: [f32; MEMORY],
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            context: [0.0; CONTEXT],
            hidden: [0.0; MEMORY],
            cell: [0.0; MEMORY],
        }
    }
}

impl Network {
    /// The one of this process; the first call unpacks it, which takes about a millisecond.
    pub(crate) fn shared() -> &'static Self {
        static NETWORK: OnceLock<Network> = OnceLock::new();
        NETWORK.get_or_init(Self::unpack)
    }

    fn unpack() -> Self {
        let mut numbers = WEIGHTS
            .as_chunks::<2>()
            .0
            .iter()
            .map(|upper| f32::from_bits(u32::from(u16::from_le_bytes(*upper)) << 16));
        let mut take = |n: usize| -> Vec<f32> { numbers.by_ref().take(n).collect() };
        let convolutions = (
            Matrix::new(&take(128 * BINS * 3), take(128)),
            Matrix::new(&take(64 * 128 * 3), take(64)),
            Matrix::new(&take(64 * 64 * 3), take(64)),
            Matrix::new(&take(128 * 64 * 3), take(128)),
        );
        let n_gates = 4 * MEMORY;
        let (of_input, of_hidden) = (take(n_gates * MEMORY), take(n_gates * MEMORY));
        let rows: Vec<f32> = of_input
            .chunks_exact(MEMORY)
            .zip(of_hidden.chunks_exact(MEMORY))
            .flat_map(|(input, hidden)| input.iter().chain(hidden).copied())
            .collect();
        let offsets = take(n_gates)
            .iter()
            .zip(take(n_gates))
            .map(|(a, b)| a + b)
            .collect();
        Self {
            spectrum: Spectrum::new(),
            convolutions,
            gates: Matrix::new(&rows, offsets),
            last: (take(MEMORY), take(1)[0]),
        }
    }

    /// The likelihood that somebody speaks in the chunk that follows what is remembered.
    pub(crate) fn judge(&self, chunk: &[f32; CHUNK], memory: &mut Memory) -> f32 {
        let pitches = self.pitches(chunk, memory);
        let (first, second, third, fourth) = &self.convolutions;
        let mut a = [[0.0; 4]; 128];
        first.times(&around::<4, 4, { BINS * 3 }>(&pitches, 1), &mut a);
        let mut b = [[0.0; 2]; 64];
        second.times(&around::<4, 2, { 128 * 3 }>(&rectified(a), 2), &mut b);
        let mut c = [[0.0; 1]; 64];
        third.times(&around::<2, 1, { 64 * 3 }>(&rectified(b), 2), &mut c);
        let mut d = [[0.0; 1]; MEMORY];
        fourth.times(&around::<1, 1, { 64 * 3 }>(&rectified(c), 1), &mut d);
        self.remember(&rectified(d), memory);
        let (weights, offset) = &self.last;
        let sum: f32 = weights
            .iter()
            .zip(&memory.hidden)
            .map(|(weight, hidden)| weight * hidden.max(0.0))
            .sum();
        sigmoid(sum + offset)
    }

    /// The magnitudes of the four stretches of a chunk, whose end is mirrored.
    fn pitches(&self, chunk: &[f32; CHUNK], memory: &mut Memory) -> [[f32; 4]; BINS] {
        let mut sound = [0.0; CONTEXT + CHUNK + CONTEXT];
        sound[..CONTEXT].copy_from_slice(&memory.context);
        sound[CONTEXT..CONTEXT + CHUNK].copy_from_slice(chunk);
        for n in 0..CONTEXT {
            sound[CONTEXT + CHUNK + n] = chunk[CHUNK - 2 - n];
        }
        memory.context.copy_from_slice(&chunk[CHUNK - CONTEXT..]);
        let stretch = |n: usize| &sound[n * HOP..n * HOP + LENGTH];
        let early = self.spectrum.magnitudes(stretch(0), stretch(1));
        let late = self.spectrum.magnitudes(stretch(2), stretch(3));
        std::array::from_fn(|k| [early[k][0], early[k][1], late[k][0], late[k][1]])
    }

    /// One step of the long short-term memory.
    fn remember(&self, input: &[[f32; 1]; MEMORY], memory: &mut Memory) {
        let mut both = [[0.0]; 2 * MEMORY];
        both[..MEMORY].copy_from_slice(input);
        for (into, hidden) in both[MEMORY..].iter_mut().zip(&memory.hidden) {
            *into = [*hidden];
        }
        let mut gates = [[0.0]; 4 * MEMORY];
        self.gates.times(&both, &mut gates);
        for n in 0..MEMORY {
            let gate = |which: usize| gates[which * MEMORY + n][0];
            let kept = sigmoid(gate(1)) * memory.cell[n];
            memory.cell[n] = kept + sigmoid(gate(0)) * gate(2).tanh();
            memory.hidden[n] = sigmoid(gate(3)) * memory.cell[n].tanh();
        }
    }
}

/// For each output time the values around it, one to either side, with zeros beyond the ends.
fn around<const IN: usize, const OUT: usize, const N: usize>(
    values: &[[f32; IN]],
    stride: usize,
) -> [[f32; OUT]; N] {
    let mut columns = [[0.0; OUT]; N];
    for (triple, values) in columns.as_chunks_mut::<3>().0.iter_mut().zip(values) {
        for (offset, column) in triple.iter_mut().enumerate() {
            *column = std::array::from_fn(|t| {
                let at = (t * stride + offset).checked_sub(1);
                at.and_then(|at| values.get(at)).copied().unwrap_or(0.0)
            });
        }
    }
    columns
}

fn rectified<const T: usize, const N: usize>(values: [[f32; T]; N]) -> [[f32; T]; N] {
    values.map(|row| row.map(|value| value.max(0.0)))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
