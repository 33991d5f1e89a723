//! Rules of amendments: all lines at once, or nothing.

use crate::script::rules;

rules! {
    an_amendment_replaces_all_lines_at_once: "
        receive R-1 A:5 B:5 C:5 -> received
        place O-1 A:3 B:2     -> confirmed
        amend O-1 M-1 A:1 C:4 -> amended confirmed
        amend O-1 M-1 C:4 A:1 -> amended confirmed again first=3
        stock A               -> on_hand=5 reserved=1 available=4
        stock B               -> on_hand=5 reserved=0 available=5
        stock C               -> on_hand=5 reserved=4 available=1
        amend O-1 M-2 A:1 A:2 -> amended confirmed
        stock A               -> on_hand=5 reserved=3 available=2
        stock C               -> on_hand=5 reserved=0 available=5
        # Units that were given up do not count.
        amend O-1 M-3 B:1     -> amended confirmed
        stock B               -> on_hand=5 reserved=1 available=4
        ship O-1              -> shipped B:1 shipped
    "
    an_amendment_that_cannot_be_had_changes_nothing: "
        receive R-1 A:5 B:1   -> received
        place O-1 A:2         -> confirmed
        place O-2 A:1         -> confirmed
        amend O-1 M-1 A:5     -> refused insufficient_stock it is confirmed short A:3/2
        amend O-1 M-1 A:1 B:2 -> refused insufficient_stock it is confirmed short B:2/1
        amend O-1 M-1 A:1 Z:1 -> refused unknown_sku it is confirmed short Z:1/0
        amend O-1 M-1         -> refused no_lines
        amend O-1 M-1 A:0     -> refused invalid_quantity
        amend O-9 M-1 A:1     -> refused unknown_order
        stock A               -> on_hand=5 reserved=3 available=2
        amend O-1 M-1 A:4     -> amended confirmed
    "
    an_amendment_never_goes_below_what_has_left: "
        receive R-1 A:9 B:9   -> received
        place O-1 A:3 B:1     -> confirmed
        ship O-1 A:2          -> shipped A:2 confirmed
        amend O-1 M-1 A:1     -> refused already_shipped it is confirmed
        amend O-1 M-1 B:1     -> refused already_shipped it is confirmed
        amend O-1 M-1 A:2     -> amended shipped
        stock A               -> on_hand=7 reserved=0 available=7
        amend O-1 M-2 A:3     -> refused already_shipped it is shipped
    "
    what_is_not_open_cannot_be_amended: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:2       -> received
        place O-1 A:1         -> confirmed pay_by=10ms
        cancel O-1            -> cancelled cancelled
        amend O-1 M-1 A:1     -> refused already_cancelled it is cancelled
        place O-2 A:1         -> confirmed pay_by=10ms
        +10ms
        amend O-2 M-1 A:1     -> expired O-2 expired; refused order_expired it is expired
        place O-3 A:9         -> refused insufficient_stock short A:9/2
        amend O-3 M-1 A:1     -> refused order_refused it is refused
        policy settled_orders_max=0 -> policy_applied rules=1
        amend O-1 M-2 A:1     -> refused already_cancelled it is cancelled
        amend O-2 M-2 A:1     -> refused order_expired it is expired
    "
    limits_hold_for_amendments: "
        policy lines_max=2 quantity_max=5 -> policy_applied rules=1
        receive R-1 A:5 B:5   -> received
        place O-1 A:1         -> confirmed
        amend O-1 M-1 A:1 A:1 A:1 -> refused too_many_lines it is confirmed
        amend O-1 M-1 A:6     -> refused invalid_quantity it is confirmed
        amend O-1 M-1 A:5     -> amended confirmed
    "
    an_amendment_without_new_lines_needs_no_room_for_any: "
        receive R-1 A:5 B:5   -> received
        place O-1 A:1 B:1     -> confirmed
        policy open_lines_max=1 -> policy_applied rules=1
        amend O-1 M-1 A:2 B:1 -> amended confirmed
    "
    a_waiting_order_that_asks_for_more_queues_last: "
        count C-1 A:0 B:0     -> counted
        place O-1 A:1 backorder -> waiting for A short A:1/0
        place O-2 A:1 backorder -> waiting for A short A:1/0
        place O-3 A:1 backorder -> waiting for A short A:1/0
        amend O-1 M-1 A:2     -> amended waiting
        receive R-1 A:1       -> received; confirmed O-2 released
        receive R-2 A:2       -> received; confirmed O-3 released
        receive R-3 A:1       -> received; confirmed O-1 released
        stock A               -> on_hand=4 reserved=4 available=0
    "
    a_waiting_order_that_asks_for_less_keeps_its_turn: "
        count C-1 A:0 B:0     -> counted
        place O-1 A:3 backorder -> waiting for A short A:3/0
        place O-2 A:1 backorder -> waiting for A short A:1/0
        receive R-1 A:1       -> received
        amend O-1 M-1 A:1     -> amended waiting; confirmed O-1 released
        order O-2             -> waiting
    "
    a_waiting_order_waits_for_what_is_added_too: "
        receive R-1 A:1 B:1   -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        amend O-1 M-1 A:1 B:1 -> amended waiting; confirmed O-1 released
        place O-2 A:2 backorder -> waiting for A short A:2/0
        amend O-2 M-1 A:1 Z:1 -> refused unknown_sku it is waiting short Z:1/0
        amend O-2 M-1 A:1 B:2 -> amended waiting
        receive R-2 A:1       -> received
        place O-2 A:2 backorder -> waiting for B again first=4 now waiting
        receive R-3 B:2       -> received; confirmed O-2 released
    "
    an_amended_order_tells_no_first_shortages: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:5       -> received
        receive R-2 B:5 site=west -> received
        place O-1 A:9 partial -> confirmed short A:9/5
        place O-1 A:9 partial -> confirmed short A:9/5 again first=4 now confirmed
        amend O-1 M-1 A:4     -> amended confirmed
        place O-1 A:9 partial -> confirmed again first=4 now confirmed
        place O-2 B:5 sites=main,west -> confirmed B:5@west
        amend O-2 M-1 B:4     -> amended confirmed
        place O-2 B:5 sites=main,west -> confirmed again first=8 now confirmed
    "
    more_of_an_order_comes_from_the_site_of_its_line: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:5 B:5   -> received
        receive R-2 A:5 C:5 site=west -> received
        place O-1 A:1 site=west -> confirmed
        amend O-1 M-1 A:2 C:1 -> amended confirmed
        stock A west          -> on_hand=5 reserved=2 available=3
        amend O-1 M-2 B:1     -> refused unknown_sku it is confirmed short B:1/0
        amend O-1 M-2 C:2     -> amended confirmed
    "
}
