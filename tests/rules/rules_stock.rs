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
}
