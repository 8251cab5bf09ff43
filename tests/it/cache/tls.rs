//! Redis over TLS, as the program itself reaches it: certificates are the process's matter.

use crate::common::redis::Redis;
use crate::program::run;

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls_is_reached_when_its_certificate_is_trusted() {
    let redis = Redis::start_with_tls().await;
    let (url, certificate) = (redis.tls_url(), redis.certificate());
    let trusting = [
        ("REDIS_URL", url.as_str()),
        ("SSL_CERT_FILE", certificate.to_str().unwrap()),
    ];
    let (_, out, err) = run(&["check", "--dev"], &trusting).await;
    assert!(out.contains("ok      redis"), "{out}{err}");
    let (_, out, err) = run(&["check", "--dev"], &trusting[..1]).await;
    assert!(out.contains("FAILED  redis"), "{out}{err}");
}
