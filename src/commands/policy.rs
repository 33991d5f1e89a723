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
use crate::words::policy::{OwnFigure, Policy, PolicyChange, SITE_DEFAULT};

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
    safety_stock_of: Vec<OwnFigure<'static>>,
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
                    .map(|(site, sku, quantity)| OwnFigure {
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

async fn in_force(target: &Target) -> anyhow::Result<Box<Inventory>> {
    let config = target.common.load(|_| {})?;
    let shard = one_shard(&config, target.shard.as_deref())?;
    let deployment = Deployment::connect(&config, "policy", false).await?;
    let edges = deployment.edges_of(&config, &shard.name)?;
    folded(&shard.name, &edges).await
}

/// What of `wanted` is not so yet.
fn difference<'w>(wanted: PolicyChange<'w>, inventory: &Inventory) -> PolicyChange<'w> {
    let PolicyChange { rules, sites, safety_stock_of, allowance_of, .. } = &wanted;
    let safety: Vec<_> = inventory.own_safety_stock().collect();
    let allowances: Vec<_> = inventory.allowances().collect();
    let policy = inventory.policy();
    let new_sites = sites.clone().filter(|sites| {
        let mut sites: Vec<_> = sites.iter().map(|site| &**site).collect();
        sites.sort_unstable();
        !sites.into_iter().eq(inventory.sites())
    });
    PolicyChange {
        rules: rules.filter(|rules| *rules != policy.rules),
        sites: new_sites,
        safety_stock_of: own_difference(safety_stock_of.as_deref(), &safety),
        allowance_of: own_difference(allowance_of.as_deref(), &allowances),
        ..wanted.without_figures_of(policy)
    }
}

/// What of SKUs' own figures is not so yet.
fn own_difference<'w>(
    wanted: Option<&[OwnFigure<'w>]>,
    own: &[(&str, &str, i64)],
) -> Option<Vec<OwnFigure<'w>>> {
    let is_new = |entry: &&OwnFigure<'_>| {
        let site = entry.site.as_deref().unwrap_or(SITE_DEFAULT);
        let current = own.iter().find(|own| own.0 == site && own.1 == entry.sku);
        current.map(|own| own.2) != entry.quantity
    };
    let new: Vec<_> = wanted.unwrap_or_default().iter().filter(is_new).cloned().collect();
    (!new.is_empty()).then_some(new)
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
