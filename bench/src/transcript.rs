//! What the caller understood, by the OpenAI-compatible endpoint.

use std::io::Cursor;

use anyhow::{Context, Result};
use reqwest::multipart::{Form, Part};

use crate::SAMPLE_RATE_HZ;

/// Where speech is turned into text.
pub struct Transcriber {
    /// Base URL that ends in `/v1`.
    pub base_url: String,
    /// Bearer key.
    pub api_key: String,
    /// Model name.
    pub model: String,
    /// The client; one for all requests.
    pub http: reqwest::Client,
}

impl Transcriber {
    /// Transcribes 16 kHz mono PCM.
    ///
    /// # Errors
    /// When the endpoint cannot be reached or refuses.
    pub async fn transcribe(&self, samples: &[i16]) -> Result<String> {
        let file = Part::bytes(wav(samples)?)
            .file_name("heard.wav")
            .mime_str("audio/wav")?;
        let form = Form::new()
            .text("model", self.model.clone())
            .text("response_format", "json")
            .part("file", file);
        let url = format!(
            "{}/audio/transcriptions",
            self.base_url.trim_end_matches('/')
        );
        let answer: serde_json::Value = self
            .http
            .post(&url)
            .bearer_auth(&self.api_key)
            .multipart(form)
            .send()
            .await
            .with_context(|| format!("cannot reach {url}"))?
            .error_for_status()?
            .json()
            .await?;
        Ok(answer["text"]
            .as_str()
            .unwrap_or_default()
            .trim()
            .to_owned())
    }
}

fn wav(samples: &[i16]) -> Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::with_capacity(samples.len() * 2 + 44));
    let mut writer = hound::WavWriter::new(&mut bytes, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}
