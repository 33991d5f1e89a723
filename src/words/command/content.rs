//! What is to be known of a command's content, whichever command it is. `contents!` gives it, one row a command.

use crate::words::outcome::Subject;
use crate::words::timestamp::Timestamp;

/// As how many lines a command counts that means the whole of an order.
pub const UNNAMED_LINES: usize = 64;

/// What is to be known of a command's content. What a row of the table does not say is what does no harm: a retry is not told, and the
/// command is a heavy one.
pub trait Content {
    /// Whose command it is; none where it has no id.
    fn subject(&self) -> Option<Subject<'_>> {
        None
    }

    /// The id by which a shard tells a retry of it: its own, where it may have one. None where it has none, and a retry is done
    /// once more.
    fn told_by(&self) -> Option<&str> {
        None
    }

    /// Whether a shard that gets it twice does it once: it has an id by which it is told, or says no more the second time.
    fn is_idempotent(&self) -> bool {
        self.told_by().is_some()
    }

    /// The length of its longest list, to be held against [`super::ELEMENTS_MAX`].
    fn longest_list(&self) -> usize {
        0
    }

    /// How many lines it asks the fold for, as far as it says so; where its row says nothing, as many as an `amend` of its length.
    fn asks(&self) -> usize {
        2 * named(self.longest_list())
    }

    /// Whether it counts only as the one command of its message.
    fn is_alone(&self) -> bool {
        false
    }

    /// The site that it names, or means by naming none; none where it is not of one site.
    fn site(&self) -> Option<&str> {
        None
    }

    /// When it says that it happened, if it says so.
    fn occurred_at(&self) -> Option<Timestamp> {
        None
    }
}

/// A field that holds an id, which may be optional.
pub(super) trait Id {
    fn id(&self) -> Option<&str>;
}

impl Id for super::Text<'_> {
    fn id(&self) -> Option<&str> {
        Some(self)
    }
}

impl<T: Id> Id for Option<T> {
    fn id(&self) -> Option<&str> {
        self.as_ref().and_then(Id::id)
    }
}

/// The length of a list that may be absent.
pub(super) fn length<T>(list: Option<&Vec<T>>) -> usize {
    list.map_or(0, Vec::len)
}

/// So many lines are named, or else all that the order has.
pub(super) const fn named(lines: usize) -> usize {
    if lines > UNNAMED_LINES { lines } else { UNNAMED_LINES }
}

/// A row a command: whose it is; then, where it has that, what a retry is `told` by, its `site`, when it `occurred`, its longest list
/// (`lists`), and how many lines it `asks` for.
macro_rules! contents {
    ($($Type:ident: $Subject:ident($id:ident) $(, told $told:ident)? $(, site $site:expr)? $(, occurred $occurred:ident)?
        $(, lists $lists:expr)? $(, asks $asks:expr)?;)*) => {
        $(impl Content for $Type<'_> {
            fn subject(&self) -> Option<Subject<'_>> {
                Some(Subject::$Subject((&*self.$id).into()))
            }

            $(fn told_by(&self) -> Option<&str> {
                content::Id::id(&self.$told)
            })?

            $(fn site(&self) -> Option<&str> {
                let site: for<'a> fn(&'a Self) -> Option<&'a str> = $site;
                site(self)
            })?

            $(fn occurred_at(&self) -> Option<Timestamp> {
                self.$occurred
            })?

            $(fn longest_list(&self) -> usize {
                let longest: fn(&Self) -> usize = $lists;
                longest(self)
            })?

            $(fn asks(&self) -> usize {
                let asks: fn(&Self) -> usize = $asks;
                asks(self)
            })?
        })*
    };
}
pub(super) use contents;
