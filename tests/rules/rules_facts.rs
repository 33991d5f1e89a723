//! Rules of facts: what was shipped, delivered and returned is accepted, also where it contradicts the books.

use crate::script::rules;

rules! {
    goods_are_shipped_delivered_and_returned: "
        receive R-1 A:5       -> received
        place O-1 A:2         -> confirmed
        pay O-1               -> paid paid
        ship O-1              -> shipped shipped
        stock A               -> on_hand=3 reserved=0 available=3
        deliver O-1           -> delivered delivered
        return O-1 X-1 restock -> returned returned
        stock A               -> on_hand=5 reserved=0 available=5
        books A               -> received=5 adjusted=0 restocked=2 shipped=2 moved=0
    "
    by_lines_and_quantities: "
        receive R-1 A:5 B:5   -> received
        place O-1 A:3 B:1     -> confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        ship O-1 A:1 B:1      -> shipped A:1 B:1 confirmed
        deliver O-1 A:1       -> delivered A:1 confirmed
        ship O-1              -> shipped A:1 shipped
        deliver O-1           -> delivered A:2 B:1 delivered
        return O-1 X-1 A:1+ B:1 -> returned A:1 B:1 delivered
        return O-1 X-2        -> returned A:2 returned
        stock A               -> on_hand=3 reserved=0 available=3
        stock B               -> on_hand=4 reserved=0 available=4
    "
    /// One return may put some units of a SKU back on the shelf and not others.
    return_lines_say_whether_they_are_restocked: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        ship O-1              -> shipped shipped
        return O-1 X-1 A:1+ A:2 -> returned A:3 returned
        stock A               -> on_hand=3 reserved=0 available=3
    "
    a_step_by_lines_must_fit_the_order: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        ship O-1 B:1          -> refused not_in_order it is confirmed
        ship O-1 A:4          -> refused exceeds_remaining it is confirmed
        ship O-1 A:2          -> shipped A:2 confirmed
        ship O-1 A:2          -> refused exceeds_remaining it is confirmed
        ship O-1 A:1 A:1      -> refused exceeds_remaining it is confirmed
        ship O-1 none         -> refused no_lines
        ship O-1 A:0          -> refused invalid_quantity
        deliver O-1 A:4       -> refused exceeds_remaining it is confirmed
        return O-1 X-1 A:4    -> refused exceeds_remaining it is confirmed
        ship O-9              -> refused unknown_order
        deliver O-9           -> refused unknown_order
        return O-9 X-1        -> refused unknown_order
    "
    nothing_remains_after_all_is_done: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        ship O-1              -> shipped shipped
        ship O-1              -> refused nothing_remains it is shipped
        deliver O-1           -> delivered delivered
        deliver O-1           -> refused nothing_remains it is delivered
        return O-1 X-1        -> returned returned
        return O-1 X-2        -> refused nothing_remains it is returned
    "
    a_shipment_told_again_counts_once: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        ship O-1 A:1 id=S-1   -> shipped A:1 confirmed
        ship O-1 A:1 id=S-1   -> shipped confirmed again first=3
        ship O-1 A:2 id=S-1   -> refused id_conflict it is confirmed
        deliver O-1 A:1 id=S-1 -> delivered A:1 confirmed
        deliver O-1 A:1 id=S-1 -> delivered confirmed again first=6
        deliver O-1 id=S-1    -> refused id_conflict it is confirmed
        stock A               -> on_hand=4 reserved=2 available=2
    "
    a_return_told_again_counts_once: "
        receive R-1 A:5       -> received
        place O-1 A:3         -> confirmed
        ship O-1              -> shipped shipped
        return O-1 X-1 A:1+   -> returned A:1 shipped
        return O-1 X-1 A:1+   -> returned shipped again first=4
        return O-1 X-1 A:1    -> refused id_conflict it is shipped
        return O-1 X-1 A:2+   -> refused id_conflict it is shipped
        return O-1 X-1        -> refused id_conflict it is shipped
        stock A               -> on_hand=3 reserved=0 available=3
    "
    /// Fully reserved stock can be shipped.
    reserved_stock_ships_to_the_last_unit: "
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed
        stock A               -> on_hand=3 reserved=3 available=0
        ship O-1              -> shipped shipped
        stock A               -> on_hand=0 reserved=0 available=0
    "
    a_cancelled_order_can_turn_out_to_have_been_shipped: "
        receive R-1 A:3       -> received
        place O-1 A:2         -> confirmed
        cancel O-1            -> cancelled cancelled
        ship O-1              -> shipped shipped was_cancelled
        stock A               -> on_hand=1 reserved=0 available=1
        books A               -> received=3 adjusted=0 restocked=0 shipped=2 moved=0
    "
    an_expired_order_can_turn_out_to_have_been_shipped: "
        policy pay_within_ms=100 -> policy_applied rules=1
        receive R-1 A:3       -> received
        place O-1 A:2         -> confirmed pay_by=100ms
        +100ms
        ship O-1              -> expired O-1 expired; shipped shipped was_cancelled
        stock A               -> on_hand=1 reserved=0 available=1
        pay O-1               -> paid shipped
    "
    all_that_remain_leaves_cancelled_units_alone: "
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed
        cancel O-1 A:1        -> cancelled A:1 confirmed
        ship O-1              -> shipped A:2 shipped
        stock A               -> on_hand=1 reserved=0 available=1
        ship O-1 A:1          -> shipped A:1 shipped was_cancelled
        stock A               -> on_hand=0 reserved=0 available=0
    "
    a_waiting_order_can_turn_out_to_have_been_shipped: "
        receive R-1 A:1       -> received
        place O-1 A:3 backorder -> waiting for A short A:3/1
        place O-2 A:1 backorder -> waiting for A short A:1/0
        ship O-1              -> shipped shipped was_waiting below_zero
        stock A               -> on_hand=-2 reserved=0 available=-2
        receive R-2 A:3       -> received; confirmed O-2 released
        stock A               -> on_hand=1 reserved=1 available=0
    "
    a_waiting_order_shipped_in_part_waits_for_the_rest: "
        receive R-1 A:1 B:5   -> received
        place O-1 A:3 B:1 backorder -> waiting for A short A:3/1
        ship O-1 A:1          -> shipped A:1 waiting was_waiting
        receive R-2 A:2       -> received; confirmed O-1 released
        stock A               -> on_hand=2 reserved=2 available=0
        ship O-1              -> shipped A:2 B:1 shipped
    "
    /// Shipping more than the books have is a fact: on hand goes below zero and says so.
    more_than_is_there_can_be_shipped: "
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed
        count C-1 A:1         -> counted A:3->1; shortfall O-1 A:2
        ship O-1              -> shipped shipped below_zero; shortfall O-1 A:0
        stock A               -> on_hand=-2 reserved=0 available=-2
        place O-2 A:1         -> refused insufficient_stock short A:1/0
        books A               -> received=3 adjusted=-2 restocked=0 shipped=3 moved=0
        # What comes back takes nothing below zero, though the stock still is.
        return O-1 X-1 A:1+   -> returned A:1 shipped
        stock A               -> on_hand=-1 reserved=0 available=-1
    "
    delivered_before_shipped_is_taken_as_shipped: "
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed
        deliver O-1           -> delivered delivered was_not_shipped
        stock A               -> on_hand=0 reserved=0 available=0
        ship O-1              -> shipped delivered out_of_order
        stock A               -> on_hand=0 reserved=0 available=0
        ship O-1              -> refused nothing_remains it is delivered
    "
    delivering_all_means_what_was_shipped: "
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        deliver O-1           -> delivered A:1 confirmed
        deliver O-1           -> refused nothing_remains it is confirmed
        ship O-1 A:2          -> shipped A:2 shipped
    "
    a_cancelled_order_can_turn_out_to_have_been_delivered: "
        receive R-1 A:3       -> received
        place O-1 A:1         -> confirmed
        cancel O-1            -> cancelled cancelled
        deliver O-1           -> delivered delivered was_not_shipped was_cancelled
        stock A               -> on_hand=2 reserved=0 available=2
    "
    returned_before_delivered_is_accepted: "
        receive R-1 A:3       -> received
        place O-1 A:3         -> confirmed
        ship O-1              -> shipped shipped
        return O-1 X-1 restock -> returned returned
        stock A               -> on_hand=3 reserved=0 available=3
        deliver O-1           -> delivered returned out_of_order
        deliver O-1           -> refused nothing_remains it is returned
    "
    returned_before_shipped_is_taken_as_shipped: "
        receive R-1 A:3       -> received
        place O-1 A:2         -> confirmed
        return O-1 X-1        -> returned returned was_not_shipped
        stock A               -> on_hand=1 reserved=0 available=1
        ship O-1              -> shipped returned out_of_order
        deliver O-1           -> delivered returned out_of_order
        stock A               -> on_hand=1 reserved=0 available=1
        books A               -> received=3 adjusted=0 restocked=0 shipped=2 moved=0
    "
    returned_goods_stay_off_the_shelf_unless_restocked: "
        receive R-1 A:1       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        place O-2 A:1 backorder -> waiting for A short A:1/0
        return O-1 X-1        -> returned returned
    "
    restocking_releases_those_who_wait: "
        receive R-1 A:1       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        place O-2 A:1 backorder -> waiting for A short A:1/0
        return O-1 X-1 restock -> returned returned; confirmed O-2 released
    "
    paying_late_is_accepted: "
        receive R-1 A:1       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        deliver O-1           -> delivered delivered
        pay O-1               -> paid delivered
    "
    a_whole_ship_takes_what_is_reserved_only: "
        receive R-1 A:9 B:9   -> received
        place O-1 A:2 B:2     -> confirmed
        cancel O-1 A:1        -> cancelled A:1 confirmed
        ship O-1              -> shipped A:1 B:2 shipped
        ship O-1              -> refused nothing_remains it is shipped
        deliver O-1           -> delivered A:1 B:2 delivered
        deliver O-1           -> refused nothing_remains it is delivered
        ship O-1              -> refused nothing_remains it is delivered
        stock A               -> on_hand=8 reserved=0 available=8
    "
    a_whole_ship_of_what_waits: "
        receive R-1 A:1 B:9   -> received
        place O-1 A:2 B:1 backorder -> waiting for A short A:2/1
        cancel O-1 B:1        -> cancelled B:1 waiting
        ship O-1              -> shipped A:2 shipped was_waiting below_zero
        ship O-1              -> refused nothing_remains it is shipped
    "
    a_whole_ship_of_what_was_given_up: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:9 B:9   -> received
        place O-1 A:1 B:1     -> confirmed pay_by=10ms
        cancel O-1 A:1        -> cancelled A:1 confirmed
        +10ms
        ship O-1              -> expired O-1 B:1 expired; shipped shipped was_cancelled
        ship O-1              -> refused nothing_remains it is shipped
    "
    a_whole_deliver_takes_what_was_shipped_only: "
        receive R-1 A:9       -> received
        place O-1 A:5         -> confirmed
        ship O-1 A:2          -> shipped A:2 confirmed
        deliver O-1           -> delivered A:2 confirmed
        deliver O-1           -> refused nothing_remains it is confirmed
        stock A               -> on_hand=7 reserved=3 available=4
    "
    a_whole_deliver_of_what_was_only_shipped_against_the_books: "
        receive R-1 A:1       -> received
        place O-1 A:2 backorder -> waiting for A short A:2/1
        deliver O-1           -> delivered delivered was_not_shipped was_waiting below_zero
        ship O-1              -> shipped delivered out_of_order
        ship O-1              -> refused nothing_remains it is delivered
        receive R-2 A:3       -> received
        place O-2 A:1         -> confirmed
        ship O-2 A:1          -> shipped A:1 shipped
        return O-2 X-1        -> returned returned
        deliver O-2           -> delivered returned out_of_order
        place O-3 A:1         -> confirmed
        cancel O-3            -> cancelled cancelled
        deliver O-3           -> delivered delivered was_not_shipped was_cancelled
    "
    a_shipped_order_of_which_some_is_reserved: "
        receive R-1 A:9       -> received
        place O-1 A:3         -> confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        return O-1 X-1        -> returned A:1 confirmed
        return O-1 X-2        -> refused nothing_remains it is confirmed
        stock A               -> on_hand=8 reserved=2 available=6
        deliver O-1           -> delivered A:1 confirmed out_of_order
        deliver O-1           -> refused nothing_remains it is confirmed
    "
    a_whole_return_takes_what_was_delivered_and_what_was_shipped: "
        receive R-1 A:9 B:9   -> received
        place O-1 A:3 B:2     -> confirmed
        ship O-1 A:3          -> shipped A:3 confirmed
        deliver O-1 A:1       -> delivered A:1 confirmed
        return O-1 X-1 restock -> returned A:3 confirmed
        return O-1 X-2 restock -> refused nothing_remains it is confirmed
        stock A               -> on_hand=9 reserved=0 available=9
        stock B               -> on_hand=9 reserved=2 available=7
    "
    a_whole_return_against_the_books: "
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed
        cancel O-1            -> cancelled cancelled
        return O-1 X-1        -> returned returned was_not_shipped was_cancelled
        place O-2 A:99 backorder -> waiting for A short A:99/8
        return O-2 X-1        -> returned returned was_not_shipped was_waiting below_zero
        ship O-2              -> shipped returned out_of_order
        deliver O-2           -> delivered returned out_of_order
        ship O-2              -> refused nothing_remains it is returned
        deliver O-2           -> refused nothing_remains it is returned
    "
    by_lines_columns_are_taken_from_left_to_right: "
        policy pay_within_ms=10 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:6         -> confirmed pay_by=10ms
        cancel O-1 A:1        -> cancelled A:1 confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        deliver O-1 A:3       -> delivered A:3 confirmed was_not_shipped
        order O-1             -> confirmed
        # One shipped and two reserved units were delivered; two are reserved.
        stock A               -> on_hand=6 reserved=2 available=4
        ship O-1 A:5          -> shipped A:5 shipped was_cancelled out_of_order
        stock A               -> on_hand=3 reserved=0 available=3
        ship O-1 A:1          -> refused exceeds_remaining it is shipped
        return O-1 X-1 A:7    -> refused exceeds_remaining it is shipped
        return O-1 X-1 A:6    -> returned A:6 returned
        deliver O-1 A:4       -> refused exceeds_remaining it is returned
        deliver O-1 A:3       -> delivered A:3 returned out_of_order
    "
    news_counts_once: "
        receive R-1 A:9 B:9   -> received
        place O-1 A:2 B:2     -> confirmed
        deliver O-1 A:1       -> delivered A:1 confirmed was_not_shipped
        ship O-1              -> shipped A:1 B:2 shipped
        ship O-1              -> shipped A:1 shipped out_of_order
        ship O-1              -> refused nothing_remains it is shipped
        return O-1 X-1 B:1    -> returned B:1 shipped
        deliver O-1           -> delivered A:1 B:1 delivered
        deliver O-1           -> delivered B:1 delivered out_of_order
        deliver O-1           -> refused nothing_remains it is delivered
    "
    returned_units_that_go_back_on_the_shelf_are_taken_first: "
        receive R-1 A:9       -> received
        place O-1 A:3         -> confirmed
        ship O-1 A:1          -> shipped A:1 confirmed
        return O-1 X-1 A:2+ A:1 -> returned A:3 returned was_not_shipped
        stock A               -> on_hand=8 reserved=0 available=8
        books A               -> received=9 adjusted=0 restocked=2 shipped=3 moved=0
    "
}
