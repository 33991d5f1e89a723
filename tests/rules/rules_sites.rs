//! Rules of the sites that an order comes from.

use crate::script::rules;

rules! {
    the_first_site_that_has_all: "
        policy sites=main,west,east -> policy_applied rules=1
        receive R-1 A:5 B:1   -> received
        receive R-2 A:5 B:5 site=west -> received
        receive R-3 A:9 B:9 site=east -> received
        place O-1 A:1 B:1 sites=main,west -> confirmed
        place O-2 A:1 B:1 sites=main,west,east -> confirmed A:1@west B:1@west
        place O-2 A:1 B:1 sites=main,west,east -> confirmed A:1@west B:1@west again first=6 now confirmed
        place O-2 A:1 B:1 sites=west,main,east -> refused id_conflict it is confirmed
        place O-2 A:1 B:1     -> refused id_conflict it is confirmed
        place O-3 B:5 A:2 sites=main,west,east -> confirmed B:5@east A:2@east
        place O-4 A:9 B:2 sites=main,west -> refused insufficient_stock short A:9/4
        place O-5 A:1 sites=west -> confirmed
        place O-6 A:1 site=main sites=main -> refused invalid_value
        place O-6 A:1 sites=main,main -> refused invalid_value
        place O-6 A:1 sites=main,north -> refused unknown_site
        place O-6 A:1 sites=a,b,c,d,e,f,g,h,i -> refused invalid_value
        place O-6 A:1 sites=a,b,c,d,e,f,g,h -> refused unknown_site
    "
    line_by_line_where_no_site_has_all: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:5 B:1   -> received
        receive R-2 A:9 B:4 C:1 site=west -> received
        place O-1 B:3 A:4 C:1 sites=main,west -> confirmed B:3@west A:4@west C:1@west
        cancel O-1            -> cancelled cancelled
        place O-2 A:5 B:1 sites=west,main -> confirmed
        place O-3 A:5 B:2 sites=main,west -> confirmed A:5@main B:2@west
        order O-3             -> confirmed
        ship O-3              -> shipped shipped
        stock A               -> on_hand=0 reserved=0 available=0
        stock B west          -> on_hand=2 reserved=1 available=1
        place O-4 A:2 Z:1 sites=main,west -> refused unknown_sku short Z:1/0
    "
    a_partial_order_takes_from_the_site_that_has_most: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:2 B:2   -> received
        receive R-2 A:3 B:2 site=west -> received
        place O-1 A:9 B:9 sites=main,west partial -> confirmed A:3@west B:2@main short A:9/3 B:9/2
        place O-1 A:9 B:9 sites=main,west partial -> confirmed A:3@west B:2@main short A:9/3 B:9/2 again first=4 now confirmed
        stock A               -> on_hand=2 reserved=0 available=2
        place O-2 B:9 Z:1 sites=main,west partial -> confirmed B:2@west short B:9/2 Z:1/0
    "
    a_released_order_tells_the_sites_of_what_it_gets: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:1       -> received
        count C-1 A:0 B:0     -> counted A:1->0
        place O-1 A:2 B:3 sites=west,main backorder -> waiting for A short A:2/0 B:3/0
        cancel O-1 A:2        -> cancelled A:2 waiting
        ship O-1 B:1          -> shipped B:1 waiting was_waiting below_zero
        receive R-2 B:3       -> received; confirmed O-1 released B:2@main
    "
    a_backorder_waits_at_the_first_site_that_knows_the_sku: "
        policy sites=main,west -> policy_applied rules=1
        receive R-1 A:1       -> received
        receive R-2 A:1 B:1 site=west -> received
        place O-1 A:2 B:2 sites=main,west backorder -> waiting for A short A:2/1 B:2/1
        receive R-3 A:9 site=west -> received
        receive R-4 A:1       -> received
        receive R-5 B:1 site=west -> received; confirmed O-1 released A:2@main B:2@west
        place O-1 A:2 B:2 sites=main,west backorder -> waiting again first=4 now confirmed
        stock A               -> on_hand=2 reserved=2 available=0
    "
}
