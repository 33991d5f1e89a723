//! Stock: what is there, what is going, what was refused for want of it.

use super::{panel, target};
use crate::process::monitoring::definition::{Board, Item, Kind, Row, Tile, Unit};

pub(super) const BOARD: Board = Board {
    uid: "weir-stock",
    title: "Weir / Stock",
    description: "What is there, what is going, and what is refused for want of it. For those who sell and stock.",
    tiles: &[
        Tile { title: "Refused for want of stock", alert: "WeirStockouts" },
        Tile { title: "SKUs gone within a day", alert: "WeirStockRunsOut" },
        Tile { title: "SKUs with nothing left", alert: "WeirShortSupply" },
        Tile { title: "News of goods refused", alert: "WeirFactsRefused" },
    ],
    rows: &[
        Row {
            question: "Do we lose sales for want of stock?",
            open: true,
            items: &[
                Item::Alert("WeirStockouts"),
                panel(
                    "Value lost to shortages, an hour",
                    "What the units would have brought that refused orders lacked, by currency.",
                    Kind::Lines,
                    Unit::Count,
                    &[target(
                        "sum by (currency) (increase(weir_shortage_lost_value_total{$}[1h]))",
                        "{{currency}}",
                    )],
                ),
            ],
        },
        Row {
            question: "What will be gone?",
            open: false,
            items: &[
                Item::Alert("WeirStockRunsOut"),
                Item::Alert("WeirShortSupply"),
                panel(
                    "SKUs that will run out, by when",
                    "Within a day, and within a week (with those of a day).",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (within) (weir_stock_running_out_skus{$})", "{{within}}")],
                ),
                panel(
                    "SKUs, and those with nothing available",
                    "Site by site. Available is on hand, less reserved, less safety stock.",
                    Kind::Lines,
                    Unit::Count,
                    &[
                        target("sum(weir_skus{$})", "known"),
                        target("sum(weir_skus_out_of_stock{$})", "nothing available"),
                    ],
                ),
            ],
        },
        Row {
            question: "What is held, and by whom?",
            open: false,
            items: &[
                panel(
                    "Units on hand and reserved",
                    "Over all SKUs. Reserved is held by open orders.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (kind) (weir_stock_units{$})", "{{kind}}")],
                ),
                panel(
                    "Units held by orders that are not paid",
                    "Of the orders that analytics follow.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum(weir_stock_unpaid_units{$})", "unpaid")],
                ),
                panel(
                    "Orders in the state",
                    "Open ones; of those, that wait for stock, and whose hold or wait ends by itself.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (stage) (weir_orders{stage=~\"open|waiting|timed\",$})", "{{stage}}")],
                ),
                panel(
                    "Shortfalls",
                    "Orders a second that lost their stock, since counts or shipments brought it below what was reserved.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[target(
                        "sum(rate(weir_outcomes_total{outcome=\"shortfall\",$}[$__rate_interval]))",
                        "shortfalls",
                    )],
                ),
            ],
        },
        Row {
            question: "Do the books agree with the shelves?",
            open: false,
            items: &[
                Item::Alert("WeirFactsRefused"),
                panel(
                    "Stock that came, was counted, adjusted, moved",
                    "Commands a second by kind.",
                    Kind::Lines,
                    Unit::PerSecond,
                    &[target(
                        "sum by (command) (rate(weir_commands_total{command=~\"receive|count|adjust|transfer|return\",$}[$__rate_interval]))",
                        "{{command}}",
                    )],
                ),
            ],
        },
    ],
};
