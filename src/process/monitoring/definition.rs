//! What a signal is, as data.

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Team {
    /// Those who run Weir.
    Platform,
    /// Those who sell: operations and customer care.
    Shop,
}

impl Team {
    /// As it stands in the label `team`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Shop => "shop",
        }
    }
}

/// How soon somebody must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Now, also at night.
    Page,
    /// In working hours.
    Ticket,
}

impl Severity {
    /// As it stands in the label `severity`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// From where on a quantity is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Above this.
    Above(f64),
    /// Below this.
    Below(f64),
}

impl Threshold {
    /// The figure alone.
    #[must_use]
    pub const fn value(self) -> f64 {
        match self {
            Self::Above(value) | Self::Below(value) => value,
        }
    }

    /// As an operator of `PromQL`.
    #[must_use]
    pub const fn operator(self) -> &'static str {
        match self {
            Self::Above(_) => ">",
            Self::Below(_) => "<",
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, without a unit of their own.
    Count,
    /// Things a second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// A share, 0 to 1.
    Share,
    /// Bytes.
    Bytes,
    /// A time, in seconds since 1970.
    Since,
    /// Many times of something.
    Times,
    /// Nothing that is counted.
    None,
}

impl Unit {
    /// The name that Grafana has for it.
    #[must_use]
    pub const fn grafana(self) -> &'static str {
        match self {
            Self::Count | Self::Times => "short",
            Self::PerSecond => "ops",
            Self::Seconds => "s",
            Self::Share => "percentunit",
            Self::Bytes => "bytes",
            Self::Since => "dateTimeFromNow",
            Self::None => "none",
        }
    }

    /// In words, for a runbook.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per second",
            Self::Seconds => "seconds",
            Self::Share => "share, 0 to 1",
            Self::Bytes => "bytes",
            Self::Since => "seconds since 1970",
            Self::Times => "times",
            Self::None => "no unit",
        }
    }
}

/// How an alert is tried out: series as `promtool` reads them, and what comes of them.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Names with labels, and values; one every 15 seconds, or every half hour where the alert looks weeks back.
    pub series: &'static [(&'static str, &'static str)],
    /// When it is looked whether it fires.
    pub at: &'static str,
    /// The labels that it fires with, beside those that all firings have.
    pub labels: &'static [(&'static str, &'static str)],
    /// The summary that it fires with. Empty where it is silent.
    pub summary: &'static str,
}

/// A command that an alert's runbook begins with, and what it prints when all is well.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// As it is typed.
    pub command: &'static str,
    /// What stands in its output when all is well, or, in a story, when it is not.
    pub prints: &'static str,
    /// What to look for.
    pub look_for: &'static str,
}

/// One signal: all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name, in alerts and of its runbook. Tiers of one alert share it.
    pub name: &'static str,
    /// Labels of its own, which tell tiers apart.
    pub labels: &'static [(&'static str, &'static str)],
    /// For whom.
    pub team: Team,
    /// How soon.
    pub severity: Severity,
    /// The title of its panel.
    pub title: &'static str,
    /// What is measured.
    pub quantity: &'static str,
    /// What a series of it is called in a panel.
    pub legend: &'static str,
    /// In which unit.
    pub unit: Unit,
    /// From where on it is bad.
    pub threshold: Threshold,
    /// What must hold beside it, as it follows the comparison (` and on (job) …`); `{T}` stands for the threshold.
    pub guard: &'static str,
    /// For how long it must be bad.
    pub hold: &'static str,
    /// For how long it stays, once it fired and is good again: against flapping. Empty for not at all.
    pub keep: &'static str,
    /// One sentence, with figures, for whoever is woken by it.
    pub summary: &'static str,
    /// What it means, for everybody.
    pub meaning: &'static str,
    /// What it does to customers, orders and money.
    pub impact: &'static str,
    /// Three commands to begin with.
    pub looks: [Look; 3],
    /// How to find the cause, step by step.
    pub diagnosis: &'static [&'static str],
    /// What to do about it.
    pub mitigation: &'static [&'static str],
    /// Whether its unit tests take half an hour a step, as it looks days or weeks back.
    pub weekly: bool,
    /// Where it fires.
    pub fires: Case,
    /// Where it does not, though something like it happens.
    pub silent: Case,
}

/// One query of a panel.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The expression.
    pub expr: &'static str,
    /// What its series are called.
    pub legend: &'static str,
}

/// How a panel shows its figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Lines over time.
    Lines,
    /// Areas that add up.
    Stack,
    /// Buckets over time.
    Heatmap,
    /// States over time: each value's name and colour.
    Timeline(&'static [(f64, &'static str, &'static str)]),
    /// One uncoloured figure.
    Figure,
    /// One row a series.
    Table,
}

/// A panel that no alert belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What it shows, and how to read it.
    pub description: &'static str,
    /// How.
    pub kind: Kind,
    /// Of what.
    pub unit: Unit,
    /// Its queries.
    pub targets: &'static [Target],
}

/// What stands in a row.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// The panel of an alert, by its name; its first tier.
    Alert(&'static str),
    /// Another panel.
    Panel(Panel),
}

/// A row of a board.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The question that it answers.
    pub question: &'static str,
    /// Whether it is open from the start.
    pub open: bool,
    /// What is in it.
    pub items: &'static [Item],
}

/// A coloured tile on top of a board: an alert's quantity, red where the alert's threshold is passed.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// Its title.
    pub title: &'static str,
    /// Which alert.
    pub alert: &'static str,
}

/// A dashboard.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its identity in Grafana, and its file's name.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// For whom, and what it answers.
    pub description: &'static str,
    /// At most six.
    pub tiles: &'static [Tile],
    /// Its rows, from what matters first.
    pub rows: &'static [Row],
}

/// For so long a rule goes on with what a worker last showed. A scrape that is missed ends no alert and begins none anew: at the
/// longest interval that the rules are meant for, 15 seconds, two may be missed.
pub const BRIDGED: &str = "45s";

/// An expression as rules have it.
#[must_use]
pub fn for_rules(expr: &str) -> String {
    let mut text = bridged(expr);
    for mark in ["$job", "$"] {
        text = text.replace(&format!("{{{mark}}}"), "").replace(&format!(",{mark}}}"), "}");
    }
    text
}

/// What a worker shows, taken from its last scrape that came, where the expression asks for its figure of now. `up` is Prometheus's
/// own, and is there also where a scrape fails.
fn bridged(expr: &str) -> String {
    let (mut text, mut rest) = (String::new(), expr);
    while let Some(end) = rest.find("$}").map(|place| place + 2) {
        let (head, behind) = rest.split_at(end);
        let open = head.rfind('{').unwrap_or_default();
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let name = head[..open].rfind(|letter| !is_name(letter)).map_or(0, |place| place + 1);
        text.push_str(&head[..name]);
        if behind.starts_with('[') || &head[name..open] == "up" {
            text.push_str(&head[name..]);
        } else {
            text.extend(["last_over_time(", &head[name..], "[", BRIDGED, "])"]);
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// An expression as dashboards have it.
#[must_use]
pub fn for_dashboards(expr: &str) -> String {
    let mut text = expr.to_owned();
    for (mark, chosen) in [("$job", "job=~\"$job\""), ("$", "job=~\"$job\",instance=~\"$instance\"")] {
        text = text
            .replace(&format!("{{{mark}}}"), &format!("{{{chosen}}}"))
            .replace(&format!(",{mark}}}"), &format!(",{chosen}}}"));
    }
    text
}

impl Alert {
    /// The whole condition, as a rule has it.
    #[must_use]
    pub fn condition(&self) -> String {
        let value = self.threshold.value().to_string();
        let guard = self.guard.replace("{T}", &value);
        let guard = if guard.is_empty() { guard } else { format!("\n{guard}") };
        for_rules(&format!("{} {} {value}{guard}", self.quantity, self.threshold.operator()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_expression_serves_rules_and_dashboards() {
        let expr = "a{$} + b{x=\"1\",$}[5m] + c:d:e{$job} > max(f_g{y=~\"}h\",$} == 1) * up{$}";
        assert_eq!(
            for_rules(expr),
            "last_over_time(a[45s]) + b{x=\"1\"}[5m] + c:d:e > max(last_over_time(f_g{y=~\"}h\"}[45s]) == 1) * up"
        );
        let own = "job=~\"$job\",instance=~\"$instance\"";
        assert_eq!(
            for_dashboards(expr),
            format!(
                "a{{{own}}} + b{{x=\"1\",{own}}}[5m] + c:d:e{{job=~\"$job\"}} > max(f_g{{y=~\"}}h\",{own}}} == 1) * up{{{own}}}"
            )
        );
    }
}
