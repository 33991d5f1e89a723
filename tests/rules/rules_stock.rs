//! Rules of stock: receipts, counts, sites, safety stock.

use crate::script::rules;

rules! {
    a_receipt_told_again_counts_once: "
        receive R-1 A:3       -> received
        receive R-1 A:3       -> received again first=1
        receive R-1 A:1 A:2   -> received again first=1
        receive R-1 A:4       -> refused id_conflict
        receive R-1 A:3 site=west -> refused id_conflict
        stock A               -> on_hand=3 reserved=0 available=3
    "
    a_count_told_again_counts_once: "
        receive R-1 A:3       -> received
        count C-1 A:5         -> counted A:3->5
        receive R-2 A:1       -> received
        count C-1 A:5         -> counted again first=2
        count C-1 A:6         -> refused id_conflict
        stock A               -> on_hand=6 reserved=0 available=6
        books A               -> received=4 adjusted=2 restocked=0 shipped=0 moved=0
    "
    /// Receipts and counts have ids of their own.
    a_receipt_and_a_count_may_share_an_id: "
        receive X A:3         -> received
        count X A:3           -> counted
    "
    a_count_makes_a_sku_known: "
        count C-1 A:0 B:2     -> counted B:0->2
        place O-1 A:1         -> refused insufficient_stock short A:1/0
        place O-2 B:2         -> confirmed
    "
    a_count_names_each_sku_once: "
        count C-1 A:1 A:2     -> refused duplicate_sku
        count C-2             -> refused no_lines
        count C-3 A:-1        -> refused invalid_quantity
        stock A               -> unknown
    "
    a_count_upwards_releases_those_who_wait: "
        receive R-1 A:1       -> received
        place O-1 A:3 backorder -> waiting for A short A:3/1
        count C-1 A:3         -> counted A:1->3; confirmed O-1 released
    "
    /// Not an oversell: available is negative, and the orders placed last are named.
    a_count_below_what_is_reserved_names_the_newest_orders: "
        receive R-1 A:9       -> received
        place O-1 A:3         -> confirmed
        place O-2 A:3         -> confirmed
        place O-3 A:3         -> confirmed
        count C-1 A:5         -> counted A:9->5; shortfall O-3 A:3; shortfall O-2 A:1
        stock A               -> on_hand=5 reserved=9 available=-4
        order O-3             -> confirmed
        count C-2 A:8         -> counted A:5->8; shortfall O-3 A:1; shortfall O-2 A:0
        cancel O-3            -> cancelled cancelled; shortfall O-3 A:0
        count C-3 A:7         -> counted A:8->7
        stock A               -> on_hand=7 reserved=6 available=1
    "
    a_receipt_needs_lines_and_positive_quantities: "
        receive R-1           -> refused no_lines
        receive R-1 A:0       -> refused invalid_quantity
        receive R-1 A:-1      -> refused invalid_quantity
        receive R-1 A:1000000001 -> refused invalid_quantity
        receive R-1 A:9223372036854775807 -> refused invalid_quantity
        receive R-1 A:1000000000 A:1 -> refused invalid_quantity
        receive R-1 A:1000000000 -> received
        place O-1 A:1000000000 -> confirmed
    "
    sites_hold_their_own_stock: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:3       -> received
        receive R-2 A:1 site=west -> received
        place O-1 A:2 site=west -> refused insufficient_stock short A:2/1
        place O-2 A:3         -> confirmed
        place O-3 A:1 site=west -> confirmed
        stock A west          -> on_hand=1 reserved=1 available=0
        cancel O-3            -> cancelled cancelled
        stock A               -> on_hand=3 reserved=3 available=0
        stock A west          -> on_hand=1 reserved=0 available=1
    "
    waiting_is_per_site: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:1       -> received
        count C-1 A:0 site=west -> counted
        place O-1 A:1 site=west backorder -> waiting for A short A:1/0
        place O-2 A:1         -> confirmed
        receive R-2 A:1       -> received
        receive R-3 A:1 site=west -> received; confirmed O-1 released
    "
    an_unlisted_site_is_unknown: "
        receive R-1 A:3 site=west -> refused unknown_site
        count C-1 A:3 site=west -> refused unknown_site
        place O-1 A:3 site=west -> refused unknown_site
        policy safety=west/A:1 -> refused unknown_site
        policy sites=west     -> policy_applied rules=1
        receive R-1 A:3       -> refused unknown_site
        place O-1 A:3         -> refused unknown_site
        receive R-1 A:3 site=west -> received
        place O-1 A:3 site=west -> confirmed
    "
    a_site_in_use_cannot_go: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:3 site=west -> received
        policy sites=main     -> refused site_in_use
        place O-1 A:3 site=west -> confirmed
        count C-1 A:0 site=west -> counted A:3->0; shortfall O-1 A:3
        policy sites=main     -> refused site_in_use
        cancel O-1            -> cancelled cancelled; shortfall O-1 A:0
        place O-2 A:1 site=west backorder -> waiting for A short A:1/0
        policy sites=main     -> refused site_in_use
        cancel O-2            -> cancelled cancelled
        policy sites=main     -> policy_applied rules=1
        place O-3 A:1 site=west -> refused unknown_site
        policy sites=main,west -> policy_applied rules=1
        place O-4 A:1 site=west -> refused insufficient_stock short A:1/0
    "
    a_site_that_is_listed_again_has_its_skus: "
        policy sites=main,west -> policy_applied rules=1
        count C-1 A:0 site=west -> counted
        policy sites=main     -> policy_applied rules=1
        policy safety=west/A:1 -> refused unknown_site
        policy sites=main,west safety=west/A:1 allowance=west/A:2 -> policy_applied rules=1
        place O-1 A:2 site=west -> refused insufficient_stock short A:2/1
        policy sites=main,east safety=east/A:1 -> refused unknown_sku
    "
    safety_stock_is_never_promised: "
        receive R-1 A:5 B:5   -> received
        policy safety_stock=2 safety=B:4 -> policy_applied rules=1
        stock A               -> on_hand=5 reserved=0 available=3
        stock B               -> on_hand=5 reserved=0 available=1
        place O-1 A:4         -> refused insufficient_stock short A:4/3
        place O-2 B:2         -> refused insufficient_stock short B:2/1
        place O-3 A:3 B:1     -> confirmed
        policy safety=B:-     -> policy_applied rules=1
        stock B               -> on_hand=5 reserved=1 available=2
        policy safety=Z:1     -> refused unknown_sku
    "
    less_safety_stock_releases_those_who_wait: "
        receive R-1 A:5 B:5   -> received
        policy safety_stock=5 -> policy_applied rules=1
        place O-1 A:1 backorder -> waiting for A short A:1/0
        place O-2 B:1 backorder -> waiting for B short B:1/0
        policy safety=B:0     -> policy_applied rules=1; confirmed O-2 released
        policy safety_stock=4 -> policy_applied rules=1; confirmed O-1 released
    "
    more_safety_stock_takes_nothing_from_orders: "
        receive R-1 A:5       -> received
        place O-1 A:5         -> confirmed
        policy safety_stock=5 -> policy_applied rules=1
        stock A               -> on_hand=5 reserved=5 available=-5
        ship O-1              -> shipped shipped
    "
    who_lacks_no_more_is_looked_for_again_when_more_is_missing: "
        receive R-1 A:3       -> received
        place O-1 A:1         -> confirmed
        place O-2 A:1         -> confirmed
        place O-3 A:1         -> confirmed
        count C-1 A:1         -> counted A:3->1; shortfall O-3 A:1; shortfall O-2 A:1
        receive R-2 A:1       -> received; shortfall O-2 A:0
        count C-2 A:0         -> counted A:2->0; shortfall O-2 A:1; shortfall O-1 A:1
    "
    a_shortfall_is_told_again_when_it_changes_and_closed_by_0: "
        receive R-1 A:9 B:5   -> received
        place O-1 A:4         -> confirmed
        place O-2 A:5 B:5     -> confirmed
        adjust J-1 A:-3 B:-1  -> adjusted A:9->6 B:5->4; shortfall O-2 A:3; shortfall O-2 B:1
        adjust J-2 A:-4 B:1   -> adjusted A:6->2 B:4->5; shortfall O-2 A:5; shortfall O-1 A:2; shortfall O-2 B:0
        receive R-2 A:6       -> received; shortfall O-2 A:1; shortfall O-1 A:0
        receive R-3 A:1       -> received; shortfall O-2 A:0
        receive R-4 A:1       -> received
    "
    a_late_ship_of_what_was_given_up_names_who_loses: "
        receive R-1 A:2       -> received
        place O-1 A:2         -> confirmed
        cancel O-1            -> cancelled cancelled
        place O-2 A:1         -> confirmed
        place O-3 A:1         -> confirmed
        ship O-1              -> shipped shipped was_cancelled; shortfall O-3 A:1; shortfall O-2 A:1
        stock A               -> on_hand=0 reserved=2 available=-2
        return O-1 X-1 restock -> returned returned; shortfall O-3 A:0; shortfall O-2 A:0
    "
    a_late_ship_of_what_waits_or_has_expired_names_who_loses: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:3       -> received
        place O-1 A:2         -> confirmed pay_by=10ms
        place O-2 A:2 backorder -> waiting for A short A:2/1
        +10ms
        place O-3 A:1         -> expired O-1 expired; confirmed pay_by=20ms; confirmed O-2 released pay_by=20ms
        ship O-1 A:1          -> shipped A:1 shipped was_cancelled; shortfall O-3 A:1
        place O-4 A:1 backorder -> waiting for A short A:1/0
        ship O-4              -> shipped shipped was_waiting; shortfall O-2 A:1
        cancel O-3            -> cancelled cancelled; shortfall O-3 A:0
    "
    an_order_that_ships_closes_its_own_shortfall: "
        receive R-1 A:4       -> received
        place O-1 A:2         -> confirmed
        place O-2 A:2         -> confirmed
        count C-1 A:3         -> counted A:4->3; shortfall O-2 A:1
        ship O-2 A:1          -> shipped A:1 confirmed
        ship O-2              -> shipped A:1 shipped; shortfall O-2 A:0; shortfall O-1 A:1
        ship O-1              -> shipped shipped below_zero; shortfall O-1 A:0
        stock A               -> on_hand=-1 reserved=0 available=-1
    "
    an_allowance_may_be_promised_beyond_what_there_is: "
        receive R-1 A:2       -> received
        policy allowance=A:3  -> policy_applied rules=1
        place O-1 A:5         -> confirmed
        stock A               -> on_hand=2 reserved=5 available=-3
        place O-2 A:1         -> refused insufficient_stock short A:1/0
        count C-1 A:1         -> counted A:2->1; shortfall O-1 A:1
        policy allowance=A:1  -> policy_applied rules=1; shortfall O-1 A:3
        policy allowance=A:-  -> policy_applied rules=1; shortfall O-1 A:4
        policy allowance=A:9  -> policy_applied rules=1; shortfall O-1 A:0
        place O-3 A:5         -> confirmed
        ship O-1              -> shipped shipped below_zero
        stock A               -> on_hand=-4 reserved=5 available=-9
        policy allowance=Z:1  -> refused unknown_sku
        policy allowance=A:-1 -> refused invalid_value
    "
    more_allowance_releases_those_who_wait: "
        count C-1 A:0         -> counted
        place O-1 A:2 backorder -> waiting for A short A:2/0
        policy allowance=A:1  -> policy_applied rules=1
        policy allowance=A:2  -> policy_applied rules=1; confirmed O-1 released
        stock A               -> on_hand=0 reserved=2 available=-2
    "
    an_adjustment_is_signed_and_a_fact: "
        adjust J-1 A:5 B:-2   -> adjusted A:0->5 B:0->-2 below_zero
        adjust J-1 B:-2 A:5   -> adjusted again first=1
        adjust J-1 A:5        -> refused id_conflict
        adjust J-1 A:5 B:-2 site=west -> refused id_conflict
        adjust J-2 A:-1 A:-2  -> adjusted A:5->2
        adjust J-3 A:2 A:-2   -> adjusted
        adjust J-4 A:0        -> refused invalid_quantity
        adjust J-4            -> refused no_lines
        adjust J-4 A:1 site=west -> refused unknown_site
        adjust J-4 A:-1000000001 -> refused invalid_quantity
        adjust J-4 B:-1       -> adjusted B:-2->-3 below_zero
        adjust J-5 B:1        -> adjusted B:-3->-2
        place O-1 C:1         -> refused unknown_sku short C:1/0
        adjust J-6 C:1        -> adjusted C:0->1
        place O-2 C:1         -> confirmed
        books B               -> received=0 adjusted=-2 restocked=0 shipped=0 moved=0
    "
    an_adjustment_upwards_releases_and_downwards_names_who_loses: "
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        adjust J-1 A:1        -> adjusted A:1->2; confirmed O-1 released
        adjust J-2 A:-2       -> adjusted A:2->0; shortfall O-1 A:2
    "
    a_transfer_moves_what_can_be_had: "
        policy sites=main,west safety_stock=0 -> policy_applied rules=1
        receive R-1 A:5 B:1   -> received
        place O-1 A:1         -> confirmed
        transfer X-1 from=main to=west A:5 B:1 -> refused insufficient_stock short A:5/4
        transfer X-1 from=main to=west A:4 C:1 -> refused unknown_sku short C:1/0
        transfer X-1 from=main to=west A:4 B:1 -> transferred
        transfer X-1 from=main to=west B:1 A:4 -> transferred again first=6
        transfer X-1 from=main to=west A:4 -> refused id_conflict
        transfer X-1 from=west to=main A:4 B:1 -> refused id_conflict
        stock A               -> on_hand=1 reserved=1 available=0
        stock A west          -> on_hand=4 reserved=0 available=4
        stock B               -> on_hand=0 reserved=0 available=0
        books A               -> received=5 adjusted=0 restocked=0 shipped=0 moved=-4
        transfer X-2 from=main to=main A:1 -> refused invalid_value
        transfer X-2 from=main to=east A:1 -> refused unknown_site
        transfer X-2 from=east to=main A:1 -> refused unknown_site
        transfer X-2 from=main to=west -> refused no_lines
        transfer X-2 from=main to=west A:0 -> refused invalid_quantity
        place O-2 A:4 site=west -> confirmed
    "
    a_transfer_leaves_claims_alone_and_releases_at_its_other_end: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:2       -> received
        count C-1 A:0 site=west -> counted
        place O-1 A:1 site=west backorder -> waiting for A short A:1/0
        place O-2 A:3 backorder -> waiting for A short A:3/2
        transfer X-1 from=main to=west A:1 -> refused insufficient_stock short A:1/0
        cancel O-2            -> cancelled cancelled
        transfer X-1 from=main to=west A:1 -> transferred; confirmed O-1 released
    "
    a_counter_may_say_what_was_expected: "
        receive R-1 A:9       -> received
        place O-1 A:2         -> confirmed
        ship O-1              -> shipped shipped
        # Counted before the shipment, when the books said 9.
        count C-1 A:8/9       -> counted A:7->6
        count C-1 A:8/9       -> counted again first=4
        count C-1 A:8/8       -> refused id_conflict
        count C-1 A:8         -> refused id_conflict
        count C-2 A:8/8 B:2/3 -> counted B:0->-1 below_zero
        count C-3 A:0/-6      -> counted A:6->12
        stock A               -> on_hand=12 reserved=0 available=12
    "
    a_count_that_was_overtaken_is_stale: "
        receive R-1 A:9 B:9   -> received
        +100ms
        receive R-2 A:1       -> received
        count C-1 A:9 B:8 at=99 -> counted B:9->8 stale
        count C-1 A:9 B:8 at=99 -> counted again first=3
        count C-2 A:9 at=100  -> counted A:10->9
        +5ms
        place O-1 A:1         -> confirmed
        # A reservation changes nothing that is on hand.
        count C-3 A:8 at=101  -> counted A:9->8
        +1ms
        count C-4 A:7 at=1    -> counted stale
        count C-5 A:7/8 at=1  -> counted A:8->7
    "
}
