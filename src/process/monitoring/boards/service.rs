//! Service quality: carriers, sites, reviews.

use super::{panel, target};
use crate::process::monitoring::definition::{Board, Kind, Row, Unit};

pub(super) const BOARD: Board = Board {
    uid: "weir-service",
    title: "Weir / Service quality",
    description: "How carriers and sites keep their promises, and what customers say of it. For operations and customer care. All of it over the running week and \
                  the four before.",
    // Nothing here has an alert of its own, so nothing is coloured.
    tiles: &[],
    rows: &[
        Row {
            question: "Do carriers keep their promises?",
            open: true,
            items: &[
                panel(
                    "On time, by carrier",
                    "The share of orders with a promise that arrived in time.",
                    Kind::Lines,
                    Unit::Share,
                    &[target("min by (carrier) (weir_carrier_on_time_ratio{$})", "{{carrier}}")],
                ),
                panel(
                    "Time in transit, by carrier",
                    "From hand-over to arrival: half of the orders, and nine of ten.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target(
                        "max by (carrier, quantile) (weir_carrier_transit_seconds{$})",
                        "{{carrier}} {{quantile}}",
                    )],
                ),
                panel(
                    "Orders that arrived, by carrier",
                    "How much each figure stands on.",
                    Kind::Table,
                    Unit::Count,
                    &[target("sum by (carrier) (weir_carrier_delivered_orders{$})", "{{carrier}}")],
                ),
                panel(
                    "Paid and not shipped, by carrier",
                    "What is still to be handed over.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (carrier) (weir_carrier_backlog_orders{$})", "{{carrier}}")],
                ),
            ],
        },
        Row {
            question: "Do sites hand over in time?",
            open: false,
            items: &[
                panel(
                    "On time, by site",
                    "The share of orders with a promise that arrived in time.",
                    Kind::Lines,
                    Unit::Share,
                    &[target("min by (site) (weir_site_on_time_ratio{$})", "{{site}}")],
                ),
                panel(
                    "How long whoever pays now waits to be shipped",
                    "At the rate of the last days. Empty where nothing is shipped.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target("max by (site) (weir_site_backlog_wait_seconds{$})", "{{site}}")],
                ),
                panel(
                    "When nothing waits any more",
                    "At this rate. Empty where the backlog does not shrink.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target("max by (site) (weir_site_backlog_drained_seconds{$})", "{{site}}")],
                ),
                panel(
                    "Time in transit, by site",
                    "From hand-over to arrival: half of the orders, and nine of ten.",
                    Kind::Lines,
                    Unit::Seconds,
                    &[target(
                        "max by (site, quantile) (weir_site_transit_seconds{$})",
                        "{{site}} {{quantile}}",
                    )],
                ),
            ],
        },
        Row {
            question: "What do customers say?",
            open: false,
            items: &[
                panel(
                    "Stars, by carrier",
                    "The mean of reviews, 1 to 5.",
                    Kind::Lines,
                    Unit::None,
                    &[target("min by (carrier) (weir_carrier_review_stars{$})", "{{carrier}}")],
                ),
                panel(
                    "Complaints, by topic",
                    "Reviews of two stars or fewer, within a day.",
                    Kind::Stack,
                    Unit::Count,
                    &[target("sum by (topic) (increase(weir_review_complaints_total{$}[1d]))", "{{topic}}")],
                ),
                panel(
                    "Reviews of orders that were late",
                    "Within a day, by topic: lateness that customers write of.",
                    Kind::Lines,
                    Unit::Count,
                    &[target("sum by (topic) (increase(weir_review_late_orders_total{$}[1d]))", "{{topic}}")],
                ),
                panel(
                    "Stars, by site",
                    "The mean of reviews, 1 to 5.",
                    Kind::Lines,
                    Unit::None,
                    &[target("min by (site) (weir_site_review_stars{$})", "{{site}}")],
                ),
            ],
        },
    ],
};
