//! Whatever bytes come, nothing panics, and nothing is believed that was not signed as it is.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_make_a_token(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..10_000, change in 1u8..128) {
        let side = eddsa();
        let verifier = verifier(&side).with_api_keys(&[]);
        let text = String::from_utf8_lossy(&bytes);
        let encoded = URL_SAFE_NO_PAD.encode(&bytes);
        let texts = [text.to_string(), format!("pgk_{text}"), format!("{encoded}.{encoded}.{encoded}")];
        for text in &texts {
            prop_assert!(verifier.verify(text, now()).is_err());
        }
        // A good one with one character changed is none.
        let good = token(r#"{"alg":"EdDSA"}"#, &claims().to_string(), &side.sign);
        prop_assert!(verifier.verify(&good, now()).is_ok());
        let mut changed = good.into_bytes();
        let at = at % changed.len();
        changed[at] ^= change;
        prop_assert!(verifier.verify(&String::from_utf8_lossy(&changed), now()).is_err());
    }

    #[test]
    fn no_token_panics(text in "[ -~]{0,80}", header in "[ -~]{0,40}", body in "[ -~]{0,60}") {
        let side = hs256();
        let verifier = verifier(&side);
        let odd = with("exp", json!(body));
        for token in [text, token(&header, &body, &side.sign), token(r#"{"alg":"HS256"}"#, &odd, &side.sign)] {
            prop_assert!(verifier.verify(&token, now()).is_err());
        }
    }
}
