//! What orders are sent, as the command line says it and as the parent hands it to its parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use weir::words::codec::Format;

/// The most SKUs: their names have six digits.
pub(crate) const SKUS_MAX: u32 = 1_000_000;
/// The most lines of an order, so that a batch of one order always fits into a message.
const LINES_MAX: u32 = 1_000;

/// The load. Every order follows from it and from the order's number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    /// How commands are written, and outcomes.
    pub(crate) format: Format,
    /// Orders in one message.
    pub(crate) batch: u32,
    pub(crate) lines: Lines,
    pub(crate) skus: u32,
    /// The exponent of Zipf's law for the SKUs' popularity; 0 for all alike.
    pub(crate) skew: f64,
    pub(crate) shards: u32,
    pub(crate) mix: Mix,
    /// Units of each SKU in each shard.
    pub(crate) stock: i64,
}

impl Load {
    /// The names of the shards, in the order in which batches go to them.
    pub(crate) fn shard_names(&self) -> Vec<String> {
        if self.shards == 1 {
            return vec!["main".to_owned()];
        }
        (1..=self.shards).map(|number| format!("s{number}")).collect()
    }

    /// The site that a shard's orders name. A single shard holds the default one, so they need not.
    pub(crate) fn site(&self, shard: usize) -> Option<String> {
        (self.shards > 1).then(|| format!("s{}", shard + 1))
    }

    /// The shard that a message of orders goes to.
    pub(crate) fn shard_of_message(&self, number: u64) -> usize {
        usize::try_from(number % u64::from(self.shards)).unwrap_or(0)
    }
}

/// How many lines an order has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Lines {
    /// From the first to the second, all alike.
    Between(u32, u32),
    /// As a real shop's: see [`weir::commands::generator::Shape`], which also says the quantities then.
    Shop,
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(least, most) if least == most => write!(f, "{least}"),
            Self::Between(least, most) => write!(f, "{least}-{most}"),
            Self::Shop => f.write_str("shop"),
        }
    }
}

impl FromStr for Lines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "shop" {
            return Ok(Self::Shop);
        }
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        match (least.parse(), most.parse()) {
            (Ok(least), Ok(most)) if 1 <= least && least <= most && most <= LINES_MAX => {
                Ok(Self::Between(least, most))
            }
            _ => Err(format!("a number from 1 to {LINES_MAX}, two of them as in 1-5, or shop")),
        }
    }
}

impl From<Lines> for String {
    fn from(lines: Lines) -> Self {
        lines.to_string()
    }
}

impl TryFrom<String> for Lines {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A step of an order's life after it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Pay,
    Cancel,
    Ship,
    Deliver,
    Return,
    Review,
}

impl Step {
    pub(crate) const ALL: [Self; 6] =
        [Self::Pay, Self::Cancel, Self::Ship, Self::Deliver, Self::Return, Self::Review];

    const fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Cancel => "cancel",
            Self::Ship => "ship",
            Self::Deliver => "deliver",
            Self::Return => "return",
            Self::Review => "review",
        }
    }

    /// How many orders are placed between an order and this step of it, at least.
    pub(crate) const fn after(self) -> u64 {
        match self {
            Self::Pay => 1_000,
            Self::Cancel | Self::Ship => 2_000,
            Self::Deliver => 4_000,
            Self::Return | Self::Review => 6_000,
        }
    }
}

/// How many orders in a hundred are followed by each step. Cancelled orders and shipped ones are different orders;
/// delivered ones are some of the shipped, returned ones some of the delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Mix {
    percent: [u8; Step::ALL.len()],
}

impl Mix {
    pub(crate) const fn is_empty(self) -> bool {
        let mut step = 0;
        while step < self.percent.len() {
            if self.percent[step] > 0 {
                return false;
            }
            step += 1;
        }
        true
    }

    pub(crate) const fn percent(self, step: Step) -> u8 {
        self.percent[step as usize]
    }

    /// Whether `roll`, any number, has this step follow.
    pub(crate) fn has(self, step: Step, roll: u64) -> bool {
        let fate = u8::try_from(roll % 100).unwrap_or(0);
        let other = u8::try_from((roll >> 32) % 100).unwrap_or(0);
        let cancelled = self.percent(Step::Cancel);
        match step {
            Step::Cancel => fate < cancelled,
            Step::Ship | Step::Deliver | Step::Return => {
                fate >= cancelled && fate - cancelled < self.percent(step)
            }
            Step::Pay | Step::Review => other < self.percent(step),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for step in Step::ALL {
            if self.percent(step) > 0 {
                write!(f, "{separator}{}={}", step.name(), self.percent(step))?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut mix = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, percent) = part.split_once('=').ok_or("steps and percents, as in pay=20,ship=10")?;
            let step = Step::ALL.into_iter().find(|step| step.name() == name);
            let step = step.ok_or("the steps are pay, cancel, ship, deliver, return and review")?;
            let percent = percent.parse().ok().filter(|percent| *percent <= 100);
            mix.percent[step as usize] = percent.ok_or("percents are 0 to 100")?;
        }
        let [cancel, ship] = [Step::Cancel, Step::Ship].map(|step| mix.percent(step));
        let [deliver, return_] = [Step::Deliver, Step::Return].map(|step| mix.percent(step));
        if cancel + ship > 100 {
            return Err("cancelled and shipped orders are different ones: at most 100 together".to_owned());
        }
        if deliver > ship || return_ > deliver {
            return Err("only shipped orders are delivered, and only delivered ones returned".to_owned());
        }
        Ok(mix)
    }
}

impl From<Mix> for String {
    fn from(mix: Mix) -> Self {
        mix.to_string()
    }
}

impl TryFrom<String> for Mix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The reference load on so many SKUs.
    pub(crate) fn load(skus: u32) -> Load {
        Load {
            seed: 1,
            format: Format::Bincode,
            batch: 256,
            lines: Lines::Between(2, 2),
            skus,
            skew: 0.0,
            shards: 1,
            mix: Mix::default(),
            stock: 1_000,
        }
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        for text in ["2", "1-5", "shop", "1000"] {
            assert_eq!(text.parse::<Lines>().unwrap().to_string(), text);
        }
        for bad in ["", "0", "5-1", "1001", "1-", "-1", "many"] {
            assert!(bad.parse::<Lines>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mix_is_read_as_it_is_written_and_makes_sense() {
        assert!("".parse::<Mix>().unwrap().is_empty());
        let mix: Mix = "ship=10,cancel=5,pay=20,deliver=9".parse().unwrap();
        assert_eq!(mix.to_string(), "pay=20,cancel=5,ship=10,deliver=9");
        for bad in ["pay", "pay=101", "pay=-1", "eat=5", "cancel=60,ship=50", "deliver=5", "ship=5,return=1"]
        {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_follow_as_often_as_asked_and_never_contradict() {
        let mix: Mix = "cancel=5,ship=10,deliver=4,pay=20".parse().unwrap();
        let rolls: Vec<u64> = (0..10_000).map(|number| weir::words::hash::mix(1, number)).collect();
        let count = |step| rolls.iter().filter(|roll| mix.has(step, **roll)).count();
        for (step, expected) in
            [(Step::Cancel, 500), (Step::Ship, 1_000), (Step::Deliver, 400), (Step::Pay, 2_000)]
        {
            assert!(count(step).abs_diff(expected) < expected / 5, "{step:?}: {}", count(step));
        }
        assert!(rolls.iter().all(|roll| !(mix.has(Step::Cancel, *roll) && mix.has(Step::Ship, *roll))));
        assert!(rolls.iter().all(|roll| !mix.has(Step::Deliver, *roll) || mix.has(Step::Ship, *roll)));
    }
}
