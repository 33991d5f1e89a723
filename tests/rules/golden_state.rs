//! A state of a few KiB in which every table holds something, made by a fixed log.

use weir::words::codec::{Format, FrameWriter};

use crate::script::{self, Seen};
use crate::support::Shard;

/// See [`script`], without what is expected.
const LOG: &str = "
    policy sites=main,west,gone quantity_max=1000000000 closed_orders_max=6 facts_max=3
    [ receive R-1 A:70000 B:9 C:5 D:1000000000 E:1 | receive R-2 A:4 B:2 site=west | receive R-3 A:4 B:300 D:1000000000 ]
    [ receive R-4 Ä-日本-a-name-as-long-as-one-may-be-which-is-64-bytes-with-th:7 | receive R-5 G:1 site=gone ]
    [ count C-1 B:20 | count C-2 G:0 site=gone | count C-3 E:0 ]
    policy sites=main,west safety_stock=1 safety=A:0,west/B:2
    +1500ms
    [ place L-1 A:1 B:1 C:1 D:70000 | place L-2 D:2 | place an-order-whose-id-is-as-long-as-one-may-be-which-is-64-bytes-too D:251 ]
    [ pay L-1 attempt=T-1 | pay_failed L-2 T-2 | ship L-1 A:1 id=S-1 | review L-1 5 ]
    [ deliver L-2 D:1 | return L-2 X-1 D:1+ ]
    [ place K-1 D:2 | place K-2 D:3 C:1 | place K-3 D:9 | place K-4 A:99 B:1 partial site=west ]
    [ ship K-1 | ship K-2 id=S-2 ]
    +20ms
    [ deliver K-1 id=S-1 | return K-2 X-2 D:3 | cancel K-3 | place K-1 D:2 | place L-1 A:7 ]
    +20ms
    [ return K-2 X-3 C:1+ | ship K-3 D:4 ]
    [ place F-1 C:99 | place F-2 Z:1 | place F-3 C:98 | place F-4 C:97 | place F-5 Z:96 ]
    policy pay_within_ms=5000
    [ place H-1 D:1 | place H-2 D:250 | place H-3 D:1 E:1 partial ]
    pay H-2
    +4990ms
    [ place H-4 D:1 | place H-5 B:1 D:1 ]
    cancel H-5 B:1
    +10ms
    tick
    policy pay_within_ms=0
    [ place W-1 C:9 backorder | place W-2 E:1 C:2 backorder | place W-3 B:1 C:300 E:2 D:5 backorder | place W-4 C:9 A:1 backorder ]
    [ cancel W-1 C:1 | pay W-4 ]
    [ place K-5 D:1 | place K-6 D:1 E:1 partial | place K-7 D:1 ]
    json {}
";

/// Orders enough that one record cannot name them all.
const SEARCHED: u32 = 260;

/// The state, and the outcomes on the way there as a frame. At its end a search is under way, and a SKU's queue may move.
pub(crate) fn golden() -> (Shard, Vec<u8>) {
    let orders: Vec<_> = (0..SEARCHED).map(|number| format!("place {number} A:1")).collect();
    let last = [
        &format!("[ {} ]", orders.join(" | ")),
        "policy settled_orders_max=4",
        "[ ship K-5 | ship K-7 | ship K-6 ]",
        "+5ms",
        "deliver K-6",
        "count C-4 A:1 C:14",
    ];
    let mut shard = Shard::new();
    shard.clock_ms = 1_790_000_000_000;
    let mut outcomes = FrameWriter::new();
    for line in LOG.lines().chain(last).map(str::trim).filter(|line| !line.is_empty()) {
        shard.output.clear();
        script::step(&mut shard, Format::Bincode, line, &mut Seen::default());
        outcomes.push_elements(shard.output.bytes(), shard.output.len());
        shard.inventory.check_books().unwrap();
    }
    (shard, outcomes.finish())
}
