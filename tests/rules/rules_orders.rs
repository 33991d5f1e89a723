//! Rules of orders: placing, waiting, cancelling, paying, holds.

use crate::script::rules;

rules! {
    /// An order is confirmed when all its lines can be had, and holds them.
    an_order_that_can_be_met_is_confirmed: "
        receive R-1 A:5 B:1   -> received
        place O-1 A:2 B:1     -> confirmed
        stock A               -> on_hand=5 reserved=2 available=3
        order O-1             -> confirmed
    "
    /// All lines or none.
    a_short_line_refuses_the_whole_order: "
        receive R-1 A:5 B:1   -> received
        place O-1 A:2 B:2     -> refused insufficient_stock short B:2/1
        stock A               -> on_hand=5 reserved=0 available=5
        order O-1             -> refused
        cancel O-1            -> refused order_refused it is refused
        pay O-1               -> refused order_refused it is refused
        ship O-1              -> refused order_refused it is refused
    "
    /// Two lines of one SKU are checked as one: stock cannot become negative.
    lines_that_share_a_sku_are_summed: "
        receive R-1 A:3       -> received
        place O-1 A:2 A:2     -> refused insufficient_stock short A:4/3
        place O-2 A:2 A:1     -> confirmed
        stock A               -> on_hand=3 reserved=3 available=0
    "
    /// Lines beyond what a look through the ones before is good for are summed all the same.
    many_lines_that_share_a_sku_are_summed: "
        receive R-1 A:9 B:30  -> received
        place O-1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 -> refused insufficient_stock short A:10/9
        place O-2 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 A:1 B:1 B:1 B:1 -> confirmed
        stock A               -> on_hand=9 reserved=9 available=0
        stock B               -> on_hand=30 reserved=11 available=19
    "
    /// A partial order takes what there is, line by line.
    a_partial_order_takes_what_there_is: "
        receive R-1 A:5 B:1   -> received
        place O-1 A:2 B:3 Z:1 partial -> confirmed short B:3/1 Z:1/0
        stock B               -> on_hand=1 reserved=1 available=0
        ship O-1              -> shipped shipped
        stock A               -> on_hand=3 reserved=0 available=3
        stock B               -> on_hand=0 reserved=0 available=0
    "
    a_partial_order_with_nothing_is_refused: "
        receive R-1 A:1       -> received
        place O-1 A:1         -> confirmed
        place O-2 A:1 partial -> refused insufficient_stock short A:1/0
        place O-3 A:1 Z:1 partial -> refused unknown_sku short A:1/0 Z:1/0
    "
    a_sku_that_was_never_there_is_unknown: "
        receive R-1 A:1       -> received
        place O-1 A:1 Z:1     -> refused unknown_sku short Z:1/0
        place O-2 Z:1 backorder -> refused unknown_sku short Z:1/0
        place O-3 A:9 Z:1     -> refused unknown_sku short A:9/1 Z:1/0
    "
    /// A waiting order holds nothing, and is confirmed when all its lines can be had at once.
    a_backorder_waits_for_all_its_lines: "
        receive R-1 A:1 B:1   -> received
        place O-1 A:2 B:2 backorder -> waiting for A short A:2/1 B:2/1
        stock A               -> on_hand=1 reserved=0 available=1
        receive R-2 A:1       -> received
        order O-1             -> waiting
        receive R-3 B:1       -> received; confirmed O-1 released
        stock A               -> on_hand=2 reserved=2 available=0
        stock B               -> on_hand=2 reserved=2 available=0
    "
    a_backorder_that_can_be_met_is_confirmed_at_once: "
        receive R-1 A:1       -> received
        place O-1 A:1 backorder -> confirmed
    "
    waiting_orders_are_released_in_the_order_of_placing: "
        count C-1 A:0         -> counted
        place O-1 A:2 backorder -> waiting for A short A:2/0
        place O-2 A:1 backorder -> waiting for A short A:1/0
        place O-3 A:1 backorder -> waiting for A short A:1/0
        receive R-1 A:1       -> received
        receive R-2 A:2       -> received; confirmed O-1 released; confirmed O-2 released
        receive R-3 A:1       -> received; confirmed O-3 released
    "
    /// A large order at the head is not starved by smaller ones behind it.
    the_first_waiting_order_has_the_claim: "
        count C-1 A:0         -> counted
        place O-1 A:5 backorder -> waiting for A short A:5/0
        place O-2 A:1 backorder -> waiting for A short A:1/0
        receive R-1 A:4       -> received
        place O-3 A:1         -> refused insufficient_stock short A:1/0
        place O-4 A:1 partial -> refused insufficient_stock short A:1/0
        stock A               -> on_hand=4 reserved=0 available=4
        receive R-2 A:1       -> received; confirmed O-1 released
    "
    an_order_short_of_another_sku_is_passed_over: "
        count C-1 A:0 B:0     -> counted
        place O-1 A:1 B:1 backorder -> waiting for A short A:1/0 B:1/0
        place O-2 A:1 backorder -> waiting for A short A:1/0
        receive R-1 A:1       -> received; confirmed O-2 released
        receive R-2 B:1       -> received
        receive R-3 A:1       -> received; confirmed O-1 released
    "
    a_new_order_may_have_what_a_parked_one_does_not_claim: "
        receive R-1 A:1 B:5   -> received
        place O-1 A:2 B:1 backorder -> waiting for A short A:2/1
        place O-2 B:5         -> confirmed
        place O-3 A:1         -> refused insufficient_stock short A:1/0
        cancel O-2            -> cancelled cancelled
        receive R-2 A:2       -> received; confirmed O-1 released
    "
    /// Whoever is parked at a SKU claims it, whatever becomes of the others that it wants.
    a_claim_stays_when_another_sku_is_taken_away: "
        receive R-1 A:3 B:1   -> received
        place O-1 A:5 B:1 backorder -> waiting for A short A:5/3
        place O-2 A:2 backorder -> waiting for A short A:2/0
        place O-3 B:1         -> confirmed
        order O-1             -> waiting
        place O-4 A:1         -> refused insufficient_stock short A:1/0
    "
    cancelling_a_waiting_order_lets_the_next_move: "
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        place O-2 A:1 backorder -> waiting for A short A:1/0
        cancel O-1            -> cancelled cancelled; confirmed O-2 released
    "
    cancelling_lines_of_a_waiting_order_can_release_it: "
        receive R-1 A:1 B:1   -> received
        place O-1 A:1 B:2 backorder -> waiting for B short B:2/1
        cancel O-1 B:1        -> cancelled B:1 waiting; confirmed O-1 released
        stock B               -> on_hand=1 reserved=1 available=0
    "
    cancelling_frees_stock_for_those_who_wait: "
        receive R-1 A:2       -> received
        place O-1 A:2         -> confirmed
        place O-2 A:1 backorder -> waiting for A short A:1/0
        cancel O-1 A:1        -> cancelled A:1 confirmed; confirmed O-2 released
    "
    /// The same content again is the same order, wherever it stands meanwhile.
    a_retry_gets_the_first_outcome_and_changes_nothing: "
        receive R-1 A:5       -> received
        place O-1 A:2         -> confirmed
        place O-1 A:2         -> confirmed again first=2 now confirmed
        stock A               -> on_hand=5 reserved=2 available=3
        place O-1 A:1 A:1 submitted=5 carrier=dhl -> confirmed again first=2 now confirmed
        place O-1 A:2 site=main -> confirmed again first=2 now confirmed
        ship O-1              -> shipped shipped
        place O-1 A:2         -> confirmed again first=2 now shipped
        stock A               -> on_hand=3 reserved=0 available=3
    "
    a_retry_of_a_refused_order_stays_refused: "
        receive R-1 A:1       -> received
        place O-1 A:2         -> refused insufficient_stock short A:2/1
        receive R-2 A:5       -> received
        place O-1 A:2         -> refused insufficient_stock again first=2 now refused
        stock A               -> on_hand=6 reserved=0 available=6
    "
    a_retry_of_a_waiting_order_waits_on: "
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        place O-1 A:2 backorder -> waiting for A again first=2 now waiting
        receive R-2 A:1       -> received; confirmed O-1 released
        place O-1 A:2 backorder -> waiting again first=2 now confirmed
        stock A               -> on_hand=2 reserved=2 available=0
    "
    other_content_under_a_known_id_is_a_conflict: "
        receive R-1 A:9       -> received
        place O-1 A:2         -> confirmed
        place O-1 A:3         -> refused id_conflict it is confirmed
        place O-1 A:2 partial -> refused id_conflict it is confirmed
        place O-1 A:2 site=west -> refused id_conflict it is confirmed
        place O-2 A:99        -> refused insufficient_stock short A:99/7
        place O-2 A:98        -> refused id_conflict it is refused
        stock A               -> on_hand=9 reserved=2 available=7
    "
    order_ids_are_compared_bytewise: "
        receive R-1 A:9       -> received
        place o A:1           -> confirmed
        place O A:2           -> confirmed
        place é A:3           -> confirmed
    "
    an_order_cancelled_in_full_gives_all_back_once: "
        receive R-1 A:5       -> received
        place O-1 A:2         -> confirmed
        cancel O-1 by=customer reason=changed_mind -> cancelled cancelled customer changed_mind
        stock A               -> on_hand=5 reserved=0 available=5
        cancel O-1            -> refused already_cancelled it is cancelled
        stock A               -> on_hand=5 reserved=0 available=5
        pay O-1               -> refused already_cancelled it is cancelled
        cancel O-9            -> refused unknown_order
    "
    an_order_is_cancelled_by_lines_and_quantities: "
        receive R-1 A:5 B:5   -> received
        place O-1 A:3 B:2     -> confirmed
        cancel O-1 A:1        -> cancelled A:1 confirmed
        cancel O-1 A:3        -> refused exceeds_remaining it is confirmed
        cancel O-1 C:1        -> refused not_in_order it is confirmed
        cancel O-1 A:9        -> refused exceeds_remaining it is confirmed
        cancel O-1 none       -> refused no_lines
        cancel O-1 A:0        -> refused invalid_quantity
        cancel O-1            -> cancelled A:2 B:2 cancelled
        stock A               -> on_hand=5 reserved=0 available=5
        stock B               -> on_hand=5 reserved=0 available=5
    "
    what_has_left_cannot_be_cancelled: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        cancel O-1 A:3        -> refused already_shipped it is confirmed
        cancel O-1            -> cancelled A:2 shipped
        cancel O-1            -> refused already_shipped it is shipped
        stock A               -> on_hand=4 reserved=0 available=4
    "
    paying_marks_the_order_as_paid: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        pay_failed O-1 T-1    -> payment_failed
        pay_failed O-1 T-1    -> payment_failed again first=3 now confirmed
        order O-1             -> confirmed
        pay O-1 attempt=T-2   -> paid paid
        pay O-1 attempt=T-2   -> paid paid again first=5
        pay O-1               -> refused already_paid it is paid
        pay_failed O-1 T-1    -> payment_failed again first=3 now paid
        pay O-9               -> refused unknown_order
        pay_failed O-9 T-9    -> refused unknown_order
    "
    a_waiting_order_may_be_paid: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        pay O-1               -> paid waiting
        receive R-2 A:1       -> received; confirmed O-1 released
        order O-1             -> paid
        due                   -> never
    "
    reviews_are_noted: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        review O-1 5          -> reviewed confirmed
        review O-1 0          -> refused invalid_value
        review O-1 6          -> refused invalid_value
        review O-9 1          -> refused unknown_order
    "
    /// No hold expires unless policy says so.
    without_a_policy_nothing_expires: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        due                   -> never
        +365d
        tick                  ->
        order O-1             -> confirmed
    "
    an_unpaid_order_expires_in_log_time: "
        policy pay_within_ms=1500 -> policy_applied rules=1
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed pay_by=1500ms
        due                   -> 1500ms
        +1499ms
        tick                  ->
        +1ms
        tick                  -> expired O-1 expired
        stock A               -> on_hand=5 reserved=0 available=5
        pay O-1               -> paid paid reserved_again
        cancel O-1            -> cancelled cancelled
        due                   -> never
    "
    a_payment_that_comes_too_late_reserves_again: "
        policy pay_within_ms=1500 -> policy_applied rules=1
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed pay_by=1500ms
        +1500ms
        pay O-1               -> expired O-1 expired; paid paid reserved_again
        place O-2 A:3         -> refused insufficient_stock short A:3/0
        +1500ms
        place O-3 A:3         -> refused insufficient_stock short A:3/0
    "
    a_paid_order_does_not_expire: "
        policy pay_within_ms=1500 -> policy_applied rules=1
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed pay_by=1500ms
        pay O-1               -> paid paid
        due                   -> never
        +9s
        tick                  ->
        order O-1             -> paid
    "
    a_hold_time_applies_to_orders_confirmed_from_here_on: "
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed
        policy pay_within_ms=100 -> policy_applied rules=1
        place O-2 A:1         -> confirmed pay_by=100ms
        policy pay_within_ms=0 -> policy_applied rules=1
        place O-3 A:1         -> confirmed
        due                   -> 100ms
        +1s
        tick                  -> expired O-2 expired
        due                   -> never
    "
    a_released_order_has_its_hold_from_then_on: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        +50ms
        receive R-2 A:1       -> received; confirmed O-1 released pay_by=150ms
        +100ms
        tick                  -> expired O-1 expired
    "
    an_expired_hold_frees_stock_for_those_who_wait: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:2       -> received
        place O-1 A:2         -> confirmed pay_by=100ms
        place O-2 A:1 backorder -> waiting for A short A:1/0
        +100ms
        tick                  -> expired O-1 expired; confirmed O-2 released pay_by=200ms
    "
    /// What was shipped of an order stays shipped when the rest expires.
    only_what_is_reserved_expires: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:2       -> received
        place O-1 A:2         -> confirmed pay_by=100ms
        ship O-1 A:1          -> shipped A:1 confirmed
        +100ms
        tick                  -> expired O-1 A:1 shipped
        stock A               -> on_hand=1 reserved=0 available=1
        pay O-1               -> paid paid reserved_again
    "
    shipping_or_cancelling_all_ends_the_hold: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:2       -> received
        place O-1 A:1         -> confirmed pay_by=100ms
        place O-2 A:1         -> confirmed pay_by=100ms
        ship O-1              -> shipped shipped
        cancel O-2            -> cancelled cancelled
        due                   -> never
    "
    /// Two orders that each need both of two SKUs: one gets both, the other is told so, nothing is left behind.
    orders_that_cross_do_not_hold_each_other_up: "
        receive R-1 A:1 B:1   -> received
        [ place O-1 A:1 B:1 | place O-2 B:1 A:1 ] -> confirmed; refused insufficient_stock short B:1/0 A:1/0
        cancel O-1            -> cancelled cancelled
        stock A               -> on_hand=1 reserved=0 available=1
        stock B               -> on_hand=1 reserved=0 available=1
    "
    /// The flash sale: the last unit goes once; a give-back makes it available again.
    the_last_unit_is_sold_once: "
        receive R-1 A:1       -> received
        [ place O-1 A:1 | place O-2 A:1 | place O-1 A:1 | place O-3 A:1 ] -> confirmed; refused insufficient_stock short A:1/0; confirmed again first=2 now confirmed; refused insufficient_stock short A:1/0
        cancel O-1            -> cancelled cancelled
        place O-4 A:1         -> confirmed
        stock A               -> on_hand=1 reserved=1 available=0
    "
}
