use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::{RaceId, Role, SessionId, UserId};
use serde_json::{Value, json};

use super::*;

const NOW_MS: i64 = 1_800_000_000_000;

fn key() -> TokenKey {
    TokenKey::from_seed([7; 32])
}

fn claims() -> Claims {
    Claims {
        sub: UserId(uuid::Uuid::from_u128(1)),
        name: "runner".to_owned(),
        role: Role::Member,
        sid: SessionId(uuid::Uuid::from_u128(2)),
        iat_ms: NOW_MS,
        exp: NOW_MS / 1_000 + 900,
        reh: None,
    }
}

/// A token with this header and these claims, signed by `key` whatever the header says.
fn forge(key: &TokenKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.signing.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn good_header() -> Value {
    json!({ "alg": "EdDSA", "kid": key().kid(), "typ": "at+jwt" })
}

#[test]
fn a_token_comes_back_as_its_caller() {
    let race = RaceId(uuid::Uuid::from_u128(3));
    let verifier = TokenVerifier::new(key().public());
    let token = key().sign(&Claims { reh: Some(race), role: Role::Company, ..claims() });
    for _ in 0..2 {
        let verified = verifier.verify(&token, NOW_MS).expect("verify our own token");
        assert_eq!(verified.caller.user, claims().sub);
        assert_eq!(&*verified.caller.username, "runner");
        assert_eq!(verified.caller.role, Role::Company);
        assert_eq!(verified.caller.session, claims().sid);
        assert_eq!(verified.caller.rehearsal, Some(race));
        assert_eq!((verified.iat_ms, verified.exp), (claims().iat_ms, claims().exp));
    }
}

#[test]
fn the_published_key_is_enough_to_check_a_token() {
    let jwks = key().jwks(&[json!({ "kid": "ticket" })]);
    assert_eq!(jwks["keys"][0]["kid"], key().kid());
    assert_eq!(jwks["keys"][0]["use"], "sig");
    assert_eq!(jwks["keys"][1]["kid"], "ticket");
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwks["keys"][0].clone()).expect("read as a JWK");
    let decoding = DecodingKey::from_jwk(&jwk).expect("make a key of the JWK");
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    let data = jsonwebtoken::decode::<Claims>(key().sign(&claims()), &decoding, &validation).expect("decode");
    assert_eq!(data.claims, claims());
}

#[test]
fn an_expired_token_is_expired_also_when_it_is_remembered() {
    let verifier = TokenVerifier::new(key().public());
    let token = key().sign(&claims());
    let end_ms = claims().exp * 1_000;
    assert!(verifier.verify(&token, end_ms - 1).is_ok());
    verifier.tidy();
    assert_eq!(verifier.cached(), 1);
    assert_eq!(verifier.verify(&token, end_ms).err(), Some(TokenError::Expired));
    verifier.tidy();
    assert_eq!(verifier.cached(), 0, "an entry outlived its token");
    assert_eq!(TokenVerifier::new(key().public()).verify(&token, end_ms).err(), Some(TokenError::Expired));
    let overflowing = key().sign(&Claims { exp: i64::MIN, ..claims() });
    assert_eq!(verifier.verify(&overflowing, end_ms).err(), Some(TokenError::Expired));
}

#[test]
fn another_header_is_invalid_whoever_signed_it() {
    let verifier = TokenVerifier::new(key().public());
    let body = serde_json::to_value(claims()).expect("claims as JSON");
    assert!(verifier.verify(&forge(&key(), &good_header(), &body), NOW_MS).is_ok(), "the forger itself works");
    let changes = [
        json!({ "alg": "none" }),
        json!({ "alg": "None" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": null }),
        json!({ "kid": "00000000" }),
        json!({ "kid": null }),
        json!({ "typ": "JWT" }),
        json!({ "typ": null }),
        json!({ "crit": ["exp"] }),
    ];
    for change in changes {
        let mut header = good_header();
        for (name, value) in change.as_object().expect("an object") {
            header[name] = value.clone();
        }
        let token = forge(&key(), &header, &body);
        assert_eq!(verifier.verify(&token, NOW_MS).err(), Some(TokenError::Invalid), "{header}");
    }
}

#[test]
fn a_token_signed_with_the_public_key_as_hmac_secret_is_invalid() {
    use hmac::Mac;
    let header = json!({ "alg": "HS256", "kid": key().kid(), "typ": "at+jwt" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&serde_json::to_value(claims()).expect("claims as JSON")));
    let mut mac = hmac::Hmac::<Sha256>::new_from_slice(&key().public()).expect("a secret of any length");
    mac.update(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let refused = TokenVerifier::new(key().public()).verify(&token, NOW_MS);
    assert_eq!(refused.err(), Some(TokenError::Invalid));
}

#[test]
fn damaged_foreign_and_oversized_tokens_are_invalid() {
    let verifier = TokenVerifier::new(key().public());
    let token = key().sign(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let mut admin = claims();
    admin.role = Role::Admin;
    let promoted = key().sign(&admin);
    let swapped = format!("{}.{}.{}", parts[0], promoted.split('.').nth(1).expect("a payload"), parts[2]);
    let bad = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{token}.{}", parts[2]),
        format!("{token}="),
        format!(" {token}"),
        token.to_uppercase(),
        swapped,
        TokenKey::from_seed([8; 32]).sign(&claims()),
        key().sign(&Claims { name: "n".repeat(TOKEN_BYTES_MAX), ..claims() }),
        "한글.한글.한글".to_owned(),
    ];
    // A good one in the cache must not let a bad one through.
    assert!(verifier.verify(&token, NOW_MS).is_ok());
    for text in bad {
        assert_eq!(verifier.verify(&text, NOW_MS).err(), Some(TokenError::Invalid), "{text}");
    }
}

#[test]
fn claims_that_are_missing_or_of_another_type_are_invalid() {
    let verifier = TokenVerifier::new(key().public());
    let body = serde_json::to_value(claims()).expect("claims as JSON");
    for name in ["sub", "name", "role", "sid", "iat_ms", "exp"] {
        let mut without = body.clone();
        without.as_object_mut().expect("an object").remove(name);
        let refused = verifier.verify(&forge(&key(), &good_header(), &without), NOW_MS);
        assert_eq!(refused.err(), Some(TokenError::Invalid), "without {name}");
        let mut odd = body.clone();
        odd[name] = json!({});
        let refused = verifier.verify(&forge(&key(), &good_header(), &odd), NOW_MS);
        assert_eq!(refused.err(), Some(TokenError::Invalid), "with an odd {name}");
    }
}
