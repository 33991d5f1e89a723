//! Rules of the shard: policy, limits, windows, log time, batches, bytes that are no command.

use serde_json::{Value, json};
use weir::words::codec::Format;
use weir::words::outcome::{Decision, Reason};

use crate::script::rules;
use crate::support::Shard;

rules! {
    /// A bad command spoils only itself.
    a_batch_is_decided_record_by_record: "
        receive R-1 A:2       -> received
        [ place O-1 A:1 | place O-2 A:0 | place O-3 A:1 | place O-4 A:1 ] -> confirmed; refused invalid_quantity; confirmed; refused insufficient_stock short A:1/0
        json [{\"place\":{\"order_id\":\"O-5\",\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}},7,{\"cancel\":{\"order_id\":\"O-1\"}}] -> refused insufficient_stock short A:1/0; dead_lettered not_a_command; cancelled cancelled
        stock A               -> on_hand=2 reserved=1 available=1
    "
    bytes_that_are_no_command_are_dead_letters: "
        json hello            -> dead_lettered not_a_command
        json {}               -> dead_lettered not_a_command
        json []               -> dead_lettered empty_payload
        json {\"place\":{\"order_id\":\"O-1\"}} -> dead_lettered not_a_command
        json {\"place\":{\"order_id\":\"O-1\",\"lines\":[],\"colour\":1}} -> dead_lettered not_a_command
        json {\"place\":{\"order_id\":\"O-1\",\"lines\":[{\"sku\":\"A\",\"quantity\":1.5}]}} -> dead_lettered not_a_command
        json {\"tick\":{}}    ->
    "
    /// Of a frame, what stands before the damage is decided; an array of JSON must end as one.
    a_payload_that_cannot_be_cut: "
        json [{\"receive\":{\"receipt_id\":\"R-1\",\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}},{\"tick\" -> dead_lettered malformed_payload
        json [{\"receive\":{\"receipt_id\":\"R-1\",\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}} -> dead_lettered malformed_payload
        stock A               -> unknown
        hex 01 02 0a 02 03 4f 2d 31 02 00 01 02 00 09 -> refused unknown_order; dead_lettered malformed_payload
    "
    ids_are_1_to_64_bytes_without_control_characters: "
        json {\"place\":{\"order_id\":\"\",\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}} -> refused invalid_id
        json {\"place\":{\"order_id\":\"a\\nb\",\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}} -> refused invalid_id
        json {\"place\":{\"order_id\":\"O-1\",\"lines\":[{\"sku\":\"\",\"quantity\":1}]}} -> refused invalid_id
        place 1234567890123456789012345678901234567890123456789012345678901234 A:1 -> refused unknown_sku short A:1/0
        place 12345678901234567890123456789012345678901234567890123456789012345 A:1 -> refused invalid_id
        cancel 12345678901234567890123456789012345678901234567890123456789012345 -> refused invalid_id
        receive 12345678901234567890123456789012345678901234567890123456789012345 A:1 -> refused invalid_id
    "
    quantities_are_whole_and_positive: "
        receive R-1 A:5       -> received
        place O-1 A:0         -> refused invalid_quantity
        place O-1 A:-1        -> refused invalid_quantity
        place O-1 A:2 A:-1    -> refused invalid_quantity
        place O-1 A:9223372036854775807 A:9223372036854775807 -> refused invalid_quantity
        place O-1 A:-9223372036854775808 -> refused invalid_quantity
        place O-1             -> refused no_lines
        place O-1 A:1         -> confirmed
    "
    times_lie_between_1970_and_9998: "
        json {\"review\":{\"order_id\":\"O-1\",\"score\":1,\"occurred_at\":\"1969-01-01T00:00:00Z\"}} -> refused invalid_time
        json {\"review\":{\"order_id\":\"O-1\",\"score\":1,\"occurred_at\":\"9998-12-31T23:59:59Z\"}} -> refused unknown_order
        # A review of O-1 in a frame, stamped one millisecond before 1970, and one behind; and one that ends too soon.
        hex 01 01 0a 02 03 4f 2d 31 02 00 01 01 00 -> refused invalid_time
        hex 01 01 0a 02 03 4f 2d 31 02 00 01 02 00 -> refused unknown_order
        hex 01 01 09 02 03 4f 2d 31 02 00 01 01 -> dead_lettered not_a_command
    "
    limits_come_from_policy: "
        policy lines_max=2 quantity_max=5 -> policy_applied rules=1
        receive R-1 A:5 B:5 C:5 -> refused too_many_lines
        receive R-1 A:3 A:3   -> refused invalid_quantity
        receive R-1 A:5 B:5   -> received
        place O-1 A:1 A:1 A:1 -> refused too_many_lines
        place O-1 A:3 A:3     -> refused invalid_quantity
        place O-1 A:3 A:2     -> confirmed
        cancel O-1 A:1 A:1 A:1 -> refused too_many_lines it is confirmed
        count C-1 A:6         -> refused invalid_quantity
    "
    a_policy_out_of_bounds_changes_nothing: "
        policy lines_max=0    -> refused invalid_value
        policy lines_max=10001 -> refused invalid_value
        policy quantity_max=1000000001 -> refused invalid_value
        policy pay_within_ms=-1 -> refused invalid_value
        policy safety_stock=-1 -> refused invalid_value
        policy open_orders_max=0 -> refused invalid_value
        policy rules=0        -> refused invalid_value
        policy pay_within_ms=5 safety_stock=9 closed_window_ms=-1 -> refused invalid_value
        policy sites=         -> refused invalid_value
        receive R-1 A:1       -> received
        place O-1 A:1         -> confirmed
    "
    a_policy_is_alone_in_its_message: "
        [ policy rules=1 | tick ] -> refused not_alone
        [ tick | policy pay_within_ms=5 | policy rules=9 ] -> refused not_alone; refused not_alone
        json [{\"policy\":{\"rules\":1}}] -> policy_applied rules=1
        json {\"policy\":{\"rules\":1}} -> policy_applied rules=1
    "
    /// A policy for rules that are not known halts before its record, alone; in a batch it is refused like any.
    unknown_rules_halt_the_shard: "
        receive R-1 A:1       -> received
        policy rules=8        -> fault unknown_rules
        json {\"policy\":{\"rules\":7,\"field_of_the_future\":true}} -> fault unknown_rules
        json [{\"policy\":{\"rules\":7}}] -> fault unknown_rules
        [ tick | policy rules=8 ] -> refused not_alone
        place O-1 A:1         -> confirmed
    "
    open_orders_are_capped: "
        policy open_orders_max=2 -> policy_applied rules=1
        receive R-1 A:5       -> received
        place O-1 A:1         -> confirmed
        place O-2 A:9 backorder -> waiting for A short A:9/4
        place O-3 A:1         -> refused busy
        place O-1 A:1         -> confirmed again first=3 now confirmed
        ship O-1              -> shipped shipped
        cancel O-2            -> cancelled cancelled
        place O-3 A:1         -> confirmed
    "
    skus_are_capped: "
        policy skus_max=2     -> policy_applied rules=1
        receive R-1 A:5       -> received
        receive R-2 B:1 C:1   -> refused busy
        count C-1 B:1 C:1     -> refused busy
        receive R-2 B:1 A:1   -> received
        count C-2 C:1         -> refused busy
    "
    /// Closed orders answer retries until they are forgotten; what may have been forgotten is too old.
    orders_are_remembered_for_a_window: "
        policy settled_window_ms=100 closed_window_ms=100 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        +100ms
        deliver O-1           -> delivered delivered
        +101ms
        deliver O-1           -> refused order_closed it is delivered
        place O-1 A:1         -> confirmed again first=3 now delivered
        review O-1 4          -> reviewed delivered
        place O-2 A:1 submitted=0 -> confirmed
        +101ms
        review O-1 4          -> refused unknown_order
        place O-3 A:1 submitted=201 -> refused too_old
        place O-1 A:1 submitted=0 -> refused too_old
        place O-3 A:1 submitted=202 -> confirmed
        place O-4 A:1         -> confirmed
    "
    closed_orders_say_how_they_ended: "
        policy settled_orders_max=0 pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed pay_by=10ms
        cancel O-1            -> cancelled cancelled
        cancel O-1            -> refused already_cancelled it is cancelled
        ship O-1              -> refused already_cancelled it is cancelled
        place O-2 A:1         -> confirmed pay_by=10ms
        +10ms
        tick                  -> expired O-2 expired
        pay O-2               -> refused order_expired it is expired
        place O-3 A:1         -> confirmed pay_by=20ms
        ship O-3              -> shipped shipped
        cancel O-3            -> refused order_closed it is shipped
        place O-1 A:1         -> confirmed again first=3 now cancelled
        place O-1 A:2         -> refused id_conflict it is cancelled
    "
    /// Orders keep their turn, also where one message uses a place twice.
    the_newest_settled_orders_are_kept: "
        policy settled_orders_max=2 -> policy_applied rules=1
        receive R-1 A:9       -> received
        [ place O-1 A:1 | place O-2 A:1 | ship O-1 | ship O-2 | deliver O-1 ] -> confirmed; confirmed; shipped shipped; shipped shipped; delivered delivered
        [ place O-3 A:1 | place O-4 A:1 | ship O-3 | ship O-4 | deliver O-3 | place O-5 A:1 | ship O-5 | place O-6 A:1 | ship O-6 | place O-7 A:1 | ship O-7 | tick ] -> confirmed; confirmed; shipped shipped; shipped shipped; delivered delivered; confirmed; shipped shipped; confirmed; shipped shipped; confirmed; shipped shipped
        deliver O-5           -> refused order_closed it is shipped
        deliver O-6           -> delivered delivered
        deliver O-7           -> delivered delivered
    "
    ids_of_stock_facts_are_remembered_for_a_window: "
        policy facts_window_ms=100 -> policy_applied rules=1
        receive R-1 A:1       -> received
        +100ms
        receive R-1 A:1       -> received again first=2
        +1ms
        receive R-1 A:1       -> received
        stock A               -> on_hand=2 reserved=0 available=2
    "
    /// A new stream leader's clock may be behind.
    log_time_never_goes_back: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:9       -> received
        +100ms
        place O-1 A:1         -> confirmed pay_by=200ms
        -90ms
        place O-2 A:1         -> confirmed pay_by=200ms
        due                   -> 200ms
        +189ms
        tick                  ->
        +1ms
        tick                  -> expired O-1 expired; expired O-2 expired
    "
    two_ticks_do_no_harm: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed pay_by=100ms
        +100ms
        [ tick | tick ]       -> expired O-1 expired
        tick                  ->
    "
    commands_come_by_their_family: "
        by orders
        receive R-1 A:5       -> refused wrong_family
        policy rules=1        -> refused wrong_family
        policy rules=9        -> refused wrong_family
        by stock
        receive R-1 A:5       -> received
        count C-1 A:5         -> counted
        adjust J-1 A:1        -> adjusted A:5->6
        place O-1 A:1         -> refused wrong_family
        by orders
        place O-1 A:2         -> confirmed
        amend O-1 M-1 A:3     -> amended confirmed
        cancel O-1 A:1        -> cancelled A:1 confirmed
        review O-1 5          -> reviewed confirmed
        pay O-1               -> refused wrong_family
        ship O-1              -> refused wrong_family
        tick                  -> refused wrong_family
        by payments
        pay_failed O-1 P-1    -> payment_failed
        pay O-1               -> paid paid
        review O-1 5          -> refused wrong_family
        by fulfilment
        ship O-1              -> shipped A:2 shipped
        deliver O-1           -> delivered A:2 delivered
        return O-1 X-1        -> returned A:2 returned
        transfer X-1 from=main to=west A:1 -> refused wrong_family
        by other
        place O-2 A:1         -> refused wrong_family
        tick                  -> refused wrong_family
        by policy
        policy pay_within_ms=5 -> policy_applied rules=1
        policy rules=9        -> fault unknown_rules
        [ policy rules=1 | place O-2 A:1 ] -> refused not_alone; refused wrong_family
        by any
        place O-2 A:1         -> confirmed pay_by=5ms
        policy rules=9        -> fault unknown_rules
    "
}

/// What is said of a refusal beside its reason is in the outcomes' bytes, and so in the chain: under one version of the rules it never
/// changes.
#[test]
fn a_refusal_says_what_is_wrong() {
    let lines = json!([{"sku": "A", "quantity": 1}]);
    let place = |more: Value| {
        let mut place = json!({"order_id": "O-2", "lines": lines});
        place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"place": place})
    };
    let policy = |change: Value| json!({"policy": change});
    let long = "x".repeat(65);
    let names = |count: usize| (0..count).map(|number| format!("s{number}")).collect::<Vec<_>>();
    let attributes: serde_json::Map<String, Value> =
        names(17).into_iter().map(|name| (name, "x".into())).collect();
    let listed = "sites must be 1 to 64 bytes each, without control characters";
    let bounded = "attributes are at most 64 bytes each, without control characters";
    let cases = [
        (
            place(json!({"submitted_at": "2099-01-01T00:00:00Z"})),
            "submitted_at is more than five minutes ahead",
        ),
        (place(json!({"carrier": long})), "carrier must be 1 to 64 bytes without control characters"),
        (place(json!({"customer": ""})), "customer must be 1 to 64 bytes without control characters"),
        (place(json!({"site": "a\u{7}"})), "site must be 1 to 64 bytes without control characters"),
        (place(json!({"site": "main", "sites": ["main"]})), "site and sites exclude each other"),
        (place(json!({"sites": []})), "sites must be 1 to 8"),
        (place(json!({"sites": names(9)})), "sites must be 1 to 8"),
        (place(json!({"sites": [long]})), listed),
        (place(json!({"sites": ["main", "main"]})), "a site is listed twice"),
        (place(json!({"attributes": attributes})), "more than 16 attributes"),
        (place(json!({"attributes": {"colour": long}})), bounded),
        (place(json!({"attributes": {"": "red"}})), bounded),
        (place(json!({"value": {"minor": 1, "currency": "eur"}})), "a currency is three capital letters"),
        (place(json!({"value": {"minor": -1, "currency": "EUR"}})), "minor must be 0 to 2^53 - 1"),
        (
            place(json!({"lines": [{"sku": "A", "quantity": 1, "unit_price": -1}]})),
            "unit_price must be 0 to 2^53 - 1",
        ),
        (place(json!({"pay_within_ms": 0})), "pay_within_ms must be at least 1"),
        (place(json!({"pay_within_ms": 1_i64 << 50})), "pay_within_ms is beyond the policy's hold_ms_max"),
        (
            place(json!({"on_shortage": "backorder", "wait_until": "2099-01-01T00:00:00Z"})),
            "wait_until is beyond the policy's wait_ms_max",
        ),
        (
            json!({"pay": {"order_id": "O-1", "amount": {"minor": 0, "currency": "EUR"}}}),
            "minor must be 1 to 2^53 - 1",
        ),
        (
            json!({"pay": {"order_id": "O-1", "amount": {"minor": 1, "currency": "USD"}}}),
            "the order's value is in another currency",
        ),
        (json!({"review": {"order_id": "O-1", "score": 6}}), "score must be 1 to 5"),
        (
            json!({"extend": {"order_id": "O-1", "extension_id": "E-1", "pay_within_ms": 0}}),
            "pay_within_ms must be 1 or more",
        ),
        (
            json!({"transfer": {"transfer_id": "X-1", "from": "main", "to": "main", "lines": lines}}),
            "from and to are one site",
        ),
        (policy(json!({"sites": []})), "a shard has 1 to 1000 sites"),
        (policy(json!({"rules": 0})), "rules versions begin at 1"),
        (policy(json!({"quantity_max": 0})), "quantity_max must be 1 to 1000000000"),
        (policy(json!({"sites": ["west"]})), "main"),
        (policy(json!({"allowance_of": [{"sku": "B", "quantity": 1}]})), "B"),
        (policy(json!({"allowance_of": [{"sku": long, "quantity": 1}]})), "not an id"),
    ];
    let mut shard = Shard::new();
    let send = |shard: &mut Shard, command: &Value| {
        shard.feed(Some(Format::Json), command.to_string()).unwrap();
        let outcomes = shard.outcomes();
        let [outcome] = outcomes.as_slice() else { panic!("{command}: {outcomes:?}") };
        match &outcome.decision {
            Decision::Refused { reason, detail, .. } => Some((*reason, detail.as_deref().map(str::to_owned))),
            _ => None,
        }
    };
    let receive = json!({"receive": {"receipt_id": "R-1", "lines": [{"sku": "A", "quantity": 9}]}});
    let order =
        json!({"place": {"order_id": "O-1", "lines": lines, "value": {"minor": 5, "currency": "EUR"}}});
    assert_eq!([send(&mut shard, &receive), send(&mut shard, &order)], [None, None]);
    for (command, said) in cases {
        let refused = send(&mut shard, &command);
        assert_eq!(refused.and_then(|(_, detail)| detail).as_deref(), Some(said), "{command}");
    }
    // Where the reason says all, there is no more.
    assert_eq!(send(&mut shard, &json!({"cancel": {"order_id": "?"}})), Some((Reason::UnknownOrder, None)));
}
