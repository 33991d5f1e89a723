//! What to do: about each fault, and where most orders are refused.

use crate::words::fault::Fault;
use crate::words::outcome::Reason;

/// What to do where orders are refused for this.
pub(super) fn refused_for(reason: Reason) -> String {
    match reason {
        Reason::UnknownSku | Reason::InsufficientStock => {
            "Load stock: `weir stock load FILE.csv --receive --id DELIVERY`.".to_owned()
        }
        Reason::UnknownSite => {
            "Add the site: a policy file with `sites = [...]`, and `weir policy apply FILE`.".to_owned()
        }
        Reason::Busy | Reason::WaitingFull => {
            "Raise the caps: `weir policy show` names them, `weir policy apply FILE` changes them.".to_owned()
        }
        _ => format!(
            "See the recent refusals, and what `{}` means in docs/contract.md (Reasons); mend the sender.",
            reason.code()
        ),
    }
}

/// What a fault's text says has happened, without its way out.
pub(super) fn what_happened(fault: &str) -> &str {
    let end = fault.find(". This is a defect").or_else(|| fault.find(". ")).unwrap_or(fault.len());
    &fault[..end]
}

/// The name of the fault that a text is of.
fn name_of(fault: &str) -> Option<&'static str> {
    Fault::NAMES.into_iter().find(|name| fault.starts_with(&name.replace('_', " ")))
}

/// What to do about a fault.
pub(super) fn way_out(fault: &str, shard: &str, log_stream: &str) -> String {
    let epoch = format!(
        "Restore {log_stream} from a backup; or stop all workers, see `weir epoch --shard {shard}`, and go on with \
         `weir epoch --shard {shard} --yes`. Then start the workers."
    );
    match name_of(fault) {
        Some("gap") => format!("Restore {log_stream} from a backup, then restart the worker."),
        Some("log_behind" | "log_rewritten" | "outcomes_ahead") => epoch,
        Some("digest_mismatch") => format!(
            "Run the binary that announced these outcomes, and `weir audit --shard {shard}`. If the log was rewritten: {}",
            lower_first(&epoch)
        ),
        Some("clock") => {
            "Set the broker's clock right; the shard goes on by itself once the time has come.".to_owned()
        }
        Some("unknown_rules") => "Run a newer binary there.".to_owned(),
        Some("panic") => {
            "Run a mended binary, and report this with the worker's log: nothing was skipped.".to_owned()
        }
        _ => "See the worker's log, and Faults in docs/operations.md.".to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
