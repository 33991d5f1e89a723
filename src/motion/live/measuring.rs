//! Measuring a message's records: the model takes them in, and how long new orders took is told.

use crate::edges::telemetry::ShardTelemetry;
use crate::folds::analytics::{Analytics, Findings, Record};
use crate::motion::rules::observing::Listener;
use crate::words::codec::Plain;
use crate::words::command::Command;
use crate::words::timestamp::Timestamp;

/// Measures the records of a message.
pub(super) struct Measures<'m> {
    model: &'m mut Analytics,
    findings: &'m mut Findings,
    /// Where new orders of this worker's own are told.
    telemetry: Option<&'m ShardTelemetry>,
    wall_ns: i64,
    count: u64,
    /// The run of orders submitted at one time that is not told yet: the time, and how many.
    alike: Option<(Timestamp, u64)>,
}

impl<'m> Measures<'m> {
    pub(super) const fn new(
        model: &'m mut Analytics,
        findings: &'m mut Findings,
        telemetry: Option<&'m ShardTelemetry>,
        wall_ns: i64,
    ) -> Self {
        Self { model, findings, telemetry, wall_ns, count: 0, alike: None }
    }

    /// How many records there were.
    pub(super) fn end(mut self) -> u64 {
        self.tell_alike();
        self.count
    }

    fn took(&mut self, submitted_at: Option<Timestamp>) {
        self.count += 1;
        let Some(at) = submitted_at else { return };
        match &mut self.alike {
            Some((last, count)) if *last == at => *count += 1,
            _ => {
                self.tell_alike();
                self.alike = Some((at, 1));
            }
        }
    }

    fn tell_alike(&mut self) {
        if let (Some(telemetry), Some((submitted_at, count))) = (self.telemetry, self.alike.take()) {
            let took_us = self.wall_ns / 1_000 - submitted_at.millis().saturating_mul(1_000);
            telemetry.submitted(self.wall_ns / 1_000_000, took_us, count);
        }
    }
}

impl Listener for Measures<'_> {
    fn counts(&mut self, plain: &Plain<'_>, at: Timestamp) -> bool {
        let counts = self.model.counts(plain, at, self.findings);
        if counts {
            self.took(plain.submitted_at);
        }
        counts
    }

    fn takes(&mut self, _: u32, record: &Record<'_, '_>) {
        self.took(match record.command {
            Some(Command::Place(place)) => place.submitted_at,
            _ => None,
        });
        self.model.observe(record, self.findings);
    }
}
