//! Rules of waiting: claims and turns, how it ends, and what policy bounds.

use crate::script::rules;

rules! {
    an_order_that_wants_more_than_may_be_claimed_claims_nothing: "
        policy claim_units_max=5 -> policy_applied rules=1
        receive R-1 A:4       -> received
        place O-1 A:6 backorder -> waiting for A short A:6/4
        place O-2 A:3         -> confirmed
        place O-3 A:5 backorder -> waiting for A short A:5/1
        place O-4 A:1         -> refused insufficient_stock short A:1/0
        receive R-2 A:4       -> received; confirmed O-3 released
        receive R-3 A:6       -> received; confirmed O-1 released
    "
    a_huge_order_shuts_no_shelf: "
        receive R-1 A:4       -> received
        place O-1 A:1000000 backorder -> waiting for A short A:1000000/4
        place O-2 A:4         -> confirmed
        place O-3 A:100 backorder -> waiting for A short A:100/0
        place O-4 A:101 backorder -> waiting for A short A:101/0
        receive R-2 A:99      -> received
        place O-5 A:1         -> refused insufficient_stock short A:1/0
        receive R-3 A:1       -> received; confirmed O-3 released
    "
    a_claim_is_fixed_when_an_order_is_parked: "
        count C-1 A:0         -> counted
        place O-1 A:9 backorder -> waiting for A short A:9/0
        policy claim_units_max=5 -> policy_applied rules=1
        receive R-1 A:5       -> received
        place O-2 A:1         -> refused insufficient_stock short A:1/0
        cancel O-1 A:1        -> cancelled A:1 waiting
        # Parked anew, it wants 8, and may claim 5.
        place O-3 A:1         -> confirmed
    "
    claims_are_where_an_order_is_parked_only: "
        receive R-1 A:1 B:5   -> received
        place O-1 A:2 B:5 backorder -> waiting for A short A:2/1
        place O-2 B:5         -> confirmed
        receive R-2 A:1       -> received
        place O-1 A:2 B:5 backorder -> waiting for B again first=2 now waiting
        place O-3 A:2         -> confirmed
        receive R-3 B:5       -> received
        place O-1 A:2 B:5 backorder -> waiting for A again first=2 now waiting
    "
    release_goes_by_the_order_of_placing_over_all_skus: "
        count C-1 A:0 B:0     -> counted
        place O-1 B:1 backorder -> waiting for B short B:1/0
        place O-2 A:1 backorder -> waiting for A short A:1/0
        place O-3 A:1 B:1 backorder -> waiting for A short A:1/0 B:1/0
        place O-4 B:1 backorder -> waiting for B short B:1/0
        place O-5 A:1 backorder -> waiting for A short A:1/0
        # O-4 stands behind nobody who claims of B: O-3 claims at A.
        receive R-1 A:9 B:2   -> received; confirmed O-1 released; confirmed O-2 released; confirmed O-3 released; confirmed O-5 released
        receive R-2 B:1       -> received; confirmed O-4 released
    "
    who_stands_behind_may_have_what_nobody_before_it_claims: "
        count C-1 A:0 B:0     -> counted
        place O-1 A:3 B:1 backorder -> waiting for A short A:3/0 B:1/0
        place O-2 B:1 backorder -> waiting for B short B:1/0
        receive R-1 B:1       -> received; confirmed O-2 released
    "
    nobody_is_refused_while_a_release_is_worked_off: "
        receive R-1 A:1       -> received
        place O-1 A:3 backorder -> waiting for A short A:3/1
        [ receive R-2 A:3 | place O-2 A:1 | place O-3 A:1 ] -> received; confirmed O-1 released; confirmed; refused insufficient_stock short A:1/0
    "
    waiting_ends_by_its_own_time: "
        policy pay_within_ms=1000 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2 backorder until=50 -> waiting for A until=50ms short A:2/1
        place O-1 A:2 backorder until=70 -> waiting for A until=50ms again first=3 now waiting
        due                   -> 50ms
        +50ms
        place O-2 A:1         -> expired O-1 expired; confirmed pay_by=1050ms
        place O-1 A:2 backorder until=50 -> waiting again first=3 now expired
        cancel O-1            -> refused order_expired it is expired
    "
    waiting_ends_by_policy: "
        policy wait_within_ms=50 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A until=50ms short A:2/1
        place O-2 A:2 backorder until=80 -> waiting for A until=80ms short A:2/0
        policy wait_within_ms=0 -> policy_applied rules=1
        place O-3 A:2 backorder -> waiting for A short A:2/0
        +50ms
        tick                  -> expired O-1 expired
        +30ms
        tick                  -> expired O-2 expired
        due                   -> never
        receive R-2 A:1       -> received; confirmed O-3 released
    "
    who_is_released_waits_no_longer: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2 backorder until=50 pay_within=30 -> waiting for A until=50ms short A:2/1
        receive R-2 A:1       -> received; confirmed O-1 released pay_by=30ms
        due                   -> 30ms
        +30ms
        tick                  -> expired O-1 expired
    "
    a_wait_that_is_over_when_it_begins_is_refused: "
        receive R-1 A:1       -> received
        place O-1 A:2 backorder until=0 -> refused insufficient_stock short A:2/1
        place O-2 A:1 backorder until=0 -> confirmed
        place O-3 A:2 backorder until=1 -> waiting for A until=1ms short A:2/0
    "
    a_waiting_order_that_expires_frees_its_claim: "
        receive R-1 A:1       -> received
        place O-1 A:2 backorder until=50 -> waiting for A until=50ms short A:2/1
        place O-2 A:1 backorder -> waiting for A short A:1/0
        +50ms
        tick                  -> expired O-1 expired; confirmed O-2 released
    "
    an_order_that_waits_for_a_part_expires_in_part: "
        receive R-1 A:1 B:2   -> received
        place O-1 A:2 B:1 backorder until=50 -> waiting for A until=50ms short A:2/1
        ship O-1 B:1          -> shipped B:1 waiting was_waiting
        +50ms
        tick                  -> expired O-1 A:2 shipped
        pay O-1               -> paid shipped was_cancelled
    "
    too_many_who_wait: "
        policy waiting_orders_max=1 -> policy_applied rules=1
        receive R-1 A:1 B:1   -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        place O-2 B:2 backorder -> refused waiting_full
        place O-2 B:2         -> refused insufficient_stock short B:2/1
        place O-3 B:1 backorder -> confirmed
        cancel O-1            -> cancelled cancelled
        place O-4 B:2 backorder -> waiting for B short B:2/0
    "
    too_many_units_that_are_waited_for: "
        policy waiting_units_max=5 sites=main,west -> policy_applied rules=1
        receive R-1 A:1 B:1   -> received
        receive R-2 A:1 site=west -> received
        place O-1 A:3 B:1 backorder -> waiting for A short A:3/1
        place O-2 A:3 backorder -> refused waiting_full
        place O-2 A:2 backorder -> waiting for A short A:2/0
        place O-3 A:5 site=west backorder -> waiting for A short A:5/1
        place O-4 B:5 backorder -> refused waiting_full
        amend O-2 M-1 A:3     -> refused waiting_full it is waiting
        cancel O-1 A:1        -> cancelled A:1 waiting
        amend O-2 M-1 A:3     -> amended waiting
    "
    the_maxima_of_policy_bound_what_a_checkout_asks_for: "
        policy hold_ms_max=100 wait_ms_max=200 pay_within_ms=50 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1 pay_within=100 -> confirmed pay_by=100ms
        place O-2 A:1 pay_within=101 -> refused invalid_value
        place O-2 A:1 pay_within=0 -> refused invalid_value
        place O-2 A:1 pay_within=-1 -> refused invalid_value
        place O-2 A:99 backorder until=200 -> waiting for A until=200ms short A:99/8
        place O-3 A:99 backorder until=201 -> refused invalid_value
        place O-3 A:1 until=201 -> refused invalid_value
        place O-3 A:1         -> refused insufficient_stock short A:1/0
        policy hold_ms_max=0  -> refused invalid_value
    "
    a_hold_that_has_ended_is_free_for_the_record_that_ends_it: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:5       -> received
        place O-1 A:5         -> confirmed pay_by=10ms
        +10ms
        place O-2 A:5         -> expired O-1 expired; confirmed pay_by=20ms
    "
    open_lines_are_capped: "
        policy open_lines_max=3 -> policy_applied rules=1
        receive R-1 A:9 B:9   -> received
        place O-1 A:1 B:1     -> confirmed
        place O-2 A:1 B:1     -> refused busy
        place O-2 A:1 A:2     -> confirmed
        place O-3 A:1         -> refused busy
        amend O-2 M-1 A:1 B:1 -> refused busy it is confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        place O-3 A:1         -> refused busy
        ship O-1              -> shipped B:1 shipped
        place O-3 A:1 B:1     -> confirmed
        policy open_lines_max=9 -> policy_applied rules=1
        amend O-2 M-1 A:1 B:1 -> amended confirmed
    "
}
