//! Rules of what is remembered: retries, ids of facts, refused and closed orders, SKUs.

use crate::script::rules;

rules! {
    an_attempt_id_stands_within_its_order: "
        receive R-1 A:5       -> received
        place O-1 A:1         -> confirmed
        place O-2 A:1         -> confirmed
        pay O-1 attempt=T-1   -> paid paid
        pay O-2 attempt=T-1   -> paid paid
        pay_failed O-2 T-2    -> payment_failed
        pay_failed O-1 T-2    -> payment_failed
    "
    ids_of_facts_are_kept_with_their_order: "
        receive R-1 A:9       -> received
        policy facts_max=0 facts_window_ms=0 -> policy_applied rules=1
        place O-1 A:6 value=EUR9 -> confirmed
        pay O-1 attempt=P-1 amount=EUR5 -> part_paid due=EUR4 confirmed
        cancel O-1 id=N-1 A:1 value=EUR8 -> cancelled A:1 confirmed
        amend O-1 M-1 A:4 value=EUR7 -> amended confirmed
        ship O-1 id=S-1 A:2   -> shipped A:2 confirmed
        deliver O-1 id=S-1 A:2 -> delivered A:2 confirmed
        return O-1 X-1 A:1+   -> returned A:1 confirmed
        review O-1 4 id=V-1   -> reviewed confirmed
        pay_failed O-1 P-1    -> payment_failed
        +999999s
        [ tick | tick ]       ->
        pay O-1 attempt=P-1 amount=EUR5 -> part_paid due=EUR2 confirmed again first=4
        cancel O-1 id=N-1 A:1 value=EUR8 -> cancelled confirmed again first=5
        amend O-1 M-1 A:4 value=EUR7 -> amended confirmed again first=6
        ship O-1 id=S-1 A:1 A:1 -> shipped confirmed again first=7
        deliver O-1 id=S-1 A:2 -> delivered confirmed again first=8
        return O-1 X-1 A:1+   -> returned confirmed again first=9
        review O-1 4 id=V-1   -> reviewed confirmed again first=10
        pay_failed O-1 P-1    -> payment_failed again first=11 now confirmed
        stock A               -> on_hand=8 reserved=2 available=6
    "
    other_content_under_an_id_of_a_fact: "
        receive R-1 A:9       -> received
        place O-1 A:6 value=EUR9 -> confirmed
        cancel O-1 id=N-1 A:1 -> cancelled A:1 confirmed
        cancel O-1 id=N-1 A:2 -> refused id_conflict it is confirmed
        cancel O-1 id=N-1 A:1 value=EUR1 -> refused id_conflict it is confirmed
        cancel O-1 id=N-1     -> refused id_conflict it is confirmed
        cancel O-1 id=N-1 A:1 by=shop -> cancelled confirmed shop again first=3
        amend O-1 M-1 A:3     -> amended confirmed
        amend O-1 M-1 A:2     -> refused id_conflict it is confirmed
        amend O-1 M-1 A:3 value=EUR1 -> refused id_conflict it is confirmed
        review O-1 4 id=V-1   -> reviewed confirmed
        review O-1 5 id=V-1   -> refused id_conflict it is confirmed
        review O-1 5          -> reviewed confirmed
        ship O-1 id=S-1       -> shipped A:3 shipped
        ship O-1 id=S-1 A:3   -> refused id_conflict it is shipped
        return O-1 X-1        -> returned A:3 returned
        return O-1 X-1 restock -> refused id_conflict it is returned
        # An id that stands for nothing yet is as good as new: a refused command leaves none.
        cancel O-1 id=N-2     -> refused already_shipped it is returned
        review O-1 1 id=N-2   -> reviewed returned
    "
    without_an_id_the_whole_of_an_order_moves_once: "
        receive R-1 A:9       -> received
        place O-1 A:2         -> confirmed
        pay O-1               -> paid paid
        pay O-1               -> refused already_paid it is paid
        ship O-1              -> shipped shipped
        ship O-1              -> refused nothing_remains it is shipped
        deliver O-1           -> delivered delivered
        deliver O-1           -> refused nothing_remains it is delivered
        cancel O-1            -> refused already_shipped it is delivered
    "
    ids_of_facts_are_capped_for_the_shard: "
        policy order_facts_max=2 settled_orders_max=0 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:2         -> confirmed
        place O-2 A:2         -> confirmed
        pay O-1 attempt=P-1   -> paid paid
        review O-2 5 id=V-1   -> reviewed confirmed
        ship O-1 id=S-1       -> refused busy it is paid
        review O-2 5 id=V-1   -> reviewed confirmed again first=6
        ship O-1              -> shipped shipped
        ship O-2 id=S-1       -> shipped shipped
    "
    what_deciding_fields_are: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:9 B:9   -> received
        place O-1 A:1 B:2 value=EUR5 pay_within=9 -> confirmed pay_by=9ms
        place O-1 B:2 A:1 value=EUR5 pay_within=9 submitted=3 carrier=ups until=77 -> confirmed pay_by=9ms again first=3 now confirmed
        place O-1 A:1 B:2 value=EUR6 pay_within=9 -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 value=GBP5 pay_within=9 -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 pay_within=9 -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 value=EUR5 pay_within=8 -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 value=EUR5 -> refused id_conflict it is confirmed
        place O-1 A:2 B:1 value=EUR5 pay_within=9 -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 value=EUR5 pay_within=9 site=west -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 value=EUR5 pay_within=9 sites=main -> refused id_conflict it is confirmed
        place O-1 A:1 B:2 value=EUR5 pay_within=9 backorder -> refused id_conflict it is confirmed
    "
    ids_of_stock_facts_are_kept_by_kind: "
        policy facts_max=1    -> policy_applied rules=1
        receive X A:3         -> received
        count X A:4           -> counted A:3->4
        adjust X A:1          -> adjusted A:4->5
        policy sites=main,west -> policy_applied rules=1
        transfer X from=main to=west A:1 -> transferred
        receive X A:3         -> received again first=2
        count X A:4           -> counted again first=3
        adjust X A:1          -> adjusted again first=4
        transfer X from=main to=west A:1 -> transferred again first=6
        adjust Y A:1          -> adjusted A:4->5
        [ tick | tick ]       ->
        adjust X A:1          -> adjusted A:5->6
        receive X A:3         -> received again first=2
    "
    the_newest_closed_orders_are_remembered: "
        policy closed_orders_max=1 settled_orders_max=0 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed
        cancel O-1            -> cancelled cancelled
        +1ms
        place O-2 A:1         -> confirmed
        ship O-2              -> shipped shipped
        +1ms
        place O-3 A:1 submitted=1 -> refused too_old
        place O-3 A:1 submitted=2 -> confirmed
        ship O-3              -> shipped shipped
        order O-1             -> unknown
        ship O-2              -> refused unknown_order
        place O-1 A:1 submitted=1 -> refused too_old
        place O-4 A:1 submitted=3 -> confirmed
        ship O-3              -> refused order_closed it is shipped
    "
    refused_orders_have_a_queue_of_their_own: "
        policy refused_orders_max=1 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2         -> refused insufficient_stock short A:2/1
        place O-2 A:2         -> refused insufficient_stock short A:2/1
        place O-2 A:2         -> refused insufficient_stock again first=4 now refused
        order O-1             -> unknown
        # Nothing is too old by that: an order that was refused is asked about anew.
        place O-1 A:2 submitted=0 -> refused insufficient_stock short A:2/1
        place O-1 A:1         -> refused id_conflict it is refused
        order O-2             -> unknown
    "
    refused_orders_are_remembered_for_a_window: "
        policy refused_window_ms=100 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:2         -> refused insufficient_stock short A:2/1
        +100ms
        place O-1 A:2         -> refused insufficient_stock again first=3 now refused
        +1ms
        place O-1 A:2 submitted=0 -> refused insufficient_stock short A:2/1
    "
    nonsense_orders_push_no_confirmation_out: "
        policy closed_orders_max=1 refused_orders_max=1 settled_orders_max=0 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        place N-1 A:99        -> refused insufficient_stock short A:99/8
        place N-2 A:99        -> refused insufficient_stock short A:99/8
        place N-3 Z:1         -> refused unknown_sku short Z:1/0
        place O-1 A:1         -> confirmed again first=3 now shipped
        stock A               -> on_hand=8 reserved=0 available=8
    "
    only_want_of_stock_is_remembered: "
        policy open_orders_max=1 -> policy_applied rules=1
        receive R-1 A:5       -> received
        place O-1 B:1         -> refused unknown_sku short B:1/0
        place O-2 A:0         -> refused invalid_quantity
        place O-3 A:1 site=west -> refused unknown_site
        place O-4 A:1         -> confirmed
        place O-5 A:1         -> refused busy
        order O-1             -> unknown
        order O-5             -> unknown
        cancel O-4            -> cancelled cancelled
        receive R-2 B:1       -> received
        place O-1 B:1         -> confirmed
        cancel O-1            -> cancelled cancelled
        place O-2 A:1         -> confirmed
        cancel O-2            -> cancelled cancelled
        place O-5 A:2         -> confirmed
    "
    an_order_of_the_future_is_refused: "
        receive R-1 A:5       -> received
        place O-1 A:1 submitted=300001 -> refused invalid_time
        place O-1 A:1 submitted=300000 -> confirmed
        +1ms
        place O-2 A:1 B:1 submitted=300002 -> refused invalid_time
        place O-2 A:1 submitted=300001 -> confirmed
        place O-3 A:1 partial submitted=300002 -> refused invalid_time
        place O-3 A:1 partial submitted=300001 -> confirmed
    "
    skus_that_nobody_names_are_forgotten: "
        policy skus_window_ms=100 skus_max=2 -> policy_applied rules=1
        receive R-1 A:1 B:1   -> received
        receive R-2 C:1       -> refused busy
        place O-1 A:1         -> confirmed
        adjust J-1 B:-1       -> adjusted B:1->0
        ship O-1              -> shipped shipped
        +100ms
        tick                  ->
        stock B               -> on_hand=0 reserved=0 available=0
        +1ms
        tick                  ->
        stock B               -> unknown
        place O-2 B:1         -> refused unknown_sku short B:1/0
        # A kept order names it.
        stock A               -> on_hand=0 reserved=0 available=0
        return O-1 X-1 A:1+   -> returned A:1 returned
        receive R-2 C:1       -> received
        receive R-3 B:1       -> refused busy
        count C-1 C:0         -> counted C:1->0
        policy safety=C:1     -> policy_applied rules=1
        +500ms
        tick                  ->
        stock C               -> on_hand=0 reserved=0 available=-1
        policy safety=C:-     -> policy_applied rules=1
        policy allowance=C:1  -> policy_applied rules=1
        +500ms
        tick                  ->
        stock C               -> on_hand=0 reserved=0 available=0
        policy allowance=C:0  -> policy_applied rules=1
        +101ms
        tick                  ->
        stock C               -> unknown
    "
    skus_of_closed_orders_are_forgotten: "
        policy skus_window_ms=10 settled_window_ms=10 -> policy_applied rules=1
        receive R-1 A:1       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        +10ms
        deliver O-1           -> delivered delivered
        +11ms
        tick                  ->
        stock A               -> on_hand=0 reserved=0 available=0
        +11ms
        tick                  ->
        stock A               -> unknown
        return O-1 X-1        -> refused order_closed it is delivered
    "
    without_a_window_no_sku_is_forgotten: "
        receive R-1 A:1       -> received
        adjust J-1 A:-1       -> adjusted A:1->0
        +9999d
        tick                  ->
        stock A               -> on_hand=0 reserved=0 available=0
    "
    a_repeat_of_a_forgotten_order_gives_no_state: "
        policy settled_orders_max=0 closed_window_ms=10 -> policy_applied rules=1
        receive R-1 A:9       -> received
        place O-1 A:1         -> confirmed
        ship O-1              -> shipped shipped
        +1ms
        pay O-1               -> refused order_closed it is shipped
        +11ms
        pay O-1               -> refused unknown_order
        ship O-1              -> refused unknown_order
        order O-1             -> unknown
    "
}
