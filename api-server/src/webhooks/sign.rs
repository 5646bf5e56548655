//! Signatures as Standard Webhooks 1.0.0 has them (<https://www.standardwebhooks.com>), which its libraries check.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;
/// People lose the `=` at the end.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A new secret, as its owner gets to see it.
///
/// # Errors
/// If the system has no randomness.
pub(crate) fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// The value of `webhook-signature`: one signature by each secret that counts.
pub(crate) fn signatures(secrets: &[&str], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = secrets.iter().filter_map(|secret| signature(secret, id, timestamp, body));
    signed.collect::<Vec<_>>().join(" ")
}

fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = ANY_PADDING.decode(secret.trim().strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification.
    #[test]
    fn signatures_are_those_that_receivers_work_out() {
        let (secret, id) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek");
        let signed = signatures(&[secret], id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[secret, &new_secret().unwrap(), "no secret"], id, 1_614_265_330, b"{}");
        assert_eq!(both.split(' ').count(), 2, "{both}");
    }
}
