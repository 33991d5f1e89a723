//! What is for the shop: operations, stock keeping, customer care. None of it wakes anybody by default.

use super::looks;
use crate::process::monitoring::definition::{Alert, Case, Severity, Team, Threshold, Unit};

pub(super) const ALL: [Alert; 8] = [
    Alert {
        name: "WeirFactsRefused",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "News of goods refused within an hour",
        quantity: "sum by (job, shard, reason) (increase(weir_facts_refused_total{$}[1h]))",
        legend: "{{shard}}: {{reason}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "10m",
        summary: "{{ $value | whole }} messages about goods that moved were refused: {{ $labels.reason }}.",
        meaning: "A shipment, delivery, return, receipt or count was refused, though the goods have moved. The books now say something else than the shelves.",
        impact: "Stock is promised that is not there, or kept back though it is.",
        looks: [looks::FACTS, looks::OUTCOMES, looks::STATUS],
        diagnosis: &[
            "Which? The console's \"Recent refusals\" names the latest; the outcome stream (`WEIR_OUTCOMES_main` of the shard main) has all: `refused` with this reason.",
            "`unknown_order`, `not_in_order`: another system's ids differ from those that orders were placed with.",
            "`unknown_site`: the policy does not list the site (`weir policy show`).",
        ],
        mitigation: &[
            "Send it again under a new id, corrected.",
            "Count what is on the shelf: `weir stock load FILE.csv --count --id ID`.",
        ],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_facts_refused_total{job=\"weir\",instance=\"a\",shard=\"main\",reason=\"unknown_order\"}",
                "0x4 7x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main"), ("reason", "unknown_order")],
            summary: "7 messages about goods that moved were refused: unknown_order.",
        },
        silent: Case {
            series: &[(
                "weir_facts_refused_total{job=\"weir\",instance=\"a\",shard=\"main\",reason=\"unknown_order\"}",
                "7x24",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirPaymentsRefused",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "Payments refused within an hour",
        quantity: "sum by (job, shard, reason) (increase(weir_payments_refused_total{$}[1h]))",
        legend: "{{shard}}: {{reason}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "0s",
        keep: "10m",
        summary: "{{ $value | whole }} payments were refused, {{ $labels.reason }}: that money must be given back.",
        meaning: "Money came for an order that cannot take it: cancelled, expired, paid already, or unknown.",
        impact: "Customers have paid for what they will not get.",
        looks: [looks::PAYMENTS, looks::OUTCOMES, looks::STATUS],
        diagnosis: &[
            "Which? The console's \"Recent refusals\" names the latest; the outcome stream (`WEIR_OUTCOMES_main` of the shard main) has all, with order and payment.",
            "`weir orders ORDER` shows what had become of the order before the money came.",
            "`order_expired`: holds end before payments come. Is the payment provider slow, or are holds too short (`weir policy show`)?",
        ],
        mitigation: &["Give the money back.", "Holds are too short: `weir policy apply` with longer ones."],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_payments_refused_total{job=\"weir\",instance=\"a\",shard=\"main\",reason=\"order_expired\"}",
                "0x4 2x20",
            )],
            at: "3m",
            labels: &[("job", "weir"), ("shard", "main"), ("reason", "order_expired")],
            summary: "2 payments were refused, order_expired: that money must be given back.",
        },
        silent: Case {
            series: &[(
                "weir_payments_refused_total{job=\"weir\",instance=\"a\",shard=\"main\",reason=\"order_expired\"}",
                "2x24",
            )],
            at: "3m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirStockouts",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "Orders of half an hour refused for want of stock",
        quantity: "sum by (job) (increase(weir_outcomes_total{outcome=\"refused\",reason=\"insufficient_stock\",$}[30m])) \
                   / on (job) (sum by (job) (increase(weir_commands_total{command=\"place\",$}[30m])) > 0)",
        legend: "{{job}}",
        unit: Unit::Share,
        threshold: Threshold::Above(0.05),
        guard: "and on (job) sum by (job) (increase(weir_outcomes_total{outcome=\"refused\",reason=\"insufficient_stock\",$}[30m])) >= 20",
        hold: "15m",
        keep: "15m",
        summary: "{{ humanizePercentage $value }} of orders are refused for want of stock\
                  {{ with printf \"sum(increase(weir_outcomes_total{job=%q,outcome='refused',reason='insufficient_stock'}[30m]))\" $labels.job | query }}\
                  : {{ . | first | value | whole }} orders in half an hour{{ end }}\
                  {{ range printf \"sum by (currency) (increase(weir_shortage_lost_value_total{job=%q}[30m]))\" $labels.job | query }}\
                  , worth {{ .Value | whole }} {{ .Labels.currency }}{{ end }}.",
        meaning: "More than one order in twenty is refused because something is not there.",
        impact: "Sales are lost. \"Weir / Stock\" has their value.",
        looks: [looks::SHORT, looks::REPORT, looks::POLICY],
        diagnosis: &[
            "Which SKUs? `weir report` has what refused orders lacked, with its value.",
            "Is stock held by orders that nobody pays? \"Weir / Stock\" shows units held and unpaid.",
            "Did a receipt fail to come in? See WeirFactsRefused.",
        ],
        mitigation: &[
            "Take what is gone off the shop's pages, or let orders wait (`on_shortage: backorder`).",
            "Receive what has arrived: `weir stock load FILE.csv --receive --id DELIVERY`.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                (
                    "weir_outcomes_total{job=\"weir\",instance=\"a\",shard=\"main\",outcome=\"refused\",reason=\"insufficient_stock\"}",
                    "0+10x200",
                ),
                (
                    "weir_commands_total{job=\"weir\",instance=\"a\",shard=\"main\",command=\"place\"}",
                    "0+100x200",
                ),
                (
                    "weir_shortage_lost_value_total{job=\"weir\",instance=\"a\",shard=\"main\",currency=\"EUR\"}",
                    "0+250x200",
                ),
            ],
            at: "40m",
            labels: &[("job", "weir")],
            summary: "10% of orders are refused for want of stock: 1,200 orders in half an hour, worth 30,000 EUR.",
        },
        silent: Case {
            series: &[
                (
                    "weir_outcomes_total{job=\"weir\",instance=\"a\",shard=\"main\",outcome=\"refused\",reason=\"insufficient_stock\"}",
                    "0x150 1x50",
                ),
                (
                    "weir_commands_total{job=\"weir\",instance=\"a\",shard=\"main\",command=\"place\"}",
                    "0x150 1x50",
                ),
            ],
            at: "45m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirStockRunsOut",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "SKUs that are expected to run out within a day",
        quantity: "max by (job, shard) (weir_stock_running_out_skus{within=\"day\",$})",
        legend: "{{shard}}",
        unit: Unit::Count,
        threshold: Threshold::Above(0.0),
        guard: "",
        hold: "15m",
        keep: "1h",
        summary: "{{ $value | whole }} SKUs of shard {{ $labels.shard }} are expected to run out within a day.",
        meaning: "At the rate at which they sell, their stock ends within a day, unless more comes.",
        impact: "None yet. Then orders for them are refused, or wait.",
        looks: [looks::RUNNING_OUT, looks::SHORT, looks::POLICY],
        diagnosis: &[
            "The console's to-do list has them, with what is left, how fast it goes, and how much to order.",
            "Is a receipt on its way, or was it refused? See WeirFactsRefused.",
            "Is stock held by orders that nobody pays? \"Weir / Stock\" shows units held and unpaid.",
        ],
        mitigation: &["Order more, transfer from another site, or take them off the shop's pages."],
        weekly: false,
        fires: Case {
            series: &[(
                "weir_stock_running_out_skus{job=\"weir\",instance=\"a\",shard=\"main\",within=\"day\"}",
                "3x100",
            )],
            at: "20m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "3 SKUs of shard main are expected to run out within a day.",
        },
        silent: Case {
            series: &[(
                "weir_stock_running_out_skus{job=\"weir\",instance=\"a\",shard=\"main\",within=\"week\"}",
                "3x100",
            )],
            at: "20m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirCancellationSurge",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "How many times as many cancellations as usual, while a surge stands",
        quantity: "max by (job, shard, series, label) (weir_cancellation_surge_ratio{$})",
        legend: "{{shard}}: {{series}} {{label}}",
        unit: Unit::Times,
        threshold: Threshold::Above(1.0),
        guard: "",
        hold: "0s",
        keep: "15m",
        summary: "Cancellations are {{ printf \"%.1f\" $value }} times as frequent as usual, {{ if eq $labels.series \"all\" }}over all orders\
                  {{ with printf \"sum(increase(weir_cancelled_orders_total{job=%q,shard=%q}[1h]))\" $labels.job $labels.shard | query }}\
                  : {{ . | first | value | whole }} orders within an hour{{ end }}{{ else }}{{ $labels.series }} {{ $labels.label }}\
                  {{ with printf \"sum(increase(weir_%s_cancelled_orders_total{job=%q,shard=%q,%s=%q}[1h]))\" $labels.series $labels.job $labels.shard $labels.series $labels.label | query }}\
                  : {{ . | first | value | whole }} orders within an hour{{ end }}{{ end }}\
                  {{ range printf \"sum by (currency) (increase(weir_cancelled_value_total{job=%q,shard=%q}[1h])) > 0\" $labels.job $labels.shard | query }}\
                  ; all cancellations together {{ .Value | whole }} {{ .Labels.currency }}{{ end }}.",
        meaning: "A test for changes found that far more orders are cancelled or expire than is usual: of all orders, of a site, or of a carrier. It is wrong \
                  about once a week for each of them, and silent about a shop, site or carrier until it knows what is usual there.",
        impact: "Revenue is lost, and goods are held for nothing. \"Weir / Delay and cancellation\" has the value.",
        looks: [looks::SURGES, looks::REPORT, looks::OUTCOMES],
        diagnosis: &[
            "The signal names what drives it. \"Weir / Delay and cancellation\" shows reason and party; `expired` alone: payments do not come.",
            "A site or a carrier: is it late? Customers who wait cancel.",
            "By the shop: is there a recall, or a wrong price?",
        ],
        mitigation: &[
            "Tell customers who wait before they cancel: the console's to-do list has those at risk.",
            "Payments do not come: see the payment provider; longer holds by `weir policy apply`.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                (
                    "weir_cancellation_surge_ratio{job=\"weir\",instance=\"a\",shard=\"main\",series=\"carrier\",label=\"dhl\"}",
                    "_x4 3.4x40",
                ),
                (
                    "weir_carrier_cancelled_orders_total{job=\"weir\",instance=\"a\",shard=\"main\",carrier=\"dhl\"}",
                    "0+5x60",
                ),
                (
                    "weir_cancelled_value_total{job=\"weir\",instance=\"a\",shard=\"main\",currency=\"EUR\"}",
                    "0+90x60",
                ),
            ],
            at: "10m",
            labels: &[("job", "weir"), ("shard", "main"), ("series", "carrier"), ("label", "dhl")],
            summary: "Cancellations are 3.4 times as frequent as usual, carrier dhl: 200 orders within an hour; all cancellations together 3,600 EUR.",
        },
        silent: Case {
            series: &[(
                "weir_cancelled_orders_total{job=\"weir\",instance=\"a\",shard=\"main\",reason=\"late\",party=\"customer\"}",
                "0+5x60",
            )],
            at: "10m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirDelayRiskRising",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "Share of open orders that is expected to arrive late",
        quantity: "max by (job, shard) (weir_delay_expected_late_ratio{$})",
        legend: "{{shard}}",
        unit: Unit::Share,
        threshold: Threshold::Above(0.2),
        guard: "and on (job, shard) max by (job, shard) (weir_delay_orders_at_risk{$}) >= 20",
        hold: "30m",
        keep: "30m",
        summary: "{{ humanizePercentage $value }} of \
                  {{ with printf \"sum(max by (shard, risk) (weir_delay_open_orders{job=%q,shard=%q}))\" $labels.job $labels.shard | query }}\
                  {{ . | first | value | whole }} {{ end }}open orders with a promise, of shard {{ $labels.shard }}, are expected to arrive late\
                  {{ with printf \"max(weir_delay_orders_at_risk{job=%q,shard=%q})\" $labels.job $labels.shard | query }}\
                  ; {{ . | first | value | whole }} are warned of{{ end }}.",
        meaning: "More than a fifth of the open orders with a promise will probably miss it, and at least 20 are warned of one by one.",
        impact: "Customers get what they bought later than promised; some cancel.",
        looks: [looks::AT_RISK, looks::REPORT, looks::STATUS],
        diagnosis: &[
            "\"Weir / Service quality\": which carrier or site has become slow?",
            "\"Weir / Delay and cancellation\": does the backlog grow, paid and not shipped?",
            "Is the prediction honest? See WeirPredictionOff.",
        ],
        mitigation: &[
            "Ship those at risk first: the console's to-do list has them by promise.",
            "Give new orders to another carrier, or promise later dates.",
            "Tell customers before they ask.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_delay_expected_late_ratio{job=\"weir\",instance=\"a\",shard=\"main\"}", "0.31x200"),
                ("weir_delay_orders_at_risk{job=\"weir\",instance=\"a\",shard=\"main\"}", "412x200"),
                (
                    "weir_delay_open_orders{job=\"weir\",instance=\"a\",shard=\"main\",risk=\"0.0\"}",
                    "900x200",
                ),
                (
                    "weir_delay_open_orders{job=\"weir\",instance=\"a\",shard=\"main\",risk=\"0.6\"}",
                    "430x200",
                ),
            ],
            at: "40m",
            labels: &[("job", "weir"), ("shard", "main")],
            summary: "31% of 1,330 open orders with a promise, of shard main, are expected to arrive late; 412 are warned of.",
        },
        silent: Case {
            series: &[
                ("weir_delay_expected_late_ratio{job=\"weir\",instance=\"a\",shard=\"main\"}", "0.31x200"),
                ("weir_delay_orders_at_risk{job=\"weir\",instance=\"a\",shard=\"main\"}", "2x200"),
            ],
            at: "40m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirPredictionOff",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "By how much probabilities of being late are off",
        quantity: "max by (job, shard, moment) (weir_delay_calibration_error_ratio{$})",
        legend: "{{shard}}: {{moment}}",
        unit: Unit::Share,
        threshold: Threshold::Above(0.1),
        guard: "and on (job, shard, moment) max by (job, shard, moment) (weir_delay_judged{$}) >= 1000",
        hold: "1h",
        keep: "",
        summary: "Probabilities of being late, given when orders are {{ $labels.moment }}, are off by {{ humanizePercentage $value }} on average.",
        meaning: "What was said and what happened differ: of orders said to be late with 30%, say, 45% were. On public data the error is below 2%.",
        impact: "Warnings come too often or too seldom.",
        looks: [looks::HONESTY, looks::REPORT, looks::STATUS],
        diagnosis: &[
            "\"Weir / Delay and cancellation\": said against happened, by tenths.",
            "Has something changed at once for all: a strike, a holiday, other promises? It learns that within weeks.",
            "Do deliveries come in at all, and with the right `occurred_at`?",
        ],
        mitigation: &[
            "Judge it on your own past: `weir eval`.",
            "Until it is honest again, take warnings by their order, not by their probability.",
        ],
        weekly: false,
        fires: Case {
            series: &[
                (
                    "weir_delay_calibration_error_ratio{job=\"weir\",instance=\"a\",shard=\"main\",moment=\"paid\"}",
                    "0.15x300",
                ),
                ("weir_delay_judged{job=\"weir\",instance=\"a\",shard=\"main\",moment=\"paid\"}", "5000x300"),
            ],
            at: "70m",
            labels: &[("job", "weir"), ("shard", "main"), ("moment", "paid")],
            summary: "Probabilities of being late, given when orders are paid, are off by 15% on average.",
        },
        // Too early to tell.
        silent: Case {
            series: &[
                (
                    "weir_delay_calibration_error_ratio{job=\"weir\",instance=\"a\",shard=\"main\",moment=\"paid\"}",
                    "0.15x300",
                ),
                ("weir_delay_judged{job=\"weir\",instance=\"a\",shard=\"main\",moment=\"paid\"}", "50x300"),
            ],
            at: "70m",
            labels: &[],
            summary: "",
        },
    },
    Alert {
        name: "WeirShortSupply",
        labels: &[],
        team: Team::Shop,
        severity: Severity::Ticket,
        title: "Share of SKUs with nothing available",
        quantity: "sum by (job) (max by (job, shard) (weir_skus_out_of_stock{$})) / on (job) (sum by (job) (max by (job, shard) (weir_skus{$})) > 0)",
        legend: "{{job}}",
        unit: Unit::Share,
        threshold: Threshold::Above(0.2),
        guard: "",
        hold: "30m",
        keep: "",
        summary: "{{ humanizePercentage $value }} of all SKUs have nothing available.",
        meaning: "More than a fifth of what the shop has ever stocked, site by site, is out.",
        impact: "Customers find little to buy.",
        looks: [looks::SHORT, looks::POLICY, looks::STATUS],
        diagnosis: &[
            "Is it new? \"Weir / Stock\" shows it over time. A range that changes leaves old SKUs at zero for good.",
            "Did safety stock change (`weir policy show`)? It makes stock unavailable that is there.",
        ],
        mitigation: &["Receive what has arrived.", "A range that changes: raise this threshold."],
        weekly: false,
        fires: Case {
            series: &[
                ("weir_skus_out_of_stock{job=\"weir\",instance=\"a\",shard=\"main\"}", "300x200"),
                ("weir_skus{job=\"weir\",instance=\"a\",shard=\"main\"}", "1000x200"),
                // A standby shows nothing.
                ("weir_skus{job=\"weir\",instance=\"b\",shard=\"main\"}", "0x200"),
            ],
            at: "40m",
            labels: &[("job", "weir")],
            summary: "30% of all SKUs have nothing available.",
        },
        silent: Case {
            series: &[
                ("weir_skus_out_of_stock{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x200"),
                ("weir_skus{job=\"weir\",instance=\"a\",shard=\"main\"}", "0x200"),
            ],
            at: "40m",
            labels: &[],
            summary: "",
        },
    },
];
