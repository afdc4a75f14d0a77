//! Nobody gets in without the secret, and whoever has it does.
//!
//! Run with `RUSTC_BOOTSTRAP=1 cargo fuzz run signature -- -max_total_time=300`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use verigate::stripe::signature::{Authentic, sign, verify};

fuzz_target!(|input: (i64, &str, &[u8])| {
    let (at, header, body) = input;
    let secrets = [SecretString::from("whsec_fuzz"), SecretString::from("")];
    assert!(verify(body, header, &secrets, at, u64::MAX).is_err());

    let signed = sign(body, &secrets[0], at);
    let outcome = verify(body, &signed, &secrets, at, 0);
    // A negative timestamp is not only digits.
    let expected = (at >= 0).then_some(Authentic { timestamp: at });
    assert_eq!(outcome.ok(), expected);
});
