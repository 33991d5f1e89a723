//! `weir stock list`: what there is of each SKU, as the workers know it.

use super::Ended;
use super::asking::{Asked, Asking, print};
use super::connect::Deployment;
use super::settings::Common;
use crate::words::query::{
    QueryCode, Question, StockAnswer, StockQuestion, StockRow, StocksAnswer, StocksQuestion,
};

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    asked: Asked,
    /// One SKU, at `--site` (default `main`)
    #[arg(value_name = "SKU", conflicts_with_all = ["below", "limit"])]
    sku: Option<String>,
    /// Those at this site
    #[arg(long)]
    site: Option<String>,
    /// Those of which a new order may have less than this
    #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
    below: Option<i64>,
    /// The most SKUs listed
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) async fn list(args: List) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let deployment = Deployment::connect(&config, "stock", false).await?;
    let asking = Asking::new(&deployment);
    let header =
        ["site", "sku", "on_hand", "reserved", "available", "free", "safety_stock", "allowance", "waiting"];
    if let Some(sku) = &args.sku {
        let shard = args.asked.shard.as_deref();
        let (site, sku, common) = (args.site.clone(), sku.clone(), args.asked.common(shard));
        let question = Question::Stock(StockQuestion { site, sku, common });
        let answer: StockAnswer = match asking.ask(shard, &question).await? {
            Ok(answer) => answer,
            Err(error) if error.code == QueryCode::UnknownSku => {
                eprintln!("weir: {error}");
                return Ok(Ended::Failed);
            }
            Err(error) => return Err(error.into()),
        };
        print(&args.asked, &[answer.stock], header, cells)?;
        return Ok(Ended::Done);
    }
    let shards = args.asked.shards(&config, args.site.as_deref())?;
    let question = |shard: &str, limit, cursor| {
        let (site, common) = (args.site.clone(), args.asked.common(Some(shard)));
        Question::Stocks(StocksQuestion { site, below: args.below, limit: Some(limit), cursor, common })
    };
    let page = |answer: StocksAnswer| (answer.stock, answer.cursor);
    let (rows, more) = asking.list(&shards, args.limit as usize, question, page).await?;
    print(&args.asked, &rows, header, cells)?;
    if more {
        eprintln!("weir: there may be more: --limit shows them");
    }
    Ok(Ended::Done)
}

fn cells(row: &StockRow) -> [String; 9] {
    let units =
        [row.on_hand, row.reserved, row.available, row.free, row.safety_stock, row.allowance, row.waiting];
    let [on_hand, reserved, available, free, safety_stock, allowance, waiting] =
        units.map(|units| units.to_string());
    let (site, sku) = (row.site.clone(), row.sku.clone());
    [site, sku, on_hand, reserved, available, free, safety_stock, allowance, waiting]
}
