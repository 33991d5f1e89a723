//! Rules of money: part payments, values, and payments that come late.

use crate::script::rules;

rules! {
    an_order_is_paid_once_its_payments_reach_its_value: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1 value=EUR100 -> confirmed pay_by=100ms
        pay O-1 attempt=P-1 amount=EUR30 -> part_paid due=EUR70 confirmed
        due                   -> 100ms
        pay O-1 attempt=P-2 amount=EUR30 -> part_paid due=EUR40 confirmed
        pay O-1 attempt=P-1 amount=EUR30 -> part_paid due=EUR40 confirmed again first=4
        pay O-1 attempt=P-1 amount=EUR31 -> refused id_conflict it is confirmed
        pay O-1 attempt=P-1   -> refused id_conflict it is confirmed
        pay O-1 amount=GBP40  -> refused invalid_value it is confirmed
        pay O-1 amount=eur40  -> refused invalid_value
        pay O-1 amount=EUR0   -> refused invalid_value
        pay O-1 amount=EUR-5  -> refused invalid_value
        pay O-1 attempt=P-3 amount=EUR40 -> paid paid
        due                   -> never
        pay O-1 attempt=P-3 amount=EUR40 -> paid paid again first=13
        pay O-1 attempt=P-2 amount=EUR30 -> part_paid paid again first=5
        pay O-1 attempt=P-4 amount=EUR40 -> refused already_paid it is paid
        pay_failed O-1 P-3    -> payment_failed
    "
    a_hold_is_extended_from_the_record_on: r#"
        policy pay_within_ms=100 hold_ms_max=1000 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed pay_by=100ms
        place O-2 A:1         -> confirmed pay_by=100ms
        +90ms
        extend O-1 E-1 100    -> extended confirmed
        due                   -> 100ms
        extend O-1 E-1 100    -> extended confirmed again first=5
        extend O-1 E-1 200    -> refused id_conflict it is confirmed
        extend O-1 E-2 0      -> refused invalid_value
        {"extend":{"order_id":"O-1","extension_id":"E-1","pay_within_ms":100}} -> extended confirmed again first=5
        [ {"extend":{"order_id":"O-1","extension_id":"E-2","pay_within_ms":0}} | tick ] -> refused invalid_value
        extend O-1 E-2 1001   -> refused invalid_value it is confirmed
        +10ms
        tick                  -> expired O-2 expired
        due                   -> 190ms
        extend O-2 E-1 100    -> refused order_expired it is expired
        extend O-9 E-1 100    -> refused unknown_order
        pay O-1               -> paid paid
        extend O-1 E-2 100    -> refused already_paid it is paid
        extend O-1 E-1 100    -> extended paid again first=5
        place O-3 A:9 backorder -> waiting for A short A:9/8
        extend O-3 E-1 100    -> refused nothing_remains it is waiting
        cancel O-3            -> cancelled cancelled
        extend O-3 E-1 100    -> refused already_cancelled it is cancelled
    "#
    a_hold_is_a_millisecond_at_least_and_what_policy_allows_at_most: "
        policy hold_ms_max=1000 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1 pay_within=0 -> refused invalid_value
        place O-1 A:1 pay_within=1 -> confirmed pay_by=1ms
        place O-2 A:1 pay_within=1000 -> confirmed pay_by=1000ms
        place O-3 A:1 pay_within=1001 -> refused invalid_value
        extend O-1 E-1 0      -> refused invalid_value
        extend O-1 E-1 1      -> extended confirmed
        extend O-2 E-1 1000   -> extended confirmed
        extend O-2 E-2 1001   -> refused invalid_value it is confirmed
    "
    a_payment_without_amount_settles: "
        receive R-1 A:9       -> received
        place O-1 A:1 value=EUR100 -> confirmed
        pay O-1 amount=EUR30  -> part_paid due=EUR70 confirmed
        pay O-1               -> paid paid
        place O-2 A:1         -> confirmed
        pay O-2 amount=EUR1   -> paid paid
        place O-3 A:1 value=EUR0 -> confirmed
        pay O-3 amount=EUR1   -> paid paid
        place O-4 A:1 value=EUR100 -> confirmed
        pay O-4 amount=EUR100000 -> paid paid
    "
    the_value_of_what_is_gone_in_part_is_not_known: "
        receive R-1 A:9 B:1   -> received
        place O-1 A:2 value=EUR100 -> confirmed
        cancel O-1 A:1        -> cancelled A:1 confirmed
        pay O-1 amount=GBP1   -> paid paid
        place O-2 A:1 B:9 value=EUR100 partial -> confirmed short B:9/1
        pay O-2 amount=GBP1   -> paid paid
        place O-3 A:1 value=EUR100 -> confirmed
        amend O-3 M-1 A:2     -> amended confirmed
        pay O-3 amount=GBP1   -> paid paid
    "
    a_cancel_or_an_amendment_may_say_a_new_value: "
        receive R-1 A:9       -> received
        place O-1 A:3 value=EUR90 -> confirmed
        pay O-1 amount=EUR20  -> part_paid due=EUR70 confirmed
        cancel O-1 A:1 value=EUR60 -> cancelled A:1 confirmed
        pay O-1 amount=EUR20  -> part_paid due=EUR20 confirmed
        amend O-1 M-1 A:3 value=EUR90 -> amended confirmed
        pay O-1 amount=EUR10  -> part_paid due=EUR40 confirmed
        cancel O-1 A:1 value=EUR50 -> cancelled A:1 paid
        pay O-1 amount=EUR10  -> refused already_paid it is paid
        place O-2 A:2 value=EUR50 -> confirmed
        amend O-2 M-1 A:1 value=EUR0 -> amended confirmed
        pay O-2 amount=EUR5   -> paid paid
        place O-3 A:2 value=EUR50 -> confirmed
        pay O-3 amount=EUR30  -> part_paid due=EUR20 confirmed
        amend O-3 M-1 A:1 value=EUR25 -> amended paid
    "
    a_payment_that_settles_reserves_again_what_has_expired: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:2 B:2   -> received
        place O-1 A:2 B:1 value=EUR50 -> confirmed pay_by=10ms
        +10ms
        pay O-1 attempt=P-1 amount=EUR20 -> expired O-1 expired; refused order_expired it is expired
        place O-2 B:2         -> confirmed pay_by=20ms
        pay O-1 attempt=P-2 amount=EUR50 -> refused order_expired it is expired
        cancel O-2 B:1        -> cancelled B:1 confirmed
        pay O-1 attempt=P-2 amount=EUR50 -> paid paid reserved_again
        stock A               -> on_hand=2 reserved=2 available=0
        ship O-1              -> shipped shipped
        +10ms
        tick                  -> expired O-2 B:1 expired
    "
    what_a_customer_cancelled_stays_cancelled: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:5       -> received
        place O-1 A:2         -> confirmed pay_by=10ms
        cancel O-1            -> cancelled cancelled
        pay O-1 attempt=P-1   -> refused already_cancelled it is cancelled
        place O-2 A:3         -> confirmed pay_by=10ms
        cancel O-2 A:1        -> cancelled A:1 confirmed
        +10ms
        pay O-2               -> expired O-2 A:2 expired; paid paid reserved_again
        stock A               -> on_hand=5 reserved=2 available=3
    "
    what_is_reserved_again_needs_no_other_stock: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:1 B:2   -> received
        place O-1 A:1 B:1     -> confirmed pay_by=10ms
        cancel O-1 B:1        -> cancelled B:1 confirmed
        place O-2 B:2         -> confirmed pay_by=10ms
        pay O-2               -> paid paid
        count C-1 B:0         -> counted B:2->0; shortfall O-2 B:2
        +10ms
        pay O-1               -> expired O-1 A:1 expired; paid paid reserved_again
    "
    what_cannot_be_reserved_again_of_an_order_that_has_left_in_part: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:2       -> received
        place O-1 A:2         -> confirmed pay_by=10ms
        ship O-1 A:1          -> shipped A:1 confirmed
        +10ms
        place O-2 A:1         -> expired O-1 A:1 shipped; confirmed pay_by=20ms
        pay O-1               -> paid shipped was_cancelled
    "
    a_waiting_order_pays_in_parts: "
        receive R-1 A:1       -> received
        place O-1 A:2 value=EUR50 backorder until=100 -> waiting for A until=100ms short A:2/1
        pay O-1 amount=EUR20  -> part_paid due=EUR30 waiting
        receive R-2 A:1       -> received; confirmed O-1 released
        pay O-1 amount=EUR30  -> paid paid
    "
}
