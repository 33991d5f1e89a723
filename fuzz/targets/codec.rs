//! Bytes to commands and outcomes: whatever can be read can be written, and is read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::words::codec::{self, Format};
use weir::words::policy::RULES_NEWEST;

fuzz_target!(|data: &[u8]| {
    for format in [Some(Format::Json), Some(Format::Bincode), None] {
        let decoded: Vec<_> = codec::commands(format, data, RULES_NEWEST).collect();
        assert!(!decoded.is_empty(), "a payload without a record");
        if format == Some(Format::Json) {
            assert_eq!(codec::commands(format, data, RULES_NEWEST).is_single(), decoded.len() == 1);
        }
        for command in decoded.into_iter().flatten() {
            let frame = codec::encode_commands(Format::Bincode, std::slice::from_ref(&command));
            let again: Vec<_> = codec::commands(Some(Format::Bincode), &frame, RULES_NEWEST).collect();
            assert_eq!(again, [Ok(command)]);
        }
    }
    for format in [Format::Json, Format::Bincode] {
        for outcome in codec::outcomes(format, data).unwrap_or_default() {
            let mut bytes = Vec::new();
            let start = codec::encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
            assert_eq!(codec::decode_outcome(&bytes[start..]).expect("it was written"), outcome);
            let mut json = Vec::new();
            codec::write_json_outcome(&mut json, &outcome);
        }
    }
});
