//! A stored head, read back from a disk that lies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::stored::Head;

fuzz_target!(|bytes: &[u8]| {
    let Ok(head) = Head::parse(bytes) else { return };
    let _ = head.system();
    let _ = (head.message_id(), head.tag(), head.keys().count());
    for pair in head.user_properties() {
        assert!(head.user_property(pair.key).is_some());
    }
});
