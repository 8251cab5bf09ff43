//! The audio processing module: this engine has none, and says so.
//!
//! With all four stages off there is nothing to do and every call succeeds. With any of them on
//! every call is an error, because audio handed back unprocessed would look like success.

use crate::{RtcError, RtcErrorType, unsupported};

/// **Works** with all stages off, else **Error** at use.
pub struct AudioProcessingModule {
    any_stage_enabled: bool,
}

impl AudioProcessingModule {
    /// **Works.** Remembers which stages are wanted; processing reports what is missing.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "the signature of the public API"
    )]
    pub fn new(
        echo_canceller_enabled: bool,
        gain_controller_enabled: bool,
        high_pass_filter_enabled: bool,
        noise_suppression_enabled: bool,
    ) -> Self {
        let any_stage_enabled = echo_canceller_enabled
            || gain_controller_enabled
            || high_pass_filter_enabled
            || noise_suppression_enabled;
        Self { any_stage_enabled }
    }

    /// **Works** with all stages off: `data`, the captured audio, stays as it is.
    ///
    /// Shape: interleaved samples, a whole number of 10 ms stretches.
    ///
    /// # Errors
    /// **Error** if any stage was asked for, or if `data` has another length; `data` is untouched.
    pub fn process_stream(
        &mut self,
        data: &mut [i16],
        sample_rate: i32,
        num_channels: i32,
    ) -> Result<(), RtcError> {
        self.check_stages()?;
        check_length(data.len(), sample_rate, num_channels)
    }

    /// **Works** with all stages off: `data`, the audio played out, stays as it is.
    ///
    /// # Errors
    /// As [`process_stream`](Self::process_stream).
    pub fn process_reverse_stream(
        &mut self,
        data: &mut [i16],
        sample_rate: i32,
        num_channels: i32,
    ) -> Result<(), RtcError> {
        self.process_stream(data, sample_rate, num_channels)
    }

    /// **Works** with all stages off: there is no echo canceller that would use the delay.
    ///
    /// # Errors
    /// **Error** if any stage was asked for.
    pub fn set_stream_delay_ms(&mut self, _delay_ms: i32) -> Result<(), RtcError> {
        self.check_stages()
    }

    fn check_stages(&self) -> Result<(), RtcError> {
        if self.any_stage_enabled {
            Err(error(unsupported::AUDIO_PROCESSING))
        } else {
            Ok(())
        }
    }
}

fn check_length(samples: usize, sample_rate: i32, num_channels: i32) -> Result<(), RtcError> {
    let rate = usize::try_from(sample_rate).unwrap_or(0);
    let channels = usize::try_from(num_channels).unwrap_or(0);
    let stretch = (rate / 100).saturating_mul(channels);
    if stretch > 0 && samples >= stretch && samples.is_multiple_of(stretch) {
        return Ok(());
    }
    Err(error(&format!(
        "audio must come in whole stretches of 10 ms: {samples} samples at {sample_rate} Hz and \
         {num_channels} channels are not"
    )))
}

fn error(message: &str) -> RtcError {
    RtcError {
        error_type: RtcErrorType::Internal,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_stages_audio_passes_unchanged() {
        let mut apm = AudioProcessingModule::new(false, false, false, false);
        let mut data = vec![7_i16; 960];
        apm.process_stream(&mut data, 48_000, 2)
            .expect("nothing to do");
        apm.process_reverse_stream(&mut data, 48_000, 1)
            .expect("nothing to do");
        apm.set_stream_delay_ms(20).expect("nothing to do");
        assert!(data.iter().all(|&sample| sample == 7));
    }

    #[test]
    fn a_wanted_stage_is_an_error_that_names_the_way_out() {
        let mut apm = AudioProcessingModule::new(false, false, false, true);
        let error = apm.process_stream(&mut [0; 480], 48_000, 1).unwrap_err();
        assert!(error.message.contains("[patch.crates-io]"), "{error}");
        assert!(apm.set_stream_delay_ms(0).is_err());
    }

    #[test]
    fn lengths_that_are_not_whole_stretches_are_errors() {
        let mut apm = AudioProcessingModule::new(false, false, false, false);
        for (samples, rate, channels) in [
            (0, 48_000, 1),
            (481, 48_000, 1),
            (480, 48_000, 2),
            (480, 0, 1),
            (480, -1, i32::MAX),
        ] {
            assert!(
                apm.process_stream(&mut vec![0; samples], rate, channels)
                    .is_err()
            );
        }
    }
}
