//! voxpool: a LiveKit voice-agent worker.
