//! `weir policy`: what the fold is told.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::Ended;
use super::connect::{Deployment, folded, one_shard};
use super::output::{self, say};
use super::settings::Common;
use super::submit::{check_rules, submit_to};
use crate::folds::inventory::Inventory;
use crate::words::command::Command as LogCommand;
use crate::words::policy::{Policy, PolicyChange, SITE_DEFAULT, SafetyStock};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the policy in force, as TOML; the log is folded for it, on from the newest snapshot
    Show(Target),
    /// Send what a TOML file has differently from the policy in force; what the file leaves out stays
    Apply(Apply),
}

#[derive(Debug, clap::Args)]
pub(super) struct Target {
    #[command(flatten)]
    common: Common,
    /// Which shard [default: the only one]
    #[arg(long)]
    shard: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    #[command(flatten)]
    target: Target,
    /// The file
    file: PathBuf,
    /// How long to wait for the outcome
    #[arg(long, default_value = "10s", value_parser = super::fields::duration)]
    wait: Duration,
}

/// The policy in force as a file has it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    policy: Policy,
    sites: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    safety_stock_of: Vec<SafetyStock<'static>>,
}

pub(super) async fn policy(command: Command) -> anyhow::Result<Ended> {
    match command {
        Command::Show(target) => {
            let inventory = in_force(&target).await?;
            let shown = Shown {
                policy: inventory.policy().clone(),
                sites: inventory.sites().map(str::to_owned).collect(),
                safety_stock_of: inventory
                    .own_safety_stock()
                    .map(|(site, sku, quantity)| SafetyStock {
                        site: Some(site.to_owned().into()),
                        sku: sku.to_owned().into(),
                        quantity: Some(quantity),
                    })
                    .collect(),
            };
            if target.json {
                output::json(&shown);
            } else {
                say!("{}", toml::to_string(&shown)?.trim_end());
            }
            Ok(Ended::Done)
        }
        Command::Apply(apply) => {
            let name = apply.file.display();
            let text = std::fs::read_to_string(&apply.file).with_context(|| name.to_string())?;
            let wanted: PolicyChange<'_> = toml::from_str(&text).with_context(|| name.to_string())?;
            check_rules(&wanted).with_context(|| name.to_string())?;
            let inventory = in_force(&apply.target).await?;
            let change = difference(wanted, &inventory);
            if change == PolicyChange::default() {
                eprintln!("no difference: nothing sent");
                return Ok(Ended::Done);
            }
            eprintln!("sending {}", serde_json::to_string(&change)?);
            let config = apply.target.common.load(|_| {})?;
            let shard = apply.target.shard.as_deref();
            let submitted = submit_to(&config, shard, &[LogCommand::Policy(change)], apply.wait).await?;
            Ok(submitted.ended())
        }
    }
}

async fn in_force(target: &Target) -> anyhow::Result<Inventory> {
    let config = target.common.load(|_| {})?;
    let shard = one_shard(&config, target.shard.as_deref())?;
    let deployment = Deployment::connect(&config, "policy", false).await?;
    let edges = deployment.edges_of(&config, &shard.name)?;
    folded(&shard.name, &edges).await
}

/// What of `wanted` is not so yet.
fn difference<'w>(wanted: PolicyChange<'w>, inventory: &Inventory) -> PolicyChange<'w> {
    let policy = inventory.policy();
    let new = |wanted: Option<i64>, current: i64| wanted.filter(|wanted| *wanted != current);
    let safety_stock_of: Vec<_> = wanted
        .safety_stock_of
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| {
            let site = entry.site.as_deref().unwrap_or(SITE_DEFAULT);
            let current = inventory.own_safety_stock().find(|own| own.0 == site && own.1 == entry.sku);
            current.map(|own| own.2) != entry.quantity
        })
        .collect();
    PolicyChange {
        rules: wanted.rules.filter(|rules| *rules != policy.rules),
        sites: wanted.sites.filter(|sites| {
            let mut sites: Vec<_> = sites.iter().map(|site| &**site).collect();
            sites.sort_unstable();
            !sites.into_iter().eq(inventory.sites())
        }),
        pay_within_ms: new(wanted.pay_within_ms, policy.pay_within_ms),
        lines_max: new(wanted.lines_max, policy.lines_max),
        quantity_max: new(wanted.quantity_max, policy.quantity_max),
        open_orders_max: new(wanted.open_orders_max, policy.open_orders_max),
        settled_orders_max: new(wanted.settled_orders_max, policy.settled_orders_max),
        settled_window_ms: new(wanted.settled_window_ms, policy.settled_window_ms),
        closed_orders_max: new(wanted.closed_orders_max, policy.closed_orders_max),
        closed_window_ms: new(wanted.closed_window_ms, policy.closed_window_ms),
        facts_max: new(wanted.facts_max, policy.facts_max),
        facts_window_ms: new(wanted.facts_window_ms, policy.facts_window_ms),
        skus_max: new(wanted.skus_max, policy.skus_max),
        safety_stock: new(wanted.safety_stock, policy.safety_stock),
        safety_stock_of: (!safety_stock_of.is_empty()).then_some(safety_stock_of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_are_sent() {
        let inventory = Inventory::new();
        let text = "rules = 1\nsites = [\"main\"]\nlines_max = 2000\npay_within_ms = 60000\n";
        let change = difference(toml::from_str(text).unwrap(), &inventory);
        assert_eq!(change, PolicyChange { pay_within_ms: Some(60_000), ..PolicyChange::default() });
    }
}
